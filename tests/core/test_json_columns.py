"""Texts that are read at once are those that are read one by one."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.columned import Columned
from gateway.core.errors import DataError
from gateway.core.json import Strictness, reader_of
from gateway.core.json_columns import column_reader


class Colour(StrEnum):
    """Something that JSON has as a text."""

    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, slots=True)
class Kept:
    """Of every kind of field that is kept."""

    colour: Colour
    said: str | float | Mapping[str, str] | None = None
    shares: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()
    groups: tuple[tuple[int, ...], ...] = ()
    between: Mapping[str, tuple[int, int]] | None = None
    sure: bool = True
    number: float = 0.0
    least: int | None = None


LENIENT = Strictness(strangers=True)
NUMBERS = st.floats(allow_nan=False) | st.integers(-(2**70), 2**70)
KEPT = st.builds(
    Kept,
    colour=st.sampled_from(Colour),
    said=st.none() | st.text(max_size=3) | NUMBERS | st.dictionaries(st.text(), st.text()),
    shares=st.lists(NUMBERS, max_size=3).map(tuple),
    counts=st.lists(st.integers(), max_size=3).map(tuple),
    groups=st.lists(st.lists(st.integers(0, 9), max_size=2).map(tuple), max_size=2).map(tuple),
    between=st.none()
    | st.dictionaries(st.text(), st.tuples(st.integers(), st.integers()), max_size=2),
    sure=st.booleans(),
    number=NUMBERS,
    least=st.none() | st.integers(),
)


def at_once(texts: list[str], reading: Strictness = LENIENT) -> list[Kept] | None:
    columns = column_reader(Kept, reading)(texts)
    return None if columns is None else list(Columned(lambda values: Kept(**values), columns))


@given(st.lists(KEPT, min_size=1, max_size=5), st.sets(st.sampled_from(["number", "least"])))
@settings(max_examples=80, deadline=None)
def test_objects_are_read_as_each_alone(made: list[Kept], lacking: set[str]) -> None:
    raw = [{k: v for k, v in asdict(one).items() if k not in lacking} for one in made]
    texts = [json.dumps({**one, "stranger": 1}) for one in raw]
    one_by_one = [reader_of(Kept, LENIENT)(json.loads(text)) for text in texts]
    found = at_once(texts)
    assert found == one_by_one
    assert repr(found) == repr(one_by_one), "true is no 1, and 1 is no 1.0"


WHOLE = '{"colour":"red","sure":true}'


@pytest.mark.parametrize(
    "wrong",
    [
        '{"colour":"green","sure":true}',
        '{"colour":"red","sure":1}',
        '{"colour":"red","counts":[true]}',
        '{"colour":"red","counts":[1.5]}',
        '{"colour":"red","shares":["1"]}',
        '{"colour":"red","shares":1}',
        '{"colour":null,"sure":true}',
        '{"colour":"red","between":{"a":[1]}}',
        '{"sure":true,"number":1}',
        '["colour","sure"]',
        "null",
        "{",
        "",
    ],
)
def test_what_is_wrong_is_left_to_the_reader_of_single_ones(wrong: str) -> None:
    assert at_once([wrong]) is None
    assert at_once([WHOLE, wrong]) is None
    with pytest.raises((DataError, ValueError)):
        reader_of(Kept, LENIENT)(json.loads(wrong))


def test_a_sign_of_zero_is_each_text_s_own() -> None:
    made = [Kept(Colour.RED, shares=(zero,)) for zero in (0.0, -0.0, 0.0)]
    assert repr(at_once([json.dumps(asdict(each)) for each in made])) == repr(made)


def test_texts_of_other_keys_are_left_to_it_too() -> None:
    assert at_once([WHOLE, '{"colour":"red","number":1}']) is None
    assert at_once([WHOLE, '{"colour":"red"}']) is None
    assert at_once(['{"colour":"red","stranger":1}'], Strictness()) is None
    assert at_once([WHOLE]) == [Kept(Colour.RED)]
