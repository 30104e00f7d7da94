"""How families of models write a call of a tool, and how it is read back.

A syntax is known by what it reads, and not by a model's name: the one in which a chat template
renders a probe, so that it can be read again. Of a template that renders no calls, by what it tells
the model of them.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.core.types import Tool
from gateway.models.families.readers import (
    Found,
    Read,
    bare,
    bare_python,
    call_of,
    gemma,
    json_calls,
    named_json,
    nested,
    prefixed,
    python,
    python_calls,
    tagged,
    to_whom,
)
from gateway.models.families.values import Schemas, json_at, schemas_of

Call = tuple[str, Mapping[str, Any]]
"""The name of a tool, and the arguments."""

_MOST_ENDS = 8
"""Of brackets that may end a list of calls."""
MOST_CALLS = 8
"""Of an enforced answer: a small model may repeat itself until its tokens are spent."""


@dataclass(frozen=True, slots=True)
class Objects:
    """An enforced call that is an object of JSON."""

    start: str
    """How the answer begins."""
    key: str = "arguments"
    name: str = "name"
    """The key of the tool's name; empty: the name is the key of the arguments."""
    number: str = ""
    """The key before the name of what numbers the calls of an answer; empty: nothing does."""
    listed: bool = False
    """Whether all calls of an answer are the elements of one list."""


@dataclass(frozen=True, slots=True)
class Tags:
    """What stands around the arguments of an enforced call that are written one by one."""

    before: str
    middle: str
    """Between key and value; {} for what `kinds` says of the kind of the value."""
    behind: str
    kinds: Mapping[str, str] = field(default_factory=dict)
    """A JSON type -> what is written of it; "" for all others."""
    quoted: bool = False
    """Whether texts are written as JSON writes them."""


@dataclass(frozen=True, slots=True)
class Syntax:
    """One way to write calls."""

    name: str
    opening: tuple[str, ...]
    """Texts of which one begins every call; empty: an answer that is a call is nothing else."""
    read: Read
    wrapped: tuple[str, ...] = ()
    """Texts around calls that are no content either."""
    header: str = ""
    """What stands before an answer that calls nothing, and is no content."""
    around: tuple[str, str] = ("", "")
    """What stands before and behind all enforced calls."""
    before: str = ""
    """What stands before the arguments of an enforced call: {} for the tool's name, {0} or {1} for
    the number of the call, counted from there."""
    ends: str = ""
    """What ends an enforced call that others may follow, and each whose arguments are in tags."""
    between: str | None = None
    """What stands between enforced calls; None: such an answer has one, or they are a list."""
    tags: Tags | None = None
    """Around those arguments; None: they are an object of JSON."""
    objects: Objects | None = None
    """An enforced call that is one object with its name. Without it and `before` calls are not
    enforced."""
    told: tuple[str, ...] = ()
    """Texts by which templates that render no calls tell the model of the syntax."""
    write: Callable[[Sequence[Call]], str] | None = None
    """Writes calls for such a template, as the model does."""
    short_ids: bool = False
    """Whether templates take no ids but those of nine letters and digits."""

    @property
    def most(self) -> int:
        """How many calls an enforced answer may have."""
        listed = self.objects is not None and self.objects.listed
        return MOST_CALLS if listed or self.between is not None else 1

    @property
    def marks(self) -> tuple[str, ...]:
        """Texts that may be control tokens, and are shown with an answer all the same."""
        return tuple(dict.fromkeys((*self.opening, *self.wrapped, *_MORE_MARKS.get(self.name, ()))))


_MORE_MARKS: Mapping[str, tuple[str, ...]] = {
    "python": ("<|tool_call_end|>",),
    "kimi": ("<|tool_call_begin|>", "<|tool_call_argument_begin|>", "<|tool_call_end|>"),
    "arguments": ("<tool_call:opensource>",),
    "elements": ("]<]minimax[>[", "<tool_call>", "</tool_call>"),
}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _as_objects(calls: Sequence[Call]) -> list[Any]:
    return [{"name": name, "arguments": arguments} for name, arguments in calls]


def _hermes(calls: Sequence[Call]) -> str:
    return "\n".join(f"<tool_call>\n{_json(c)}\n</tool_call>" for c in _as_objects(calls))


def _granite(calls: Sequence[Call]) -> str:
    return f"<|tool_call|>{_json(_as_objects(calls))}"


def _in_python(calls: Sequence[Call]) -> list[str]:
    return [
        f"{name}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})"
        for name, arguments in calls
    ]


def _lfm(calls: Sequence[Call]) -> str:
    return f"<|tool_call_start|>{_bare_python(calls)}<|tool_call_end|>"


def _bare_python(calls: Sequence[Call]) -> str:
    return f"[{', '.join(_in_python(calls))}]"


def _olmo(calls: Sequence[Call]) -> str:
    return "\n".join(["<function_calls>", *_in_python(calls), "</function_calls>"])


def _unquoted(text: str) -> str:
    """An attribute's value, in which two characters are escaped."""
    return text.replace("&quot;", '"').replace("&amp;", "&")


def _out_of_cdata(text: str) -> str:
    begins, ends = "<![CDATA[", "]]>"
    whole = text.startswith(begins) and text.endswith(ends)
    return text[len(begins) : -len(ends)] if whole else text


def _functions(framed: str) -> Read:
    """Tags with the name in them; `framed` stands around each value."""
    return tagged(
        r"<function=(?P<name>[^<>\s]+)>",
        rf"\s*<parameter=(?P<key>[^<>]+)>{framed}",
        rf"{framed}(</parameter>)(?=\s*<(?:parameter=|/function>)|\s*$)",
        r"\s*</function>",
    )


def _invoke(
    name: str, prefix: str, around: Sequence[str], *, kinds: bool = False, several: bool = True
) -> Syntax:
    """An `invoke` with a `parameter` for each argument; a family has its prefix of the tags.

    Args:
        around: names of the tags around all calls.
        kinds: whether each parameter says if it is a text.
        several: whether calls follow each other within one turn.
    """
    told = r' string="(?P<kind>true|false)"' if kinds else ""
    read = tagged(
        rf'<{prefix}invoke name="(?P<name>[^"]+)">',
        rf'\s*<{prefix}parameter name="(?P<key>[^"]+)"{told}>',
        rf"(</{prefix}parameter>)(?=\s*<(?:{prefix}parameter |/{prefix}invoke>)|\s*$)",
        rf"\s*</{prefix}invoke>",
    )
    tags = [tag for each in around for tag in (f"<{prefix}{each}>", f"</{prefix}{each}>")]
    around_all = (f"{tags[0]}\n", f"\n{tags[1]}") if tags else ("", "")
    middle = '" string="{}">' if kinds else '">'
    return Syntax(
        name,
        (*tags[::2], f"<{prefix}invoke"),
        read,
        tuple(tags),
        around=around_all,
        before=f'<{prefix}invoke name="{{}}">\n',
        ends=f"</{prefix}invoke>",
        between="\n" if several else None,
        tags=Tags(
            f'<{prefix}parameter name="',
            middle,
            f"</{prefix}parameter>\n",
            {"string": "true", "": "false"},
        ),
    )


def _argument_tags(
    name: str, prefix: str, more: Sequence[str], wrapped: Sequence[str] = ()
) -> Syntax:
    """The name behind the first tag, and a tag for each key and each value; a family has its prefix
    of the tags, and some a suffix.

    Args:
        more: other texts with which calls begin.
        wrapped: as `Syntax.wrapped`.
    """
    tag = re.escape(prefix)
    return Syntax(
        name,
        (f"<{prefix}tool_call>", *more),
        tagged(
            rf"(?:<{tag}tool_calls(?::\w+)?>\s*)?<{tag}tool_call(?::\w+)?>(?P<name>[^<{{\s]+)"
            r"(?:<tool_sep(?::\w+)?>)?",
            rf"\s*<{tag}arg_key(?::\w+)?>(?P<key>[^<]*)</{tag}arg_key(?::\w+)?>"
            rf"\s*(?:<{tag}arg_type>(?P<kind>\w+)[^<]*</{tag}arg_type>\s*)?"
            rf"<{tag}arg_value(?::\w+)?>",
            rf"(</{tag}arg_value(?::\w+)?>)(?=\s*<{tag}arg_key|\s*</{tag}tool_call|\s*$)",
            rf"\s*</{tag}tool_call(?::\w+)?>(?:\s*</{tag}tool_calls(?::\w+)?>)?",
        ),
        tuple(wrapped),
        before=f"<{prefix}tool_call>{{}}\n",
        ends=f"</{prefix}tool_call>",
        between="\n",
        tags=Tags(
            f"<{prefix}arg_key>",
            f"</{prefix}arg_key>\n<{prefix}arg_value>",
            f"</{prefix}arg_value>\n",
        ),
    )


_IFM_TAGS = ("<ifm|tool_calls>", "</ifm|tool_calls>")
_PLAMO_TAGS = ("<|plamo:begin_tool_requests:plamo|>", "<|plamo:end_tool_requests:plamo|>")
_STEP_TAGS = ("<｜tool_calls_begin｜>", "<｜tool_calls_end｜>")
_STEP_MORE = (
    *("<｜tool_call_begin｜>", "function<｜tool_sep｜>", "<｜tool_sep｜>", "<｜tool_call_end｜>"),
    *_STEP_TAGS,
)
_KIMI = ("<|tool_calls_section_begin|>", "<|tool_calls_section_end|>")
_DEEPSEEK = ("<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>")
_OPENSOURCE = ("<tool_calls:opensource>", "</tool_calls:opensource>")
_CALL_TAGS = ("<tool_call>", "</tool_call>")
_SEED_TAGS = ("<seed:tool_call>", "</seed:tool_call>")
_K3_TAGS = ("<|open|>tools<|sep|>", "<|close|>tools<|sep|>")

BARE, BARE_PYTHON = "bare", "bare-python"
HERMES = Syntax(
    "hermes",
    ("<tool_call>",),
    json_calls("<tool_call>", "</tool_call>"),
    ends="\n</tool_call>",
    between="\n",
    objects=Objects("<tool_call>\n"),
    write=_hermes,
)
"""A JSON object with a name and arguments between tags
(https://github.com/NousResearch/Hermes-Function-Calling)."""

SYNTAXES: tuple[Syntax, ...] = (
    HERMES,
    Syntax(
        "seed",
        ("<seed:tool_call>",),
        tagged(
            r"(?:<seed:tool_call>\s*)<function=(?P<name>[^<>\s]+)>",
            r"\s*<parameter=(?P<key>[^<>]+)>",
            r"(</parameter>)(?=\s*<(?:parameter=|/function>)|\s*$)",
            r"\s*</function>(?:\s*</seed:tool_call>)?",
        ),
        _SEED_TAGS,
        before="<seed:tool_call>\n<function={}>\n",
        ends="</function>\n</seed:tool_call>",
        between="\n",
        tags=Tags("<parameter=", ">", "</parameter>\n"),
    ),
    Syntax(
        "functions-in-line",
        ("<tool_call>", "<function="),
        _functions(""),
        _CALL_TAGS,
        before="<tool_call><function={}>",
        ends="</function></tool_call>",
        between="",
        tags=Tags("<parameter=", ">", "</parameter>"),
    ),
    Syntax(
        "functions",
        ("<tool_call>", "<function="),
        _functions(r"\n?"),
        _CALL_TAGS,
        before="<tool_call>\n<function={}>\n",
        ends="</function>\n</tool_call>",
        between="\n",
        tags=Tags("<parameter=", ">\n", "\n</parameter>\n"),
    ),
    _argument_tags("arguments", "", ("<tool_call:", "<tool_calls:"), _OPENSOURCE),
    replace(_argument_tags("ifm-arguments", "ifm|", _IFM_TAGS[:1], _IFM_TAGS), around=_IFM_TAGS),
    Syntax(
        "mistral",
        ("[TOOL_CALLS]",),
        json_calls("[TOOL_CALLS]", ""),
        objects=Objects("[TOOL_CALLS]", listed=True),
        short_ids=True,
    ),
    Syntax(
        "mistral-named",
        ("[TOOL_CALLS]",),
        named_json(
            r"\[TOOL_CALLS\](?P<name>[^\[{\s]+)(?:\[CALL_ID\](?P<id>[^\[{\s]*))?(?:\[ARGS\]|(?=\{))"
        ),
        before="[TOOL_CALLS]{}[ARGS]",
        between="",
        short_ids=True,
    ),
    Syntax(
        "deepseek",
        (_DEEPSEEK[0], "<｜tool▁call▁begin｜>"),
        named_json(
            r"<｜tool▁call▁begin｜>(?:function<｜tool▁sep｜>)?(?P<name>[^<\n]+)"
            r"(?:<｜tool▁sep｜>|\n```json\n)",
            "(?:```)?<｜tool▁call▁end｜>",
        ),
        _DEEPSEEK,
        around=_DEEPSEEK,
        before="<｜tool▁call▁begin｜>{}<｜tool▁sep｜>",
        ends="<｜tool▁call▁end｜>",
        between="",
        told=_DEEPSEEK[:1],
    ),
    _invoke("dsml", "｜DSML｜", ("function_calls",), kinds=True),
    _invoke("dsml-calls", "｜DSML｜", ("tool_calls",), kinds=True),
    _invoke("dsml-spaced", "｜DSML｜ ", ("calls",), kinds=True),
    Syntax(
        "elements",
        ("]<]minimax[>[<tool_call>", "]<]minimax[>[<invoke"),
        nested("]<]minimax[>["),
        ("]<]minimax[>[<tool_call>", "]<]minimax[>[</tool_call>"),
    ),
    _invoke("invoke", "", ("function_calls",)),
    _invoke("minimax", "", ("minimax:tool_call",)),
    replace(
        _invoke("step", "steptml:", ()),
        opening=(*_STEP_TAGS[:1], "<｜tool_call_begin｜>", "<steptml:invoke"),
        wrapped=_STEP_MORE,
        around=("<｜tool_calls_begin｜>\n", "\n<｜tool_calls_end｜>"),
        before='<｜tool_call_begin｜>function<｜tool_sep｜><steptml:invoke name="{}">\n',
        ends="</steptml:invoke><｜tool_call_end｜>",
    ),
    _invoke("atem", "atem:", ("function_calls",), several=False),
    Syntax(
        "channels",
        ("<|channel|>commentary to=", " to=functions.", "to=functions.", "<|start|>assistant"),
        named_json(
            r"(?:<\|start\|>assistant)?(?:<\|channel\|>commentary)?\s?to=(?:functions\.)?"
            r"(?P<name>[\w.-]+)\s?(?:<\|channel\|>commentary)?\s?(?:<\|constrain\|>)?(?:json)?\s?"
            r"<\|message\|>",
            r"<\|call\|>|<\|end\|>",
        ),
        before="<|channel|>commentary to=functions.{} <|constrain|>json<|message|>",
    ),
    Syntax(
        "granite",
        ("<|tool_call|>",),
        json_calls("<|tool_call|>", "<|/tool_call|>"),
        objects=Objects("<|tool_call|>", listed=True),
        told=("<|tool_call|>",),
        write=_granite,
    ),
    Syntax(
        "kimi",
        (_KIMI[0], "<|tool_call_begin|>"),
        named_json(
            r"<\|tool_call_begin\|>\s*(?P<id>(?:functions\.)?(?P<name>[^:<\s]+)(?::\d+)?)\s*"
            r"<\|tool_call_argument_begin\|>",
            r"<\|tool_call_end\|>",
        ),
        _KIMI,
        around=_KIMI,
        before="<|tool_call_begin|>functions.{}:{0}<|tool_call_argument_begin|>",
        ends="<|tool_call_end|>",
        between="",
        told=_KIMI[:1],
    ),
    Syntax(
        "typed-arguments",
        ("<|open|>tools<|sep|>", "<|open|>call "),
        tagged(
            r'<\|open\|>call tool="(?P<name>[^"]+)"[^<]*<\|sep\|>',
            r'\s*<\|open\|>argument key="(?P<key>[^"]*)" type="(?P<kind>\w+)"<\|sep\|>',
            r"(<\|close\|>argument<\|sep\|>)"
            r"(?=\s*<\|(?:open\|>argument|close\|>call)|\s*$)",
            r"\s*<\|close\|>call<\|sep\|>",
            key_of=_unquoted,
        ),
        _K3_TAGS,
        around=_K3_TAGS,
        before='<|open|>call tool="{}" index="{1}"<|sep|>',
        ends="<|close|>call<|sep|>",
        between="",
        tags=Tags(
            '<|open|>argument key="',
            '" type="{}"<|sep|>',
            "<|close|>argument<|sep|>",
            {
                **{kind: kind for kind in ("string", "boolean", "null", "object", "array")},
                **dict.fromkeys(("integer", "number", ""), "number"),
            },
        ),
    ),
    Syntax(
        "tool-calls",
        ("<tool_calls>",),
        json_calls("<tool_calls>", "</tool_calls>"),
        objects=Objects("<tool_calls>", listed=True),
    ),
    Syntax(
        "toolcall",
        ("<TOOLCALL>",),
        json_calls("<TOOLCALL>", "</TOOLCALL>"),
        objects=Objects("<TOOLCALL>", listed=True),
    ),
    Syntax(
        "functionary",
        ("<function=",),
        named_json(r"<function=(?P<name>[^<>\s]+)>", "</function>"),
        before="<function={}>",
        ends="</function>",
        between="",
    ),
    Syntax("recipients", (">>>",), to_whom("all"), header="all\n", before="{}\n", between=">>>"),
    Syntax(
        "python",
        ("<|tool_call_start|>",),
        python("<|tool_call_start|>", "<|tool_call_end|>"),
        around=("<|tool_call_start|>[", "]<|tool_call_end|>"),
        before="{}(",
        ends=")",
        between=", ",
        tags=Tags("", "=", ", ", quoted=True),
        told=("<|tool_call_start|>", "<|tool_list_start|>", "List of tools: ["),
        write=_lfm,
    ),
    Syntax("gemma", ("<|tool_call>",), gemma("<|tool_call>", "<tool_call|>", '<|"|>')),
    Syntax(
        "function-gemma",
        ("<start_function_call>",),
        gemma("<start_function_call>", "<end_function_call>", "<escape>"),
    ),
    Syntax(
        "actions",
        ("<|START_ACTION|>",),
        json_calls("<|START_ACTION|>", "<|END_ACTION|>"),
        objects=Objects("<|START_ACTION|>", "parameters", "tool_name", "tool_call_id", listed=True),
    ),
    Syntax(
        "written-actions",
        ("Action:",),
        json_calls("Action:", "```", r"Action:\s*```(?:json)?\s*"),
        objects=Objects("Action:\n```json\n", "parameters", "tool_name", listed=True),
    ),
    Syntax(
        "plugin",
        ("<|action_start|>",),
        json_calls("", "<|action_end|>", r"<\|action_start\|>\s*(?:<\|plugin\|>)?\s*"),
        ("<|action_start|>", "<|plugin|>", "<|action_end|>"),
        ends="<|action_end|>",
        between="\n",
        objects=Objects("<|action_start|><|plugin|>\n", "parameters"),
    ),
    Syntax(
        "params",
        ("<function name=",),
        tagged(
            r'<function name="(?P<name>[^"]+)">',
            r'\s*<param name="(?P<key>[^"]+)">',
            r"(</param>)(?=\s*<(?:param |/function>)|\s*$)",
            r"\s*</function>",
            text_of=_out_of_cdata,
        ),
        before='<function name="{}">',
        ends="</function>",
        between="\n",
        tags=Tags('<param name="', '">', "</param>"),
    ),
    Syntax(
        "solar",
        ("<|tool_calls|>", "<|tool_call:begin|>"),
        named_json(
            r"<\|tool_call:begin\|>(?P<id>[^<]*)<\|tool_call:name\|>(?P<name>[^<]+)"
            r"<\|tool_call:args\|>",
            r"<\|tool_call:end\|>",
        ),
        ("<|tool_calls|>", "<|calls|>"),
    ),
    Syntax(
        "gigachat",
        ("<|function_call|>",),
        json_calls("<|function_call|>", ""),
        objects=Objects("<|function_call|>"),
    ),
    Syntax(
        "gigachat-turns",
        ("<|message_sep|>\n\nfunction call<|role_sep|>", "function call<|role_sep|>"),
        json_calls("", "", r"(?:<\|message_sep\|>\s*)?function call<\|role_sep\|>\s*"),
        ("<|message_sep|>",),
        objects=Objects("<|message_sep|>\n\nfunction call<|role_sep|>\n"),
    ),
    Syntax(
        "longcat",
        ("<longcat_tool_call>",),
        json_calls("<longcat_tool_call>", "</longcat_tool_call>"),
        ends="\n</longcat_tool_call>",
        between="\n",
        objects=Objects("<longcat_tool_call>\n"),
    ),
    Syntax(
        "function-call",
        ("<function_call>",),
        json_calls("<function_call>", "</function_call>"),
        between="\n",
        objects=Objects("<function_call> "),
    ),
    Syntax(
        "unused",
        ("[unused11]",),
        json_calls("[unused11]", "[unused12]"),
        objects=Objects("[unused11]", listed=True),
    ),
    Syntax(
        "clova",
        ("-> tool/function_call",),
        json_calls("", "", r"-> tool/function_call\s*"),
        objects=Objects(" -> tool/function_call\n", listed=True),
    ),
    Syntax(
        "typed-content",
        ("<|message_model|>", "<|content_invoke_tool_json|>"),
        json_calls(
            "",
            "<|end_message|>",
            r"(?:<\|message_model\|>[^<\s]*)?<\|content_invoke_tool_json\|>\s*",
        ),
        objects=Objects("<|content_invoke_tool_json|>", "args"),
    ),
    Syntax(
        "plamo",
        (_PLAMO_TAGS[0], "<|plamo:begin_tool_request:plamo|>"),
        named_json(
            r"<\|plamo:begin_tool_request:plamo\|>\s*<\|plamo:begin_tool_name:plamo\|>"
            r"(?P<name>[^<]+)<\|plamo:end_tool_name:plamo\|>\s*"
            r"<\|plamo:begin_tool_arguments:plamo\|>",
            r"<\|plamo:end_tool_arguments:plamo\|>\s*<\|plamo:end_tool_request:plamo\|>",
        ),
        _PLAMO_TAGS,
        around=_PLAMO_TAGS,
        before="<|plamo:begin_tool_request:plamo|><|plamo:begin_tool_name:plamo|>{}"
        "<|plamo:end_tool_name:plamo|><|plamo:begin_tool_arguments:plamo|>",
        ends="<|plamo:end_tool_arguments:plamo|><|plamo:end_tool_request:plamo|>",
        between="",
    ),
    Syntax(
        "solar-arguments",
        ("<|tool_call:start|>",),
        tagged(
            r"<\|tool_call:start\|>(?P<name>[^<\n]+)",
            r"\s*<\|tool_arg:start\|>(?P<key>[^<]*)<\|tool_arg:value\|>",
            r"(<\|tool_arg:end\|>)(?=\s*<\|tool_(?:arg:start|call:end)\|>|\s*$)",
            r"\s*<\|tool_call:end\|>",
        ),
        before="<|tool_call:start|>{}\n",
        ends="<|tool_call:end|>",
        between="\n",
        tags=Tags("<|tool_arg:start|>", "<|tool_arg:value|>", "<|tool_arg:end|>\n"),
    ),
    Syntax(
        "python-lines",
        ("<function_calls>",),
        python("<function_calls>", "</function_calls>"),
        around=("<function_calls>\n", "\n</function_calls>"),
        before="{}(",
        ends=")",
        between="\n",
        tags=Tags("", "=", ", ", quoted=True),
        told=("<function_calls></function_calls>",),
        write=_olmo,
    ),
    Syntax(
        "prefixed",
        ("<|tools_prefix|>",),
        prefixed("<|tools_prefix|>", "<|tools_suffix|>"),
        objects=Objects("<|tools_prefix|>", name="", listed=True),
    ),
    Syntax(
        "functools",
        ("functools[",),
        json_calls("", "", r"functools(?=\[)"),
        objects=Objects("functools", listed=True),
        told=("functools[",),
    ),
    Syntax(
        BARE_PYTHON,
        (),
        bare_python,
        around=("[", "]"),
        before="{}(",
        ends=")",
        between=", ",
        tags=Tags("", "=", ", ", quoted=True),
        told=("[func_name1(",),
        write=_bare_python,
    ),
    Syntax(BARE, (), bare, objects=Objects("", "parameters")),
)
"""Those that have no mark of their own come last."""


def syntax_named(name: str) -> Syntax:
    """The syntax of that name; empty: that of Hermes."""
    return next((each for each in SYNTAXES if each.name == name), HERMES)


def found_in(text: str, syntax: Syntax, schemas: Schemas) -> tuple[str, list[Found]]:
    """What is said beside calls of known tools, and those calls. All else stays text."""
    calls = [call for call in syntax.read(text, schemas) if call.name in schemas]
    if not calls:
        return text.removeprefix(syntax.header), []
    first = begins_at(text, syntax)
    first = calls[0].start if first is None else min(first, calls[0].start)
    said, at = "", first
    for call in calls:
        said += text[at : max(at, call.start)]
        at = max(at, call.end)
    said += text[at:]
    for wrapped in syntax.wrapped:
        said = said.replace(wrapped, "")
    return (text[:first] + said).removeprefix(syntax.header), calls


def begins_at(text: str, syntax: Syntax, header: str | None = None) -> int | None:
    """Where a call may begin in a text; None: nowhere.

    Args:
        header: what has to stand before all that is no call; None: the syntax's.
    """
    header = syntax.header if header is None else header
    if header and not text.startswith(header):
        return 0
    if not syntax.opening:
        shown = text.lstrip()
        return 0 if shown.startswith(("{", "[", "<|python_tag|>", "<|python_start|>")) else None
    return min((at for each in syntax.opening if (at := text.find(each)) >= 0), default=None)


def may_begin(text: str, syntax: Syntax) -> int:
    """Length of the text's end that may be the beginning of a call."""
    if not syntax.opening:
        shown = text.lstrip()
        return len(text) if _may_be_python(shown) else 0
    longest = min(len(text), max(map(len, syntax.opening)) - 1)
    ends = (
        n for n in range(longest, 0, -1) if any(o.startswith(text[-n:]) for o in syntax.opening)
    )
    return next(ends, 0)


def _may_be_python(shown: str) -> bool:
    return "<|python_tag|>".startswith(shown) or "<|python_start|>".startswith(shown)


def syntax_of(
    rendered: str,
    answer: str,
    expected: Sequence[tuple[str, dict[str, Any]]],
    tool: Tool,
    known: str,
) -> str:
    """Name of the syntax in which calls are rendered; empty: none that is known.

    Args:
        answer: the part of it that a model writes and what follows, where it is known.
        known: the call's id, which may be written for the name.
    """
    schemas = schemas_of([tool])
    first = json_at(answer, 0) if answer else None
    if first is not None:
        values = first[0] if isinstance(first[0], list) else [first[0]]
        if [call_of(each) for each in values] == list(expected):
            return BARE
    ends = [found.end() for found in re.finditer(r"\]", answer)][:_MOST_ENDS]
    if answer.startswith("[") and list(expected) in [python_calls(answer[:end]) for end in ends]:
        return BARE_PYTHON
    # Several read the same, and differ in what stands around all calls.
    for syntax in sorted(SYNTAXES, key=lambda each: not _opens_in(rendered, each)):
        text = answer if syntax.header else rendered
        calls = [(c.name, c.arguments) for c in syntax.read(text, schemas)]
        if [(tool.name if n == known else n, a) for n, a in calls] == list(expected):
            return syntax.name
    return ""


def _opens_in(rendered: str, syntax: Syntax) -> bool:
    return any(first in rendered for first in syntax.opening[:1])


def syntax_told(source: str) -> str:
    """Name of the syntax of which a template that renders no calls tells; empty: of none."""
    found = (each.name for each in SYNTAXES if any(told in source for told in each.told))
    return next(found, "")
