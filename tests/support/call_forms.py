"""A small chat template for each syntax of calls, and texts of calls that it renders."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

from gateway.core.types import Message, Tool, ToolCall
from gateway.models.chat_template import ChatTemplate

SCHEMA = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "count": {"type": "integer"},
        "ratio": {"type": "number"},
        "sure": {"type": "boolean"},
        "many": {"type": "array", "items": {"type": "string"}},
        "deep": {"$ref": "#/$defs/Deep"},
        "maybe": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
    },
    "$defs": {"Deep": {"type": "object", "properties": {"n": {"type": "integer"}}}},
}
TOOL = Tool("look_up", "", json.dumps(SCHEMA))
GIVEN: dict[str, Any] = {"text": "a", "count": 2, "sure": True, "many": ["x"]}
"""Arguments that every syntax can write."""

_ONE = "{{ {'NAME': c.function.name, 'KEY': c.function.arguments} | tojson }}"
_NAME, _ARGS = "{{ c.function.name }}", "{{ c.function.arguments | tojson }}"
_VALUE = "{{ v if v is string else v | tojson }}"
_PYTHON = "{% if v is string %}{{ v | tojson }}{% else %}{{ v | string }}{% endif %}"
_CDATA = "{% if v is string %}<![CDATA[{{ v }}]]>{% else %}{{ v }}{% endif %}"
_TYPE = (
    "{% if v is string %}string{% elif v is boolean %}boolean{% elif v is none %}null"
    "{% elif v is number %}number{% elif v is mapping %}object{% else %}array{% endif %}"
)
_M3 = "]<]minimax[>["
_ELEMENTS = (
    "{% macro xml(v) %}{% if v is mapping %}{% for k, w in v.items() %}"
    f"{_M3}<{{{{ k }}}}>{{{{ xml(w) }}}}{_M3}</{{{{ k }}}}>"
    "{% endfor %}{% elif v is string %}{{ v }}{% elif v is iterable %}{% for w in v %}"
    f"{_M3}<item>{{{{ xml(w) }}}}{_M3}</item>"
    "{% endfor %}{% else %}{{ v | tojson }}{% endif %}{% endmacro %}"
)
_BARE = (
    "{% macro bare(v) %}{% if v is mapping %}{{ '{' }}{% for k, w in v.items() %}{{ k }}:"
    "{{ bare(w) }}{% if not loop.last %},{% endif %}{% endfor %}{{ '}' }}"
    "{% elif v is string %}QUOTE{{ v }}QUOTE{% elif v is iterable %}[{% for w in v %}{{ bare(w) }}"
    "{% if not loop.last %},{% endif %}{% endfor %}]{% elif v is boolean %}{{ v | tojson }}"
    "{% else %}{{ v }}{% endif %}{% endmacro %}"
)


def _each(form: str, before: str = "", behind: str = "") -> str:
    return f"{before}{{% for c in m.tool_calls %}}{form}{{% endfor %}}{behind}"


def _object(name: str = "name", key: str = "arguments") -> str:
    return _ONE.replace("NAME", name).replace("KEY", key)


def _tags(opened: str, parameter: str, closed: str, *around: str) -> str:
    each = "{% for k, v in c.function.arguments.items() %}" + parameter + "{% endfor %}"
    return _each(opened + each.replace("VALUE", _VALUE) + closed, *around)


def _list(opened: str, closed: str, one: str = _object()) -> str:
    comma = "{% if not loop.last %}, {% endif %}"
    return _each(one + comma, f"{opened}[", f"]{closed}")


def _invoke(prefix: str, around: str, told: str = "") -> str:
    tag = f"{prefix}{around}" if around else ""
    return _tags(
        f'<{prefix}invoke name="{_NAME}">\n',
        f'<{prefix}parameter name="{{{{ k }}}}"{told}>VALUE</{prefix}parameter>\n',
        f"</{prefix}invoke>\n",
        *((f"<{tag}>\n", f"</{tag}>") if tag else ()),
    )


def _gemma(begins: str, ends: str, quote: str) -> str:
    return _BARE.replace("QUOTE", quote) + _each(
        f"{begins}call:{_NAME}{{{{ bare(c.function.arguments) }}}}{ends}"
    )


_PYTHON_CALL = _each(
    f"{_NAME}({{% for k, v in c.function.arguments.items() %}}{{{{ k }}}}={_PYTHON}"
    "{% if not loop.last %}, {% endif %}{% endfor %}){% if not loop.last %}BETWEEN{% endif %}"
)
_DSML = """ string="{{ 'true' if v is string else 'false' }}\""""
FORMS: Mapping[str, str] = {
    "hermes": _each(f"<tool_call>\n{_object()}\n</tool_call>\n"),
    "seed": _tags(
        f"<seed:tool_call>\n<function={_NAME}>\n",
        f"<parameter={{{{ k }}}}>{_VALUE}</parameter>\n",
        "</function>\n</seed:tool_call>",
    ),
    "functions-in-line": _tags(
        f"<tool_call><function={_NAME}>",
        "<parameter={{ k }}>" + _VALUE.replace("v | tojson", "v | string") + "</parameter>",
        "</function></tool_call>",
    ),
    "functions": _tags(
        f"<tool_call>\n<function={_NAME}>\n",
        "<parameter={{ k }}>\nVALUE\n</parameter>\n",
        "</function>\n</tool_call>\n",
    ),
    "arguments": _tags(
        f"<tool_call>{_NAME}\n",
        "<arg_key>{{ k }}</arg_key>\n<arg_value>VALUE</arg_value>\n",
        "</tool_call>\n",
    ),
    "mistral": _list("[TOOL_CALLS]", ""),
    "mistral-named": _each(f"[TOOL_CALLS]{_NAME}[CALL_ID]{{{{ c.id }}}}[ARGS]{_ARGS}"),
    "deepseek": _each(
        f"<｜tool▁call▁begin｜>{_NAME}<｜tool▁sep｜>{_ARGS}<｜tool▁call▁end｜>",
        "<｜tool▁calls▁begin｜>",
        "<｜tool▁calls▁end｜>",
    ),
    "dsml": _invoke("｜DSML｜", "function_calls", _DSML),
    "dsml-calls": _invoke("｜DSML｜", "tool_calls", _DSML),
    "elements": _ELEMENTS
    + _each(
        f'{_M3}<invoke name="{_NAME}">{{{{ xml(c.function.arguments) }}}}{_M3}</invoke>\n',
        f"{_M3}<tool_call>\n",
        f"{_M3}</tool_call>",
    ),
    "dsml-spaced": _invoke("｜DSML｜ ", "calls", _DSML),
    "step": _tags(
        f'<｜tool_call_begin｜>function<｜tool_sep｜><steptml:invoke name="{_NAME}">\n',
        '<steptml:parameter name="{{ k }}">VALUE</steptml:parameter>\n',
        "</steptml:invoke><｜tool_call_end｜>\n",
        "<｜tool_calls_begin｜>\n",
        "<｜tool_calls_end｜>",
    ),
    "minimax": _invoke("", "minimax:tool_call"),
    "atem": _invoke("atem:", "function_calls"),
    "invoke": _invoke("", "function_calls"),
    "channels": _each(
        f"<|start|>assistant<|channel|>commentary to=functions.{_NAME} "
        f"<|constrain|>json<|message|>{_ARGS}<|call|>"
    ),
    "granite": _list("<|tool_call|>", ""),
    "kimi": _each(
        f"<|tool_call_begin|>{{{{ c.id }}}}<|tool_call_argument_begin|>{_ARGS}<|tool_call_end|>",
        "<|tool_calls_section_begin|>",
        "<|tool_calls_section_end|>",
    ),
    "typed-arguments": _tags(
        f'<|open|>call tool="{_NAME}" index="{{{{ loop.index }}}}"<|sep|>',
        f'<|open|>argument key="{{{{ k }}}}" type="{_TYPE}"<|sep|>VALUE<|close|>argument<|sep|>',
        "<|close|>call<|sep|>",
        "<|open|>tools<|sep|>",
        "<|close|>tools<|sep|>",
    ),
    "tool-calls": _list("<tool_calls>", "</tool_calls>"),
    "toolcall": _list("<TOOLCALL>", "</TOOLCALL>"),
    "functionary": _each(f"<function={_NAME}>{_ARGS}</function>"),
    "recipients": _each(f">>>{_NAME}\n{_ARGS}"),
    "python": _PYTHON_CALL.replace("BETWEEN", ", ").join(
        ("<|tool_call_start|>[", "]<|tool_call_end|>")
    ),
    "gemma": _gemma("<|tool_call>", "<tool_call|>", '<|"|>'),
    "function-gemma": _gemma("<start_function_call>", "<end_function_call>", "<escape>"),
    "actions": _list("<|START_ACTION|>", "<|END_ACTION|>", _object("tool_name", "parameters")),
    "written-actions": _list("Action:\n```json\n", "```", _object("tool_name", "parameters")),
    "plugin": _each(f"<|action_start|><|plugin|>\n{_object(key='parameters')}<|action_end|>\n"),
    "params": _tags(
        f'<function name="{_NAME}">',
        f'<param name="{{{{ k }}}}">{_CDATA}</param>',
        "</function>\n",
    ),
    "solar": _each(
        f"<|tool_call:begin|>{{{{ c.id }}}}<|tool_call:name|>{_NAME}<|tool_call:args|>{_ARGS}"
        "<|tool_call:end|>",
        "<|tool_calls|>",
    ),
    "gigachat": _each("<|function_call|>" + _object()),
    "gigachat-turns": _each(f"<|message_sep|>\n\nfunction call<|role_sep|>\n{_object()}"),
    "longcat": _each(f"<longcat_tool_call>\n{_object()}\n</longcat_tool_call>\n"),
    "function-call": _each(f"<function_call> {_object()}\n"),
    "unused": _list("[unused11]", "[unused12]"),
    "clova": _list(" -> tool/function_call\n", ""),
    "typed-content": _each(
        f"<|message_model|>{_NAME}<|content_invoke_tool_json|>{_object(key='args')}<|end_message|>"
    ),
    "plamo": _each(
        f"<|plamo:begin_tool_request:plamo|><|plamo:begin_tool_name:plamo|>{_NAME}"
        f"<|plamo:end_tool_name:plamo|><|plamo:begin_tool_arguments:plamo|>{_ARGS}"
        "<|plamo:end_tool_arguments:plamo|><|plamo:end_tool_request:plamo|>",
        "<|plamo:begin_tool_requests:plamo|>",
        "<|plamo:end_tool_requests:plamo|>",
    ),
    "solar-arguments": _tags(
        f"<|tool_call:start|>{_NAME}\n",
        "<|tool_arg:start|>{{ k }}<|tool_arg:value|>VALUE<|tool_arg:end|>\n",
        "<|tool_call:end|>\n",
    ),
    "ifm-arguments": _tags(
        f"<ifm|tool_call>{_NAME}\n",
        "<ifm|arg_key>{{ k }}</ifm|arg_key>\n<ifm|arg_value>VALUE</ifm|arg_value>\n",
        "</ifm|tool_call>",
        "<ifm|tool_calls>",
        "</ifm|tool_calls>",
    ),
    "python-lines": _PYTHON_CALL.replace("BETWEEN", "{{ '\\n' }}").join(
        ("<function_calls>\n", "\n</function_calls>")
    ),
    "bare-python": _PYTHON_CALL.replace("BETWEEN", ", ").join("[]"),
    "prefixed": _list("<|tools_prefix|>", "<|tools_suffix|>").replace(
        _object(), "{{ {c.function.name: c.function.arguments} | tojson }}"
    ),
    "functools": _list("functools", ""),
    "bare": _each(_object(key="parameters")),
}
"""Name of a syntax -> Jinja of a turn with calls in it, as one of its families renders them."""

ONE_MARK = (
    *("granite", "mistral", "bare", "bare-python", "functools", "python-lines", "unused", "clova"),
)
"""Those in which one mark begins all calls of an answer."""


def template(form: str) -> ChatTemplate:
    """Of that syntax, which shows tools and calls."""
    calls = f"{{% if m.tool_calls %}}{FORMS[form]}{{% endif %}}"
    return ChatTemplate(
        "{% if tools %}{{ tools | tojson }}{% endif %}"
        f"{{% for m in messages %}}[{{{{ m.role }}}}]{{{{ m.content }}}}{calls}{{% endfor %}}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )


def rendered(form: str, calls: Sequence[Mapping[str, Any]], ids: Sequence[str] = ()) -> str:
    """What stands in the prompt of a turn that calls the tool with these arguments."""
    named = ids or [f"functions.{TOOL.name}:{number}" for number in range(len(calls))]
    made = tuple(
        ToolCall(known, TOOL.name, json.dumps(each))
        for known, each in zip(named, calls, strict=True)
    )
    turns = (Message("user", "?"), Message("assistant", "", made))
    shown = template(form).render(turns, special={}, begin_answer=False)
    return shown.partition("[assistant]")[2]


_any = st.text(max_size=20)
_MARKS = ("</", "<|", "]<", "]]", "<｜", "<escape")
texts = _any.filter(lambda text: not any(mark in text for mark in _MARKS))
"""Texts that do not spell what ends a value."""
arguments = st.fixed_dictionaries(
    {},
    optional={
        "text": texts,
        "count": st.integers(-(10**9), 10**9),
        "ratio": st.floats(allow_nan=False, allow_infinity=False, width=32),
        "sure": st.booleans(),
        "many": st.lists(texts, max_size=3),
        "deep": st.fixed_dictionaries({}, optional={"n": st.integers(0, 9), "other": texts}),
        "maybe": st.integers(0, 9),
    },
)
"""Arguments that the schema allows."""
