"""How calls are read in a text, for each kind of syntax: objects of JSON, tags, Python, Gemma's.

Each reads a text once, whatever a model has begun in it and not ended.
"""

import json
import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.models.families.values import (
    Schemas,
    end_of,
    json_at,
    kinds_of,
    literal,
    loaded,
    resolved,
    typed,
    value_of,
)


@dataclass(frozen=True, slots=True)
class Found:
    """A call in a text."""

    start: int
    end: int
    name: str
    arguments: dict[str, Any]
    id: str = ""
    """As the model has written it; empty: it has not."""


Read = Callable[[str, Schemas], Iterator[Found]]

_OBJECT_KEYS = (
    ("name", "arguments"),
    ("name", "parameters"),
    ("tool_name", "parameters"),
    ("name", "args"),
)


def call_of(value: Any) -> tuple[str, dict[str, Any]] | None:
    """What an object calls; None: it is no call. Arguments may be a text of JSON."""
    if not isinstance(value, dict):
        return None
    function = value.get("function")
    inner: dict[str, Any] = function if isinstance(function, dict) else value
    for name, arguments in _OBJECT_KEYS:
        given = inner.get(arguments)
        given = loaded(given) if isinstance(given, str) else given
        if isinstance(inner.get(name), str) and isinstance(given, dict):
            return inner[name], given
    if isinstance(inner.get("name"), str) and inner.keys() <= {"name", "id", "type"}:
        return inner["name"], {}
    return None


def json_calls(opening: str, closing: str, begins: str = "") -> Read:
    """Objects, or lists of them, between two texts; the second may be missing at the end.

    Args:
        begins: matches the first text, where it is not always the same.
    """
    pattern = re.compile(begins or re.escape(opening))
    ends = re.compile(rf"\s*{re.escape(closing)}")

    def read(text: str, schemas: Schemas) -> Iterator[Found]:
        opened = pattern.search(text)
        while opened:
            started, end = opened.span()
            calls = []
            while (found := json_at(text, end)) is not None:
                value, end = found
                calls += [call_of(v) for v in (value if isinstance(value, list) else [value])]
                end = end_of(_BETWEEN_OBJECTS, text, end)
            end = end_of(ends, text, end) if closing else end
            for call in calls:
                if call is not None:
                    yield Found(started, end, *call)
                    started = end
            opened = pattern.search(text, max(end, opened.start() + 1))

    return read


_BETWEEN_OBJECTS = re.compile(r"[ \n;,]*")
_BEHIND_BARE = re.compile(r"[ \n;]*")
_BEFORE_BARE = re.compile(
    r"\s*(?:<\|python_tag\|>|<\|python_start\|>(?:.*?)<\|python_end\|>)?", re.S
)


def bare(text: str, schemas: Schemas) -> Iterator[Found]:
    """An answer that is nothing but objects, or a list of them: Llama's, xLAM's."""
    before = _BEFORE_BARE.match(text)
    at = before.end() if before else 0
    found: list[tuple[str, dict[str, Any]]] = []
    while at < len(text):
        value = json_at(text, at)
        values = value[0] if value and isinstance(value[0], list) else [value and value[0]]
        calls = [call for each in values if (call := call_of(each)) is not None]
        if value is None or not calls or len(calls) < len(values):
            return
        found += calls
        at = end_of(_BEHIND_BARE, text, value[1])
    for number, (name, arguments) in enumerate(found):
        yield Found(at if number else 0, at, name, arguments)


def named_json(pattern: str, closing: str = "") -> Read:
    """A name, and maybe an id, in what stands before the object of arguments."""
    before, behind = re.compile(pattern), re.compile(rf"\s*(?:{closing})") if closing else None

    def read(text: str, schemas: Schemas) -> Iterator[Found]:
        at = 0
        while found := before.search(text, at):
            value = json_at(text, found.end())
            at = found.end()
            if value is None or not isinstance(value[0], dict):
                continue
            at = value[1]
            if behind is not None and (end := behind.match(text, at)):
                at = end.end()
            known = found.groupdict().get("id") or ""
            yield Found(found.start(), at, found["name"], value[0], known)

    return read


def _as_it_is(text: str) -> str:
    return text


def tagged(
    opening: str,
    parameter: str,
    behind: str,
    closing: str,
    *,
    key_of: Callable[[str], str] = _as_it_is,
    text_of: Callable[[str], str] = _as_it_is,
) -> Read:
    """Arguments one by one, a key and a text each; what the schema says makes values of them.

    Args:
        parameter: matches what stands before a value, with its `key` and maybe what `kind` it is
            told to be.
        behind: matches what ends a value, with a group of what cannot belong to it.
        key_of: the name or the key that is meant by what is written.
        text_of: the same of a value.
    """
    begins, ends = re.compile(opening), re.compile(closing)
    each, value_ends = re.compile(parameter), re.compile(behind)

    def read(text: str, schemas: Schemas) -> Iterator[Found]:
        at = 0
        values = list(value_ends.finditer(text)) if begins.search(text) else []
        places = [value.start(1) for value in values]
        while found := begins.search(text, at):
            name, inner = key_of(found["name"]), found.end()
            arguments: dict[str, Any] = {}
            while argument := each.match(text, inner):
                number = bisect_left(places, argument.end())
                if number == len(values):
                    break
                inner, start = values[number].end(), argument.end()
                value = text_of(text[start : max(start, values[number].start())])
                kind = argument.groupdict().get("kind")
                told = "string" if kind == "true" else kind
                key = key_of(argument["key"])
                arguments[key] = value_of(value, key, schemas.get(name, {}), told)
            end = ends.match(text, inner)
            at = end.end() if end else inner
            if end:
                yield Found(found.start(), at, name, arguments)

    return read


_MOST_LEVELS = 64
_NESTED = re.compile(r"<(?P<key>[^<>/\s][^<>\s]*)>")


def nested(mark: str) -> Read:
    """Arguments as elements within elements, with a mark before each tag: MiniMax M3's.

    The items of a list are elements of the name `item`.
    """
    begins = re.compile(rf'{re.escape(mark)}<invoke name="(?P<name>[^"]+)">')
    ends = f"{mark}</invoke>"

    def read(text: str, schemas: Schemas) -> Iterator[Found]:
        at = 0
        while found := begins.search(text, at):
            schema = schemas.get(found["name"], {})
            at = found.end()
            inner = _elements(text, at, mark, schema, schema, _MOST_LEVELS)
            if inner is not None and text.startswith(ends, inner[1]):
                at = inner[1] + len(ends)
                yield Found(found.start(), at, found["name"], dict(inner[0]))

    return read


def _elements(
    text: str, at: int, mark: str, schema: Any, root: Mapping[str, Any], levels: int
) -> tuple[list[tuple[str, Any]], int] | None:
    """The elements that follow each other from a place on, and where they end.

    Args:
        levels: how deep they may lie in each other.
    """
    made: list[tuple[str, Any]] = []
    while text.startswith(mark, at) and (tag := _NESTED.match(text, at + len(mark))):
        key, closing = tag["key"], f"{mark}</{tag['key']}>"
        part = _part_of(schema, key, root)
        value = _element(text, tag.end(), mark, part, root, levels) if levels else None
        if value is None or not text.startswith(closing, value[1]):
            return None
        made.append((key, value[0]))
        at = value[1] + len(closing)
    return made, at


def _element(
    text: str, at: int, mark: str, schema: Any, root: Mapping[str, Any], levels: int
) -> tuple[Any, int] | None:
    kinds = kinds_of(schema, root)
    if not text.startswith(f"{mark}<", at) or text.startswith(f"{mark}</", at):
        end = text.find(mark, at)
        if end < 0:
            return None
        if end == at and "string" not in kinds and kinds & {"array", "object"}:
            return ([] if "array" in kinds else {}), end
        return typed(text[at:end], schema, root), end
    inner = _elements(text, at, mark, schema, root, levels - 1)
    if inner is None:
        return None
    elements, end = inner
    is_list = "array" in kinds if kinds else all(key == "item" for key, _ in elements)
    return ([value for _, value in elements] if is_list else dict(elements)), end


def _part_of(schema: Any, key: str, root: Mapping[str, Any]) -> Any:
    """The schema of an element within one of that schema."""
    if not isinstance(schema, dict):
        return None
    schema = resolved(schema, root) or schema
    alternatives = [a for w in ("anyOf", "oneOf", "allOf") for a in schema.get(w) or ()]
    for each in (schema, *alternatives):
        each = (resolved(each, root) or each) if isinstance(each, dict) else {}
        properties = each.get("properties")
        if isinstance(properties, dict) and key in properties:
            return properties[key]
        if key == "item" and "items" in each:
            return each["items"]
    return schema.get("additionalProperties")


_PYTHON_NAME = re.compile(r"\s*(?P<name>[^\s()\[\],=]+)\(\s*")
_PYTHON_KEY = re.compile(r"\s*(?P<key>[^\s()\[\],=]+)\s*=\s*")
_BEHIND_VALUE = re.compile(r"\s*(?:,\s*[^\s()\[\],=]+\s*=|,?\s*\)(?:\s*(?:[,\]]|$)|[ \t]*\n))")
_QUOTED = re.compile(r"[rRuU]?(?P<quote>'''|\"\"\"|'|\")")
_TEXT = re.compile(
    r"[rRuU]?(?:'''(?:[^\\]|\\.)*?'''|\"\"\"(?:[^\\]|\\.)*?\"\"\""
    r"|'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")",
    re.DOTALL,
)
_PLAIN = re.compile(r"[^'\"()\[\]{},]+")
_BETWEEN_ARGUMENTS = re.compile(r"[, \n\t]*")
_COMMA = re.compile(r"\s*?[,\n]")


def python(begins: str, ends: str) -> Read:
    """Calls as Python writes them, between LFM2's marks, in a list or alone."""

    def read(text: str, schemas: Schemas) -> Iterator[Found]:
        at = text.find(begins)
        while at >= 0:
            start = at + len(begins)
            end = text.find(ends, start)
            stop = end + len(ends) if end >= 0 else len(text)
            started = at
            for name, arguments in python_calls(text[start : end if end >= 0 else len(text)]):
                yield Found(started, stop, name, arguments)
                started = stop
            at = text.find(begins, stop)

    return read


_PYTHON_START, _PYTHON_END = "<|python_start|>", "<|python_end|>"


def bare_python(text: str, schemas: Schemas) -> Iterator[Found]:
    """An answer that is nothing but a list of calls as Python writes them: ToolACE's, Llama 4's."""
    body = text.strip().removeprefix(_PYTHON_START).removesuffix(_PYTHON_END).strip()
    calls = python_calls(body) if body.startswith("[") and body.endswith("]") else []
    for number, (name, arguments) in enumerate(calls):
        yield Found(len(text) if number else 0, len(text), name, arguments)


def python_calls(body: str) -> list[tuple[str, dict[str, Any]]]:
    """The calls in a list of Python's, or in lines of it; nothing where it is none."""
    body = body.strip()
    body = body[1:-1] if body.startswith("[") and body.endswith("]") else body
    made, at = [], 0
    while found := _PYTHON_NAME.match(body, at):
        inner = _python_arguments(body, found.end())
        if inner is None:
            return []
        arguments, at = inner
        made.append((found["name"], arguments))
        at = end_of(_COMMA, body, at)
    return [] if body[at:].strip() else made


def _python_arguments(body: str, at: int) -> tuple[dict[str, Any], int] | None:
    """Those with a name that stand from a place on to a bracket, and where it ends."""
    made: dict[str, Any] = {}
    while at < len(body) and body[at] != ")":
        key = _PYTHON_KEY.match(body, at)
        value = _python_value(body, key.end()) if key else None
        if key is None or value is None:
            return None
        made[key["key"]], at = value
        at = end_of(_BETWEEN_ARGUMENTS, body, at)
    return (made, at + 1) if at < len(body) else None


def _python_value(body: str, at: int) -> tuple[Any, int] | None:
    """A value and where it ends: there a further argument or the bracket follows.

    A text whose quotes are not escaped, as some templates write them, is what stands between.
    """
    quoted = _QUOTED.match(body, at)
    end = end_of(_TEXT, body, at) if quoted else _end_of_python(body, at)
    if _BEHIND_VALUE.match(body, end) and (read := literal(body[at:end])):
        return read[0], end
    end = quoted.end() if quoted else len(body)
    while quoted and (end := body.find(quoted["quote"], end)) >= 0:
        behind = end + len(quoted["quote"])
        if _BEHIND_VALUE.match(body, behind):
            return body[quoted.end() : end], behind
        end += 1
    return None


def _end_of_python(body: str, at: int) -> int:
    """Where a value ends: before a comma or a bracket that is none of its own, or a text that does
    not end."""
    depth = 0
    while at < len(body):
        if found := _TEXT.match(body, at) or _PLAIN.match(body, at):
            at = found.end()
            continue
        letter = body[at]
        depth += (letter in "([{") - (letter in ")]}")
        if depth < 0 or letter in "'\"" or (letter == "," and not depth):
            return at
        at += 1
    return at


def gemma(begins: str, ends: str, quote: str) -> Read:
    """Gemma's objects, whose keys are bare and whose texts stand between marks of their own."""
    begin = re.compile(rf"{re.escape(begins)}call:(?P<name>[\w.-]+)(?=\{{)")

    def read(text: str, schemas: Schemas) -> Iterator[Found]:
        at = 0
        while found := begin.search(text, at):
            at = found.end()
            made, end = _as_json(text, at, quote, begins)
            arguments = loaded(made)
            if not isinstance(arguments, dict):
                continue
            at = end + len(ends) if text.startswith(ends, end) else end
            yield Found(found.start(), at, found["name"], arguments)

    return read


_BARE_KEY = re.compile(r"(?P<before>[{,]\s*)(?P<key>[^\s{}\[\],:\"<][^{}\[\],:\"<]*):")
_WORD = re.compile(r"(?:None|True|False)\b")
_IN_JSON = {"None": "null", "True": "true", "False": "false"}


def _as_json(text: str, at: int, quote: str, begins: str) -> tuple[str, int]:
    """The object at a place as JSON, and where it ends; where another begins, it has no end."""
    made, depth = [], 0
    while at < len(text) and not text.startswith(begins, at):
        if text.startswith(quote, at):
            end = text.find(quote, at + len(quote))
            end = len(text) if end < 0 else end
            made.append(json.dumps(text[at + len(quote) : end]))
            at = end + len(quote)
            continue
        if key := _BARE_KEY.match(text, at):
            made.append(f"{key['before']}{json.dumps(key['key'])}:")
            depth += key["before"].startswith("{")
            at = key.end()
            continue
        if word := _WORD.match(text, at):
            made.append(_IN_JSON[word.group()])
            at = word.end()
            continue
        depth += (text[at] in "{[") - (text[at] in "}]")
        made.append(text[at])
        at += 1
        if depth == 0:
            break
    return "".join(made), at


def prefixed(begins: str, ends: str) -> Read:
    """A list of objects whose one key is the name: Apertus'."""

    def read(text: str, schemas: Schemas) -> Iterator[Found]:
        for found in re.finditer(re.escape(begins), text):
            value = json_at(text, found.end())
            if value is None or not isinstance(value[0], list):
                continue
            end = value[1] + len(ends) * text.startswith(ends, value[1])
            started = found.start()
            for each in value[0]:
                if isinstance(each, dict) and len(each) == 1:
                    ((name, arguments),) = each.items()
                    if isinstance(arguments, dict):
                        yield Found(started, end, name, arguments)
                        started = end

    return read


def to_whom(everybody: str) -> Read:
    """A recipient in a line of its own before what is said to it: Functionary's.

    Args:
        everybody: the recipient of what is no call.
    """
    begins = re.compile(r"(?:(?<=>>>)|\A)(?P<name>[^\s<>{}]+)\n(?=\s*\{)")

    def read(text: str, schemas: Schemas) -> Iterator[Found]:
        at = 0
        while found := begins.search(text, at):
            at = found.end()
            value = json_at(text, at)
            if value is None or not isinstance(value[0], dict) or found["name"] == everybody:
                continue
            start = found.start() - 3 * text.startswith(">>>", found.start() - 3)
            at = value[1]
            yield Found(start, at, found["name"], value[0])

    return read
