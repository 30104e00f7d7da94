"""JSON schemas of clients, closed: an object has the properties that are listed, and no others.

JSON Schema leaves such an object open, and a small model then invents keys until it runs out of
tokens. OpenAI's strict mode wants it closed, and llama.cpp closes it. What says otherwise
(`additionalProperties` or the like) stays as it is.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from gateway.server.generated_schemas import readable

_SAY_OTHERWISE = frozenset(
    (
        *("additionalProperties", "unevaluatedProperties", "patternProperties", "propertyNames"),
        *("allOf", "anyOf", "oneOf", "not", "if", "$ref", "$dynamicRef", "dependentSchemas"),
        *("minProperties",),
    )
)
"""Beside `properties`, these let other properties be meant."""
_OF_NAMES = ("properties", "$defs", "definitions")
_LISTS = ("anyOf", "oneOf", "prefixItems")


def closed(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema with its objects closed, and what generators write in words that can be enforced.

    One that puts several together by `allOf` stays open, because each of them would forbid what the
    others list.
    """
    plain = readable(schema)
    return plain if any(_joins(part) for part in _parts(plain)) else _closed(plain)


def closed_text(schema: Mapping[str, Any]) -> str:
    """The same as JSON."""
    return json.dumps(closed(schema))


def _closed(schema: Mapping[str, Any]) -> dict[str, Any]:
    made = {key: _inner(key, value) for key, value in schema.items()}
    if isinstance(made.get("properties"), dict) and not _SAY_OTHERWISE & made.keys():
        made["additionalProperties"] = False
    return made


def _inner(key: str, value: Any) -> Any:
    if key in _OF_NAMES and isinstance(value, dict):
        return {name: _closed_if_schema(part) for name, part in value.items()}
    if key in _LISTS and isinstance(value, list):
        return [_closed_if_schema(part) for part in value]
    return _closed_if_schema(value) if key == "items" else value


def _closed_if_schema(value: Any) -> Any:
    return _closed(value) if isinstance(value, dict) else value


def _joins(part: Mapping[str, Any]) -> bool:
    several = part.get("allOf")
    return isinstance(several, list) and (len(several) > 1 or "properties" in part)


def _parts(value: Any) -> Iterator[Mapping[str, Any]]:
    """Every object within; schemas come with a bounded depth."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from _parts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _parts(inner)
