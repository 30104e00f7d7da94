"""A column of values is written as each of them alone."""

import json
import math
from dataclasses import dataclass

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.core.columns_json import column, woven
from gateway.core.digests import canonical_json
from gateway.core.indenting import indented

EDGES = [0.0, -0.0, 1e-4, 9.999e-5, 1e-5, 5e-324, 1e15, 1e16, 9999999999999998.0, 1e22, 0.1, -1e-7]


@given(st.lists(st.floats()))
@example([*EDGES, math.nan, math.inf, -math.inf])
@settings(max_examples=300, deadline=None)
def test_numbers_are_written_as_python_writes_them(values: list[float]) -> None:
    assert column(values) == list(map(canonical_json, values))


@given(st.lists(st.fixed_dictionaries({"%s": st.floats(), '"': st.floats()})), st.booleans())
@settings(max_examples=60, deadline=None)
def test_so_are_objects_of_them(values: list[dict[str, object]], mixed: bool) -> None:
    every = [*values, {"%s": 1, '"': "x"}, {}] if mixed else values
    assert column(every) == list(map(canonical_json, every))


@pytest.mark.parametrize("wrong", [[math.nan], [{"a": math.inf}, {"a": 0.5}], [{"a": math.nan}, 1]])
def test_what_is_not_finite_can_be_refused(wrong: list[object]) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        column(wrong, finite=True)


def test_texts_are_woven_of_their_parts() -> None:
    assert woven(["<", ["a", "b"], ">"], 2) == "<a><b>"
    assert woven(["<", [], ">"], 0) == ""


@dataclass(frozen=True)
class Said:
    """What stands in a report many times."""

    b: float | None
    a: str


@pytest.mark.parametrize("count", [1, 20])
def test_objects_are_written_as_what_they_hold(count: int) -> None:
    said = tuple(Said(n / 7 or None, f'"{n}') for n in range(count))
    plain = [{"a": each.a, "b": each.b} for each in said]
    expected = json.dumps({"x": plain, "y": plain[0]}, indent=2, sort_keys=True)
    assert indented({"x": said, "y": said[0]}) == expected
