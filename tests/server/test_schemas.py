"""Clients' schemas are closed where nothing says that they are open."""

from typing import Any

import pytest

from gateway.server.schemas import closed

A = {"a": {"type": "string"}}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"properties": A}, {"properties": A, "additionalProperties": False}),
        ({"type": "object"}, {"type": "object"}),
        (
            {"properties": A, "additionalProperties": True},
            {"properties": A, "additionalProperties": True},
        ),
        (
            {"properties": A, "patternProperties": {"^x": {}}},
            {"properties": A, "patternProperties": {"^x": {}}},
        ),
        (
            {"type": "array", "items": {"properties": A}},
            {"type": "array", "items": {"properties": A, "additionalProperties": False}},
        ),
        (
            {"$defs": {"T": {"properties": A}}, "properties": {"t": {"$ref": "#/$defs/T"}}},
            {
                "$defs": {"T": {"properties": A, "additionalProperties": False}},
                "properties": {"t": {"$ref": "#/$defs/T"}},
                "additionalProperties": False,
            },
        ),
        (
            {"anyOf": [{"properties": A}, {"type": "null"}]},
            {"anyOf": [{"properties": A, "additionalProperties": False}, {"type": "null"}]},
        ),
    ],
)
def test_objects_that_list_their_properties_have_no_others(
    schema: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert closed(schema) == expected
    assert closed(expected) == expected


def test_schemas_that_are_put_together_stay_open() -> None:
    together = {
        "$defs": {"T": {"properties": A}},
        "allOf": [{"$ref": "#/$defs/T"}, {"properties": {"b": {}}}],
    }
    assert closed(together) == together


def test_a_property_called_properties_is_no_list_of_them() -> None:
    schema = {"properties": {"properties": {"type": "string"}}}
    assert closed(schema) == {**schema, "additionalProperties": False}
