"""Calls in the form of each family: rendered, read back, and rendered again."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.core.types import Message, Tool, ToolCall
from gateway.models.chat_template import ChatTemplate
from gateway.models.families.calls import SYNTAXES, found_in, schemas_of, syntax_named

SCHEMA = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "count": {"type": "integer"},
        "sure": {"type": "boolean"},
        "many": {"type": "array", "items": {"type": "string"}},
    },
}
TOOL = Tool("look_up", "", json.dumps(SCHEMA))
EACH = "{% for c in m.tool_calls or [] %}CALL{% endfor %}"
ONE = "{{ {'name': c.function.name, 'KEY': c.function.arguments} | tojson }}"
ARGS = "{{ c.function.arguments | tojson }}"
NAME = "{{ c.function.name }}"
VALUE = "{% if v is string %}{{ v }}{% else %}{{ v | tojson }}{% endif %}"


def of_each(form: str, before: str = "", behind: str = "") -> str:
    return f"{before}{EACH.replace('CALL', form)}{behind}"


def tags(opened: str, parameter: str, closed: str) -> str:
    each = "{% for k, v in c.function.arguments.items() %}" + parameter + "{% endfor %}"
    return of_each(opened + each.replace("VALUE", VALUE) + closed)


LISTED = "{{ l }}"
LIST = (
    "{% set ns = namespace(l=[]) %}{% for c in m.tool_calls or [] %}"
    "{% set ns.l = ns.l + [{'NAME': c.function.name, 'KEY': c.function.arguments}] %}{% endfor %}"
    "{% if ns.l %}OPEN{{ ns.l | tojson }}CLOSE{% endif %}"
)


def listed(opened: str, closed: str, name: str = "name", key: str = "arguments") -> str:
    made = LIST.replace("NAME", name).replace("KEY", key)
    return made.replace("OPEN", opened).replace("CLOSE", closed)


FORMS: dict[str, str] = {
    "hermes": of_each("<tool_call>\n" + ONE.replace("KEY", "arguments") + "\n</tool_call>\n"),
    "functions": tags(
        f"<tool_call>\n<function={NAME}>\n",
        "<parameter={{ k }}>\nVALUE\n</parameter>\n",
        "</function>\n</tool_call>\n",
    ),
    "arguments": tags(
        f"<tool_call>{NAME}\n",
        "<arg_key>{{ k }}</arg_key>\n<arg_value>VALUE</arg_value>\n",
        "</tool_call>\n",
    ),
    "mistral": listed("[TOOL_CALLS]", ""),
    "mistral-named": of_each(f"[TOOL_CALLS]{NAME}[ARGS]{ARGS}"),
    "deepseek": of_each(
        f"<｜tool▁call▁begin｜>{NAME}<｜tool▁sep｜>{ARGS}<｜tool▁call▁end｜>",
        "<｜tool▁calls▁begin｜>",
        "<｜tool▁calls▁end｜>",
    ),
    "invoke": tags(
        f'<invoke name="{NAME}">\n',
        '<parameter name="{{ k }}">VALUE</parameter>\n',
        "</invoke>\n",
    ),
    "channels": of_each(
        f"<|start|>assistant<|channel|>commentary to=functions.{NAME} "
        f"<|constrain|>json<|message|>{ARGS}<|call|>"
    ),
    "granite": listed("<|tool_call|>", ""),
    "kimi": of_each(
        f"<|tool_call_begin|>functions.{NAME}:0<|tool_call_argument_begin|>{ARGS}<|tool_call_end|>",
        "<|tool_calls_section_begin|>",
        "<|tool_calls_section_end|>",
    ),
    "tool-calls": listed("<tool_calls>", "</tool_calls>"),
    "toolcall": listed("<TOOLCALL>", "</TOOLCALL>"),
    "functionary": of_each(f"<function={NAME}>{ARGS}</function>"),
    "actions": listed("<|START_ACTION|>", "<|END_ACTION|>", "tool_name", "parameters"),
    "params": tags(
        f'<function name="{NAME}">', '<param name="{{ k }}">VALUE</param>', "</function>\n"
    ),
    "solar": of_each(
        f"<|tool_call:begin|>1<|tool_call:name|>{NAME}<|tool_call:args|>{ARGS}<|tool_call:end|>"
    ),
    "gigachat": of_each("<|function_call|>" + ONE.replace("KEY", "arguments")),
    "bare": of_each(ONE.replace("KEY", "parameters")),
}
WRITTEN = {
    "python": "<|tool_call_start|>[look_up(text='a', count=2, sure=True, many=['x'])]"
    "<|tool_call_end|>",
    "gemma": '<|tool_call>call:look_up{text:<|"|>a<|"|>,count:2,sure:true,many:[<|"|>x<|"|>]}'
    "<tool_call|>",
    "function-gemma": "<start_function_call>call:look_up{text:<escape>a<escape>,count:2,sure:true,"
    "many:[<escape>x<escape>]}<end_function_call>",
    "prefixed": '<|tools_prefix|>[{"look_up": {"text": "a", "count": 2, "sure": true, '
    '"many": ["x"]}}]<|tools_suffix|>',
}
SHOWN = (
    "{% if tools %}{{ tools | tojson }}{% endif %}"
    "{% for m in messages %}[{{ m.role }}]{{ m.content }}CALLS{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)
KNOWN = schemas_of([TOOL])
GIVEN: dict[str, Any] = {"text": "a", "count": 2, "sure": True, "many": ["x"]}


def rendered(form: str, calls: list[dict[str, Any]]) -> str:
    made = tuple(ToolCall(f"c{n}", TOOL.name, json.dumps(each)) for n, each in enumerate(calls))
    source = SHOWN.replace("CALLS", FORMS[form])
    turns = (Message("user", "?"), Message("assistant", "", made))
    shown = ChatTemplate(source).render(turns, special={}, begin_answer=False)
    return shown.partition("[assistant]")[2]


def read(text: str, form: str) -> tuple[str, list[dict[str, Any]]]:
    said, found = found_in(text, syntax_named(form), KNOWN)
    return said, [each.arguments for each in found]


def test_every_form_is_tried() -> None:
    assert {each.name for each in SYNTAXES} == FORMS.keys() | WRITTEN.keys()


@pytest.mark.parametrize("form", FORMS)
def test_a_template_s_form_is_found_by_what_is_read_back(form: str) -> None:
    source = SHOWN.replace("CALLS", FORMS[form])
    found = ChatTemplate(source).call_syntax({})
    text = rendered(form, [GIVEN, {"text": "b"}])
    if form != "bare":
        assert (
            found_in(text, syntax_named(found), KNOWN)[1]
            == found_in(text, syntax_named(form), KNOWN)[1]
        ), found
    said, calls = read(text, form)
    assert (said.strip(), calls) == ("", [GIVEN, {"text": "b"}])


@pytest.mark.parametrize("form", WRITTEN)
def test_what_no_json_is_is_read(form: str) -> None:
    assert read(f"Well.{WRITTEN[form]}", form) == ("Well.", [GIVEN])


plain = st.text(max_size=20)
texts = plain.filter(
    lambda t: t == t.strip() and not any(c in t for c in "<>[]{}\r\x85\u2028\u2029")
)
arguments = st.fixed_dictionaries(
    {},
    optional={
        "text": texts,
        "count": st.integers(-(10**9), 10**9),
        "sure": st.booleans(),
        "many": st.lists(plain, max_size=3),
    },
)


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(calls=st.lists(arguments, min_size=1, max_size=3))
def test_a_call_comes_back_as_it_was_rendered(form: str, calls: list[dict[str, Any]]) -> None:
    text = rendered(form, calls)
    said, found = read(text, form)
    assert found == calls
    assert said.strip() == ""
    assert rendered(form, found) == text


@pytest.mark.parametrize("form", [*FORMS, *WRITTEN])
def test_what_calls_no_known_tool_stays_text_and_drops_no_other(form: str) -> None:
    text = WRITTEN[form] if form in WRITTEN else rendered(form, [GIVEN])
    unknown = text.replace("look_up", "unheard_of")
    assert read(unknown, form) == (unknown, [])
    if form in ("granite", "mistral", "bare"):
        return  # One mark for all calls of an answer.
    said, calls = read(unknown + text, form)
    assert calls == [GIVEN]
    assert "unheard_of" in said
    assert "look_up" not in said


@pytest.mark.parametrize("form", [*FORMS, *WRITTEN])
def test_a_call_that_is_cut_short_is_none(form: str) -> None:
    text = WRITTEN[form] if form in WRITTEN else rendered(form, [GIVEN])
    half = text[: text.index("look_up") + 12]
    assert read(half, form) == (half, [])


def test_parameters_are_arguments_and_a_text_of_them_is_read() -> None:
    for written in ('"parameters": {"count": 2}', '"arguments": "{\\"count\\": 2}"'):
        text = f'<tool_call>{{"name": "look_up", {written}}}</tool_call>'
        assert read(text, "hermes") == ("", [{"count": 2}])
    assert read('<tool_call>{"name": "look_up", "inputs": {}}</tool_call>', "hermes")[1] == []


def test_bare_objects_are_calls_only_where_there_is_nothing_else() -> None:
    call = '{"name": "look_up", "parameters": {"count": 2}}'
    assert read(call, "bare")[1] == [{"count": 2}]
    assert read(f"<|python_tag|>{call}; {call}", "bare")[1] == [{"count": 2}] * 2
    for text in (f"Like {call}", f"{call} is a call", '{"text": "a"}'):
        assert read(text, "bare") == (text, [])


def test_a_value_is_a_text_where_the_schema_says_so() -> None:
    text = rendered("functions", [{"text": "5", "count": 5}])
    assert read(text, "functions")[1] == [{"text": "5", "count": 5}]
