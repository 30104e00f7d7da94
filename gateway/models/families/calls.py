"""How families of models write a call of a tool, and how it is read back.

A syntax is known by what it reads, and not by a model's name: the one in which a chat template
renders a probe, so that it can be read again.
"""

import ast
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.core.types import Tool

Schemas = Mapping[str, Mapping[str, Any]]
"""Name of a tool -> the JSON schema of its arguments."""


@dataclass(frozen=True, slots=True)
class Found:
    """A call in a text."""

    start: int
    end: int
    name: str
    arguments: dict[str, Any]


Read = Callable[[str, Schemas], Iterator[Found]]


@dataclass(frozen=True, slots=True)
class Syntax:
    """One way to write calls."""

    name: str
    opening: tuple[str, ...]
    """Texts of which one begins every call; empty: an answer that is a call is nothing else."""
    read: Read
    wrapped: tuple[str, ...] = ()
    """Texts around calls that are no content either."""
    before: str = ""
    """What stands before the arguments of an enforced call, {} for the tool's name; empty: calls
    are not enforced."""
    between: tuple[str, str, str] | None = None
    """Of arguments in tags: before a key, between key and value, behind a value."""
    behind: str = ""
    """What ends an enforced call whose arguments are in tags."""


_OBJECT_KEYS = (("name", "arguments"), ("name", "parameters"), ("tool_name", "parameters"))
_DECODER = json.JSONDecoder()


def schemas_of(tools: Iterable[Tool]) -> Schemas:
    """The schemas of tools; of one that is no object, an empty one."""
    read = {tool.name: _loaded(tool.parameters) for tool in tools}
    return {name: schema if isinstance(schema, dict) else {} for name, schema in read.items()}


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _json_at(text: str, at: int) -> tuple[Any, int] | None:
    """The JSON value at a place, and where it ends."""
    while at < len(text) and text[at].isspace():
        at += 1
    try:
        return _DECODER.raw_decode(text, at)
    except (ValueError, RecursionError):
        return None


def _call_of(value: Any) -> tuple[str, dict[str, Any]] | None:
    """What an object calls; None: it is no call. Arguments may be a text of JSON."""
    if not isinstance(value, dict):
        return None
    function = value.get("function")
    inner: dict[str, Any] = function if isinstance(function, dict) else value
    for name, arguments in _OBJECT_KEYS:
        given = inner.get(arguments)
        given = _loaded(given) if isinstance(given, str) else given
        if isinstance(inner.get(name), str) and isinstance(given, dict):
            return inner[name], given
    if isinstance(inner.get("name"), str) and inner.keys() <= {"name", "id", "type"}:
        return inner["name"], {}
    return None


def _json_calls(opening: str, closing: str) -> Read:
    """Objects, or lists of them, between two texts; the second may be missing at the end."""

    def read(text: str, schemas: Schemas) -> Iterator[Found]:
        at = text.find(opening)
        while at >= 0:
            end = at + len(opening)
            started, calls = at, []
            while (found := _json_at(text, end)) is not None:
                value, end = found
                calls += [_call_of(v) for v in (value if isinstance(value, list) else [value])]
                end += len(text[end:]) - len(text[end:].lstrip(" \n;,"))
            close = text.find(closing, end) if closing else end
            if closing and not text[end:close].strip() and close >= 0:
                end = close + len(closing)
            for call in calls:
                if call is not None:
                    yield Found(started, end, *call)
                    started = end
            at = text.find(opening, max(end, at + 1))

    return read


def _bare(text: str, schemas: Schemas) -> Iterator[Found]:
    """An answer that is nothing but objects: Llama 3's."""
    tag = "<|python_tag|>"
    begin = len(text) - len(text.lstrip())
    at = begin + len(tag) if text[begin:].startswith(tag) else begin
    found: list[tuple[str, dict[str, Any]]] = []
    while at < len(text):
        value = _json_at(text, at)
        call = _call_of(value[0]) if value else None
        if value is None or call is None:
            return
        found.append(call)
        at = value[1] + len(text[value[1] :]) - len(text[value[1] :].lstrip(" \n;"))
    for number, (name, arguments) in enumerate(found):
        yield Found(at if number else 0, at, name, arguments)


def _named_json(pattern: str, closing: str = "") -> Read:
    """A name in what stands before the object of arguments."""
    before, behind = re.compile(pattern), re.compile(rf"\s*(?:{closing})") if closing else None

    def read(text: str, schemas: Schemas) -> Iterator[Found]:
        at = 0
        while found := before.search(text, at):
            value = _json_at(text, found.end())
            at = found.end()
            if value is None or not isinstance(value[0], dict):
                continue
            at = value[1]
            if behind is not None and (end := behind.match(text, at)):
                at = end.end()
            yield Found(found.start(), at, found["name"], value[0])

    return read


def _tagged(opening: str, parameter: str, closing: str) -> Read:
    """Arguments one by one, a key and a text each; what the schema says makes values of them."""
    begins, ends = re.compile(opening), re.compile(closing)
    each = re.compile(parameter, re.DOTALL)

    def read(text: str, schemas: Schemas) -> Iterator[Found]:
        at = 0
        while found := begins.search(text, at):
            end = ends.search(text, found.end())
            stop = end.start() if end else len(text)
            arguments, inner = {}, found.end()
            while argument := each.match(text, inner):
                told = argument.groupdict().get("text")
                schema = schemas.get(found["name"], {})
                key, value = argument["key"], argument["value"]
                arguments[key] = _value(value, key, schema, told)
                inner = argument.end()
            # A value may spell what ends a call.
            end = ends.match(text, inner) or (end if end and end.start() >= inner else None)
            at = end.end() if end else max(stop, inner)
            if end and not text[inner : end.start()].strip():
                yield Found(found.start(), at, found["name"], arguments)

    return read


def _value(text: str, key: str, schema: Mapping[str, Any], told: str | None) -> Any:
    """An argument as the schema has it: a text, or what JSON says where it allows no text."""
    properties = schema.get("properties")
    kind = properties.get(key) if isinstance(properties, dict) else None
    kinds = kind.get("type") if isinstance(kind, dict) else None
    allowed = kinds if isinstance(kinds, list) else [kinds]
    is_text = told == "true" if told is not None else "string" in allowed or allowed == [None]
    if is_text:
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _python(text: str, schemas: Schemas) -> Iterator[Found]:
    """Calls as Python writes them, between LFM2's marks."""
    begins, ends = "<|tool_call_start|>", "<|tool_call_end|>"
    at = text.find(begins)
    while at >= 0:
        end = text.find(ends, at)
        body = text[at + len(begins) : end if end >= 0 else len(text)]
        stop = end + len(ends) if end >= 0 else len(text)
        started = at
        for name, arguments in _python_calls(body.strip()):
            yield Found(started, stop, name, arguments)
            started = stop
        at = text.find(begins, stop)


def _python_calls(body: str) -> list[tuple[str, dict[str, Any]]]:
    try:
        tree = ast.parse(body, mode="eval").body
        calls = tree.elts if isinstance(tree, ast.List | ast.Tuple) else [tree]
        return [_python_call(call) for call in calls]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []


def _python_call(call: ast.expr) -> tuple[str, dict[str, Any]]:
    if not isinstance(call, ast.Call) or call.args:
        raise ValueError("no call with named arguments")
    given = {str(k.arg): _literal(k.value) for k in call.keywords if k.arg}
    return ast.unparse(call.func), given


def _literal(node: ast.expr) -> Any:
    if isinstance(node, ast.Name) and node.id in ("true", "false", "null"):
        return json.loads(node.id)
    return ast.literal_eval(node)


def _gemma(begins: str, ends: str, quote: str) -> Read:
    """Gemma's objects, whose keys are bare and whose texts stand between marks of their own."""
    begin = re.compile(rf"{re.escape(begins)}call:(?P<name>[\w.-]+)(?=\{{)")

    def read(text: str, schemas: Schemas) -> Iterator[Found]:
        at = 0
        while found := begin.search(text, at):
            at = found.end()
            made, end = _as_json(text, at, quote)
            arguments = _loaded(made)
            if not isinstance(arguments, dict):
                continue
            at = end + len(ends) if text.startswith(ends, end) else end
            yield Found(found.start(), at, found["name"], arguments)

    return read


def _as_json(text: str, at: int, quote: str) -> tuple[str, int]:
    """The object at a place as JSON, and where it ends."""
    made, depth = "", 0
    while at < len(text):
        if text.startswith(quote, at):
            end = text.find(quote, at + len(quote))
            end = len(text) if end < 0 else end
            made += json.dumps(text[at + len(quote) : end])
            at = end + len(quote)
            continue
        if key := re.compile(r"([{,]\s*)([^\s{}\[\],:\"<]+):").match(text, at):
            made += f"{key[1]}{json.dumps(key[2])}:"
            depth += key[1].startswith("{")
            at = key.end()
            continue
        depth += (text[at] in "{[") - (text[at] in "}]")
        made += text[at]
        at += 1
        if depth == 0:
            break
    return made, at


def _prefixed(text: str, schemas: Schemas) -> Iterator[Found]:
    """Apertus: a list of objects whose one key is the name."""
    for found in re.finditer(re.escape("<|tools_prefix|>"), text):
        value = _json_at(text, found.end())
        if value is None or not isinstance(value[0], list):
            continue
        end = value[1] + len("<|tools_suffix|>") * text.startswith("<|tools_suffix|>", value[1])
        started = found.start()
        for each in value[0]:
            if isinstance(each, dict) and len(each) == 1:
                ((name, arguments),) = each.items()
                if isinstance(arguments, dict):
                    yield Found(started, end, name, arguments)
                    started = end


_INVOKE = r"(?:｜DSML｜|[a-z]+:)?"
_FUNCTION = ("<parameter=", ">\n", "\n</parameter>\n")
_KIMI = ("<|tool_calls_section_begin|>", "<|tool_calls_section_end|>")
_DEEPSEEK = ("<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>")

BARE = "bare"
HERMES = Syntax(
    "hermes",
    ("<tool_call>",),
    _json_calls("<tool_call>", "</tool_call>"),
)
"""A JSON object with a name and arguments between tags
(https://github.com/NousResearch/Hermes-Function-Calling)."""

SYNTAXES: tuple[Syntax, ...] = (
    HERMES,
    Syntax(
        "functions",
        ("<tool_call>", "<seed:tool_call>", "<function="),
        _tagged(
            r"<function=(?P<name>[^>\s]+)>",
            r"\s*<parameter=(?P<key>[^>]+)>\n?(?P<value>.*?)\n?</parameter>(?=\s*<(?:parameter=|/function>)|\s*$)",
            r"\s*</function>",
        ),
        ("<tool_call>", "</tool_call>", "<seed:tool_call>", "</seed:tool_call>"),
        before="<tool_call>\n<function={}>\n",
        between=_FUNCTION,
        behind="</function>\n</tool_call>",
    ),
    Syntax(
        "arguments",
        ("<tool_call>", "<tool_call:opensource>", "<tool_calls:opensource>"),
        _tagged(
            r"<tool_call(?::\w+)?>(?P<name>[^<{\s]+)(?:<tool_sep(?::\w+)?>)?",
            r"\s*<arg_key(?::\w+)?>(?P<key>.*?)</arg_key(?::\w+)?>\s*<arg_value(?::\w+)?>(?P<value>.*?)"
            r"</arg_value(?::\w+)?>(?=\s*<(?:arg_key|/tool_call)|\s*$)",
            r"\s*</tool_call(?::\w+)?>",
        ),
        ("<tool_calls:opensource>", "</tool_calls:opensource>"),
        before="<tool_call>{}\n",
        between=("<arg_key>", "</arg_key>\n<arg_value>", "</arg_value>\n"),
        behind="</tool_call>",
    ),
    Syntax("mistral", ("[TOOL_CALLS]",), _json_calls("[TOOL_CALLS]", "")),
    Syntax(
        "mistral-named",
        ("[TOOL_CALLS]",),
        _named_json(r"\[TOOL_CALLS\](?P<name>[^\[{\s]+)(?:\[CALL_ID\][^\[{]*)?\[ARGS\]"),
        before="[TOOL_CALLS]{}[ARGS]",
    ),
    Syntax(
        "deepseek",
        _DEEPSEEK[:1],
        _named_json(
            r"<｜tool▁call▁begin｜>(?:function<｜tool▁sep｜>)?(?P<name>[^<\n]+)"
            r"(?:<｜tool▁sep｜>|\n```json\n)",
            "(?:```)?<｜tool▁call▁end｜>",
        ),
        _DEEPSEEK,
        before="<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>{}<｜tool▁sep｜>",
    ),
    Syntax(
        "invoke",
        (
            "<｜DSML｜",
            "<minimax:tool_call>",
            "<atem:function_calls>",
            "<function_calls>",
            "<invoke",
        ),
        _tagged(
            rf'<{_INVOKE}invoke name="(?P<name>[^"]+)">',
            rf'\s*<{_INVOKE}parameter name="(?P<key>[^"]+)"(?: string="(?P<text>true|false)")?>'
            rf"(?P<value>.*?)</{_INVOKE}parameter>"
            rf"(?=\s*<(?:{_INVOKE}parameter |/{_INVOKE}invoke>)|\s*$)",
            rf"\s*</{_INVOKE}invoke>",
        ),
        (
            *("<｜DSML｜function_calls>", "</｜DSML｜function_calls>"),
            *("<｜DSML｜tool_calls>", "</｜DSML｜tool_calls>"),
            *("<minimax:tool_call>", "</minimax:tool_call>"),
            *("<atem:function_calls>", "</atem:function_calls>"),
            *("<function_calls>", "</function_calls>"),
        ),
    ),
    Syntax(
        "channels",
        ("<|channel|>commentary to=", " to=functions.", "to=functions.", "<|start|>assistant to="),
        _named_json(
            r"(?:<\|start\|>assistant)?(?:<\|channel\|>commentary)?\s?to=(?:functions\.)?"
            r"(?P<name>[\w.-]+)\s?(?:<\|channel\|>commentary)?\s?(?:<\|constrain\|>)?(?:json)?\s?"
            r"<\|message\|>",
            r"<\|call\|>|<\|end\|>",
        ),
        before="<|channel|>commentary to=functions.{} <|constrain|>json<|message|>",
    ),
    Syntax("granite", ("<|tool_call|>",), _json_calls("<|tool_call|>", "")),
    Syntax(
        "kimi",
        _KIMI[:1],
        _named_json(
            r"<\|tool_call_begin\|>\s*(?:functions\.)?(?P<name>[^:<\s]+)(?::\d+)?\s*"
            r"<\|tool_call_argument_begin\|>",
            r"<\|tool_call_end\|>",
        ),
        _KIMI,
        before="<|tool_calls_section_begin|><|tool_call_begin|>functions.{}:0"
        "<|tool_call_argument_begin|>",
    ),
    Syntax("tool-calls", ("<tool_calls>",), _json_calls("<tool_calls>", "</tool_calls>")),
    Syntax("toolcall", ("<TOOLCALL>",), _json_calls("<TOOLCALL>", "</TOOLCALL>")),
    Syntax(
        "functionary",
        ("<function=",),
        _named_json(r"<function=(?P<name>[^>\s]+)>", "</function>"),
        before="<function={}>",
    ),
    Syntax("python", ("<|tool_call_start|>",), _python),
    Syntax("gemma", ("<|tool_call>",), _gemma("<|tool_call>", "<tool_call|>", '<|"|>')),
    Syntax(
        "function-gemma",
        ("<start_function_call>",),
        _gemma("<start_function_call>", "<end_function_call>", "<escape>"),
    ),
    Syntax("actions", ("<|START_ACTION|>",), _json_calls("<|START_ACTION|>", "<|END_ACTION|>")),
    Syntax(
        "params",
        ("<function name=",),
        _tagged(
            r'<function name="(?P<name>[^"]+)">',
            r'\s*<param name="(?P<key>[^"]+)">(?P<value>.*?)</param>'
            r"(?=\s*<(?:param |/function>)|\s*$)",
            r"\s*</function>",
        ),
    ),
    Syntax(
        "solar",
        ("<|tool_calls|>", "<|tool_call:begin|>"),
        _named_json(
            r"<\|tool_call:begin\|>[^<]*<\|tool_call:name\|>(?P<name>[^<]+)<\|tool_call:args\|>",
            r"<\|tool_call:end\|>",
        ),
        ("<|tool_calls|>", "<|calls|>"),
    ),
    Syntax("gigachat", ("<|function_call|>",), _json_calls("<|function_call|>", "")),
    Syntax("prefixed", ("<|tools_prefix|>",), _prefixed),
    Syntax(BARE, (), _bare),
)
"""The bare one, which has no mark of its own, comes last."""


def syntax_named(name: str) -> Syntax:
    """The syntax of that name; empty: that of Hermes."""
    return next((each for each in SYNTAXES if each.name == name), HERMES)


def found_in(text: str, syntax: Syntax, schemas: Schemas) -> tuple[str, list[Found]]:
    """What is said beside calls of known tools, and those calls. All else stays text."""
    calls = [call for call in syntax.read(text, schemas) if call.name in schemas]
    if not calls:
        return text, []
    first = begins_at(text, syntax)
    first = calls[0].start if first is None else min(first, calls[0].start)
    said, at = "", first
    for call in calls:
        said += text[at : max(at, call.start)]
        at = max(at, call.end)
    said += text[at:]
    for wrapped in syntax.wrapped:
        said = said.replace(wrapped, "")
    return text[:first] + said, calls


def begins_at(text: str, syntax: Syntax) -> int | None:
    """Where a call may begin in a text; None: nowhere."""
    if not syntax.opening:
        bare = text.lstrip()
        return 0 if bare.startswith(("{", "<|python_tag|>")) else None
    return min((at for each in syntax.opening if (at := text.find(each)) >= 0), default=None)


def may_begin(text: str, syntax: Syntax) -> int:
    """Length of the text's end that may be the beginning of a call."""
    if not syntax.opening:
        bare = text.lstrip()
        return len(text) if "<|python_tag|>".startswith(bare) else 0
    longest = min(len(text), max(map(len, syntax.opening)) - 1)
    ends = (
        n for n in range(longest, 0, -1) if any(o.startswith(text[-n:]) for o in syntax.opening)
    )
    return next(ends, 0)


def syntax_of(
    rendered: str, answer: str, expected: Sequence[tuple[str, dict[str, Any]]], tool: Tool
) -> str:
    """Name of the syntax in which calls are rendered; empty: none that is known.

    Args:
        answer: the part of it that a model writes and what follows, where it is known.
    """
    schemas = schemas_of([tool])
    first = _json_at(answer, 0) if answer else None
    if first is not None and [_call_of(first[0])] == list(expected):
        return BARE
    for syntax in SYNTAXES:
        calls = [(c.name, c.arguments) for c in syntax.read(rendered, schemas)]
        if [each for each in calls if each[0] == tool.name] == list(expected):
            return syntax.name
    return ""
