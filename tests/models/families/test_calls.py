"""Calls in the form of each family: rendered, read back, and rendered again."""

import json
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.core.errors import InvalidRequest
from gateway.core.types import Message, Tool, ToolCall
from gateway.models.chat_template import ChatTemplate
from gateway.models.families.calls import SYNTAXES, found_in, syntax_named
from gateway.models.families.values import schemas_of
from tests.support.call_forms import FORMS, GIVEN, ONE_MARK, TOOL, arguments, rendered, template

KNOWN = schemas_of([TOOL])


def read(text: str, form: str, tool: Tool = TOOL) -> tuple[str, list[dict[str, Any]]]:
    said, found = found_in(text, syntax_named(form), schemas_of([tool]))
    return said, [each.arguments for each in found]


def test_every_form_is_tried() -> None:
    assert {each.name for each in SYNTAXES} == FORMS.keys()


@pytest.mark.parametrize("form", FORMS)
def test_a_template_s_form_is_found_by_what_is_read_back(form: str) -> None:
    assert template(form).call_syntax({}) == form
    text = rendered(form, [GIVEN, {"text": "b"}])
    said, calls = read(text, form)
    assert (said.strip(), calls) == ("", [GIVEN, {"text": "b"}])


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(calls=st.lists(arguments, min_size=1, max_size=3))
def test_a_call_comes_back_as_it_was_rendered(form: str, calls: list[dict[str, Any]]) -> None:
    text = rendered(form, calls)
    said, found = found_in(text, syntax_named(form), KNOWN)
    assert [each.arguments for each in found] == calls
    assert said.strip() == ""
    ids = [each.id or "functions.look_up:0" for each in found]
    assert rendered(form, [each.arguments for each in found], ids) == text


@pytest.mark.parametrize("form", FORMS)
def test_what_calls_no_known_tool_stays_text_and_drops_no_other(form: str) -> None:
    text = rendered(form, [GIVEN])
    unknown = text.replace("look_up", "unheard_of")
    assert read(unknown, form) == (unknown, [])
    if form in ONE_MARK:
        return
    said, calls = read(unknown + text, form)
    assert calls == [GIVEN]
    assert "unheard_of" in said
    assert "look_up" not in said


@pytest.mark.parametrize("form", FORMS)
def test_a_call_that_is_cut_short_is_none(form: str) -> None:
    text = rendered(form, [GIVEN])
    begins = text.rindex("look_up")
    for end in range(begins + 8, begins + 14):
        assert read(text[:end], form) == (text[:end], [])


def test_parameters_are_arguments_and_a_text_of_them_is_read() -> None:
    for written in ('"parameters": {"count": 2}', '"arguments": "{\\"count\\": 2}"'):
        text = f'<tool_call>{{"name": "look_up", {written}}}</tool_call>'
        assert read(text, "hermes") == ("", [{"count": 2}])
    assert read('<tool_call>{"name": "look_up", "inputs": {}}</tool_call>', "hermes")[1] == []


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", "9" * 5000])
def test_what_json_has_no_number_for_is_no_call(number: str) -> None:
    text = f'<tool_call>{{"name": "look_up", "arguments": {{"count": {number}}}}}</tool_call>'
    assert read(text, "hermes") == (text, [])


def test_bare_objects_are_calls_only_where_there_is_nothing_else() -> None:
    call = '{"name": "look_up", "parameters": {"count": 2}}'
    assert read(call, "bare")[1] == [{"count": 2}]
    for both in (f"<|python_tag|>{call}; {call}", f"[{call}, {call}]"):
        assert read(both, "bare") == ("", [{"count": 2}] * 2)
    assert read(f"<|python_start|>I look.<|python_end|>{call}", "bare")[1] == [{"count": 2}]
    for text in (f"Like {call}", f"{call} is a call", '{"text": "a"}', f"[{call}, 1]", "[]"):
        assert read(text, "bare") == (text, [])


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ({"type": "string"}, "5", "5"),
        ({"type": "string"}, "null", "null"),
        ({"type": "integer"}, "5", 5),
        ({"type": "integer"}, "five", "five"),
        ({"type": "boolean"}, "True", True),
        ({"type": ["string", "null"]}, "None", None),
        ({"type": ["string", "null"]}, "a", "a"),
        ({"type": "string", "nullable": True}, "null", None),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "5", 5),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "null", None),
        ({"oneOf": [{"type": "string"}, {"type": "array"}]}, '["a"]', ["a"]),
        ({"$ref": "#/$defs/Number"}, "1.5", 1.5),
        ({"allOf": [{"$ref": "#/$defs/Number"}]}, "2", 2),
        ({"enum": [1, 2]}, "2", 2),
        ({"const": True}, "true", True),
        ({"properties": {}}, '{"a": 1}', {"a": 1}),
        ({"items": {}}, "['a', None]", ["a", None]),
        ({}, "5", "5"),
        ({}, '{"a": 1}', {"a": 1}),
        ({"$ref": "#/$defs/Loop"}, "5", "5"),
        ({"$ref": "elsewhere"}, "5", "5"),
        ("no schema", "5", "5"),
    ],
)
def test_a_value_is_what_the_schema_says(kind: Any, text: str, value: Any) -> None:
    defined = {"Number": {"type": "number"}, "Loop": {"$ref": "#/$defs/Loop"}}
    tool = Tool("look_up", "", json.dumps({"properties": {"x": kind}, "$defs": defined}))
    for form in ("functions", "arguments", "invoke", "params"):
        shown = template(form).render(
            (
                Message("user", "?"),
                Message("assistant", "", (ToolCall("c", "look_up", json.dumps({"x": text})),)),
            ),
            special={},
            begin_answer=False,
        )
        found = read(shown.partition("[assistant]")[2], form, tool)[1]
        assert found == [{"x": value}]
        assert type(found[0]["x"]) is type(value)


@pytest.mark.parametrize(
    ("written", "given"),
    [
        ("look_up(text='it\\'s', count=2)", {"text": "it's", "count": 2}),
        ("look_up(text='it's', count=2)", {"text": "it's", "count": 2}),
        ("look_up(text='two\nlines')", {"text": "two\nlines"}),
        ("[look_up(text='a, b=(c)', sure=true)]", {"text": "a, b=(c)", "sure": True}),
        (
            "[look_up(deep={'a': [1, None]}, many=(1, 2))]",
            {"deep": {"a": [1, None]}, "many": [1, 2]},
        ),
        ('[look_up(deep={"a": null}, count=-1.5e3)]', {"deep": {"a": None}, "count": -1500.0}),
        ("look_up()", {}),
        ("[look_up(text='',)]", {"text": ""}),
    ],
)
def test_python_is_read_as_models_write_it(written: str, given: dict[str, Any]) -> None:
    text = f"<|tool_call_start|>{written}<|tool_call_end|>"
    assert read(text, "python") == ("", [given])


@pytest.mark.parametrize(
    "written",
    ["look_up(text=)", "look_up('a')", "look_up(text=open('x'))", "look_up", "1", "", "[look_up(]"],
)
def test_other_python_is_no_call(written: str) -> None:
    text = f"<|tool_call_start|>{written}<|tool_call_end|>"
    assert read(text, "python") == (text, [])


def test_an_id_that_the_model_writes_is_read() -> None:
    for form in ("kimi", "solar", "mistral-named"):
        text = rendered(form, [GIVEN], ["functions.look_up:7"])
        assert [each.id for each in found_in(text, syntax_named(form), KNOWN)[1]] == [
            "functions.look_up:7"
        ]


SHOWS = "{% if tools %}TOLD{{ tools | tojson }}{% endif %}"
TURNS = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"


@pytest.mark.parametrize(
    ("told", "form"),
    [
        ("Answer with <|tool_call|> and a list.", "granite"),
        ("List of tools: [", "python"),
        ("<|tool_list_start|>", "python"),
        ('Answer <tool_call>\n{"name": N, "arguments": A}\n</tool_call>', "hermes"),
    ],
)
def test_what_a_template_only_tells_of_is_written_into_the_turn_that_called(
    told: str, form: str
) -> None:
    shows = ChatTemplate(SHOWS.replace("TOLD", told) + TURNS)
    assert shows.call_syntax({}) == form
    call = ToolCall("c", TOOL.name, json.dumps(GIVEN))
    turns = (Message("user", "?"), Message("assistant", "Well.", (call,)), Message("tool", "r"))
    with pytest.raises(InvalidRequest, match="earlier tool calls"):
        shows.render(turns, special={})
    written = shows.render(shows.with_calls_written(turns), special={}, begin_answer=False)
    said, calls = read(written.partition("[assistant]")[2].partition("[tool]")[0], form)
    assert (said.strip(), calls) == ("Well.", [GIVEN])


def test_arguments_are_a_text_for_a_template_that_takes_no_object() -> None:
    source = SHOWS + TURNS.replace(
        "{% endfor %}",
        "{% for c in m.tool_calls or [] %}{{ '<function=' + c.function.name + '>'"
        " + c.function.arguments + '</function>' }}{% endfor %}{% endfor %}",
    )
    shows = ChatTemplate(source)
    assert shows.call_syntax({}) == "functionary"
    turns = (Message("assistant", "", (ToolCall("c", "look_up", '{"count":  2}'),)),)
    with pytest.raises(InvalidRequest, match="TypeError"):
        shows.render(turns, special={})
    assert shows.takes_texts({})
    text = shows.render(turns, special={}, texts=True)
    assert text == '[assistant]<function=look_up>{"count": 2}</function>'
    assert not template("functionary").takes_texts({})


def test_calls_that_a_template_can_not_render_are_known_by_its_marks() -> None:
    source = SHOWS + (
        "{% set ids = [] %}{% for m in messages %}[{{ m.role }}]{% for c in m.tool_calls or [] %}"
        "{% set _ = ids.insert(0, c.id) %}<|tool_calls_section_begin|>{{ ids[-1] }}{% endfor %}"
        "{% endfor %}"
    )
    assert ChatTemplate(source).call_syntax({}) == "kimi"
    broken = source.replace("tools | tojson", "tools.no.such")
    assert ChatTemplate(broken).call_syntax({}) == ""


@pytest.mark.parametrize("form", FORMS)
def test_what_is_begun_and_never_ended_is_read_in_time_by_its_length(form: str) -> None:
    whole = rendered(form, [GIVEN]).lstrip("\n")
    named = whole.index("look_up") + len("look_up")
    for part in (whole, whole[:-1], whole[: len(whole) // 2], whole[: named + 1]):
        short, long = (spent(form, part * (size // len(part))) for size in (1500, 12_000))
        assert long < 24 * short + 0.004, part


def spent(form: str, text: str) -> float:
    """Seconds of the processor, the least of three times."""
    syntax, times = syntax_named(form), []
    for _ in range(3):
        began = time.process_time()
        found_in(text, syntax, KNOWN)
        times.append(time.process_time() - began)
    return min(times)


def test_elements_that_lie_in_each_other_without_an_end_are_no_call() -> None:
    mark = "]<]minimax[>["
    text = f'{mark}<invoke name="look_up">' + f"{mark}<deep>" * 5000
    assert read(text, "elements") == (text, [])


def test_a_schema_that_refers_to_itself_is_looked_at_once() -> None:
    loop: dict[str, Any] = {"anyOf": [{"$ref": "#/$defs/Loop"}] * 40 + [{"type": "integer"}]}
    schema = {"properties": {"x": {"$ref": "#/$defs/Loop"}}, "$defs": {"Loop": loop}}
    tool = Tool("look_up", "", json.dumps(schema))
    text = "<function=look_up><parameter=x>5</parameter></function>"
    assert read(text, "functions", tool) == ("", [{"x": 5}])


def test_python_in_a_value_is_read_and_never_run_or_waited_for() -> None:
    for value in ("(" * 5000, "-" * 5000 + "1", "[" * 300 + "]" * 300, "{1: " * 300, "not " * 5000):
        text = f"<|tool_call_start|>[look_up(count={value})]<|tool_call_end|>"
        for called in read(text, "python")[1]:
            assert json.dumps(called)
