"""Indented JSON is that of the standard library, to the last byte."""

import json
import math
from enum import StrEnum

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.indenting import indented


class _Kind(StrEnum):
    ONE = "one"


AWKWARD = st.sampled_from(
    ('"', "\\", ": {", "},", "\x01", "\x02{", "}\x01", "\ud800", "\u2028", _Kind.ONE)
)
TEXTS = st.one_of(AWKWARD, st.text(max_size=4))
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
PLAIN = st.one_of(TEXTS, st.integers(), st.booleans(), st.none(), NUMBERS)
VALUES: st.SearchStrategy[object] = st.recursive(
    PLAIN,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(TEXTS, inner, max_size=3),
        st.dictionaries(TEXTS, st.dictionaries(TEXTS, PLAIN, max_size=3), max_size=3),
        st.dictionaries(st.integers(), inner, max_size=2),
    ),
    max_leaves=12,
)


@given(VALUES)
@settings(max_examples=200, deadline=None)
def test_it_is_what_the_standard_library_writes(value: object) -> None:
    expected = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=True, allow_nan=False)
    assert indented(value) == expected


@given(st.lists(st.tuples(TEXTS, PLAIN, PLAIN), min_size=14, max_size=20), VALUES)
@settings(max_examples=60, deadline=None)
def test_many_objects_of_one_shape_are_written_as_each_alone(
    rows: list[tuple[str, object, object]], other: object
) -> None:
    alike = [{"b": a, "a": {"x": {"n": b, "}": c}, "w": c}} for a, b, c in rows]
    for value in ({"k": alike}, [alike, alike], [*alike, {"b": 1}], [*alike, {"b": other}]):
        assert indented(value) == json.dumps(value, indent=2, sort_keys=True)


@pytest.mark.parametrize(
    "wrong", [[{"a": math.nan}] * 20, math.nan, [1, math.inf], {"a": {"b": -math.inf}}]
)
def test_a_number_that_is_not_finite_is_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        indented(wrong)
