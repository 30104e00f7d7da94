"""Calls are read back from text, held back from a stream, and enforced by a schema."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.types import Completion, Tool, Usage
from gateway.models.families.calls import Objects
from gateway.models.tool_calls import CLOSING, OPENING
from gateway.server.tools import (
    HeldBack,
    Offer,
    constraint_of,
    read,
    read_calls,
)

TOOLS = (Tool("weather"), Tool("paint"))
CALL = f'{OPENING}\n{{"name": "weather", "arguments": {{"city": "Rome"}}}}\n{CLOSING}'


def test_calls_are_parted_from_what_is_said() -> None:
    said = read_calls(f"Let me look.\n{CALL}\n{CALL}", TOOLS, "salt")
    assert said.content == "Let me look."
    assert [(c.name, json.loads(c.arguments)) for c in said.calls] == [
        ("weather", {"city": "Rome"})
    ] * 2
    assert len({c.id for c in said.calls}) == 2


def test_ids_of_calls_depend_on_nothing_but_the_request() -> None:
    assert read_calls(CALL, TOOLS, "a") == read_calls(CALL, TOOLS, "a")
    assert read_calls(CALL, TOOLS, "a").calls[0].id != read_calls(CALL, TOOLS, "b").calls[0].id


@pytest.mark.parametrize(
    "text",
    [
        f"{OPENING}not JSON{CLOSING}",
        f'{OPENING}{{"name": "unknown", "arguments": {{}}}}{CLOSING}',
        f'{OPENING}{{"name": "weather", "arguments": 3}}{CLOSING}',
        f"{OPENING}[1]{CLOSING}",
        f"{OPENING}",
        "no call at all\n",
    ],
)
def test_what_is_no_call_stays_text(text: str) -> None:
    said = read_calls(text, TOOLS, "salt")
    assert said.calls == ()
    assert said.content == text


def test_an_enforced_call_that_was_cut_short_stays_text() -> None:
    done = Completion('{"name": "weather", "arg', (), "length", Usage(1, 1), "f")
    assert read(done, Offer(TOOLS, enforced=True)).content.startswith(OPENING)


@given(
    said=st.text(alphabet="<tol_ca>\n x", max_size=30),
    called=st.booleans(),
    cuts=st.lists(st.integers(0, 80), max_size=8),
)
def test_a_stream_gives_just_the_content_however_it_is_cut(
    said: str, called: bool, cuts: list[int]
) -> None:
    text = said + (CALL if called else "")
    held = HeldBack()
    borders = sorted({0, len(text), *(c for c in cuts if c < len(text))})
    given_out = [held.add(text[a:b]) for a, b in pairwise(borders)]
    content = read_calls(text, TOOLS, "salt").content
    assert "".join(given_out) + held.rest(content) == content


def test_definitions_of_several_tools_do_not_meet() -> None:
    def schema(kind: str) -> str:
        return json.dumps(
            {
                "properties": {"x": {"$ref": "#/$defs/Thing"}},
                "$defs": {"Thing": {"type": kind}},
            }
        )

    tools = [Tool("a", "", schema("string")), Tool("b", "", schema("number"))]
    constraint = constraint_of(tools, Objects(""))
    assert isinstance(constraint.value, str)
    whole = json.loads(constraint.value)
    for number, kind in enumerate(["string", "number"]):
        arguments = whole["anyOf"][number]["properties"]["arguments"]
        reference = arguments["properties"]["x"]["$ref"]
        assert whole["$defs"][reference.removeprefix("#/$defs/")] == {"type": kind}
