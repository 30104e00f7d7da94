"""Grammars from constraints; the masks themselves are tested on every backend's contract."""

import pytest

from gateway.core.errors import InvalidRequest
from gateway.core.types import Constraint
from gateway.engine.constraints import grammar_of


@pytest.mark.needs("llguidance")
@pytest.mark.parametrize(
    "constraint",
    [
        Constraint("choices", ()),
        Constraint("choices", ("a", "")),
        Constraint("json_schema", "not json"),
        Constraint("json_schema", "[]"),
        Constraint("json_schema", '{"type": "no such type"}'),
        Constraint("json_schema", '{"a": 1' + " " * 200_000 + "}"),
        Constraint("json_schema", "[" * 100_000),
        Constraint("regex", "("),
    ],
)
def test_what_no_text_can_satisfy_is_refused(constraint: Constraint) -> None:
    with pytest.raises(InvalidRequest):
        grammar_of(constraint)


@pytest.mark.needs("llguidance")
@pytest.mark.parametrize(
    "constraint",
    [
        Constraint("choices", ("a", 'b "c" \\d', "line\nbreak", "ünï")),
        Constraint("json_schema", '{"type": "object"}'),
        Constraint("regex", "[0-9]{1,3}"),
    ],
)
def test_a_sound_constraint_gives_a_grammar(constraint: Constraint) -> None:
    assert grammar_of(constraint)
