"""What a text says as an argument of a tool: JSON, Python's words, or what a schema makes of it."""

import ast
import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from gateway.core.types import Tool

Schemas = Mapping[str, Mapping[str, Any]]
"""Name of a tool -> the JSON schema of its arguments."""

_KINDS: Mapping[type, str] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
    type(None): "null",
}
_WORDS: Mapping[str, Any] = {
    "true": True,
    "false": False,
    "null": None,
    "True": True,
    "False": False,
    "None": None,
}
_OF_ALTERNATIVES = ("anyOf", "oneOf", "allOf")


def _refuse(word: str) -> float:
    raise ValueError(f"{word} is no JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text} is beyond every number")
    return number


_SPACE = re.compile(r"\s*")
_WINDOW = 256
_LONGEST_CUT = 16
"""Characters of a word or an escape that the end of a window may cut."""

_DECODER = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite)
"""Takes what JSON has, and so what can be written as JSON again."""


def schemas_of(tools: Iterable[Tool]) -> Schemas:
    """The schemas of tools; of one that is no object, an empty one."""
    read = {tool.name: loaded(tool.parameters) for tool in tools}
    return {name: schema if isinstance(schema, dict) else {} for name, schema in read.items()}


def loaded(text: str) -> Any:
    """The JSON value that a text is; None: it is none."""
    found = json_at(text, 0)
    return found[0] if found and not text[found[1] :].strip() else None


def json_at(text: str, at: int) -> tuple[Any, int] | None:
    """The JSON value at a place, and where it ends."""
    at, size = end_of(_SPACE, text, at), _WINDOW
    while True:
        found = _json_in(text[at : at + size], whole=at + size >= len(text))
        if found is not _CUT:
            return None if found is None else (found[0], at + found[1])
        size *= 4


_CUT = (None, -1)


def _json_in(part: str, *, whole: bool) -> tuple[Any, int] | None:
    """The JSON value at the beginning of a part of a text; `_CUT`, where it may go on behind it.

    It is read in parts, because an error counts the lines of all that stands before it.
    """
    try:
        value, end = _DECODER.raw_decode(part)
    except json.JSONDecodeError as exc:
        cut = exc.msg.startswith("Unterminated") or exc.pos >= len(part.rstrip()) - _LONGEST_CUT
        return _CUT if cut and not whole else None
    except (ValueError, RecursionError):
        return None
    return (value, end) if whole or end < len(part) else _CUT


def end_of(pattern: re.Pattern[str], text: str, at: int) -> int:
    """Where a match at a place ends; the place itself where there is none."""
    found = pattern.match(text, at)
    return found.end() if found else at


def literal(text: str) -> tuple[Any] | None:
    """The value that a text is in JSON or in Python, where it is one."""
    found = json_at(text, 0)
    if found and not text[found[1] :].strip():
        return (found[0],)
    word = text.strip()
    if word in _WORDS:
        return (_WORDS[word],)
    return _python(word)


def _python(text: str) -> tuple[Any] | None:
    try:
        made = _evaluated(ast.parse(text, mode="eval").body)
        json.dumps(made, allow_nan=False)
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return None
    return (made,)


def _evaluated(node: ast.expr) -> Any:
    """As `ast.literal_eval`, with JSON's words as well and tuples as lists."""
    if isinstance(node, ast.Name) and node.id in _WORDS:
        return _WORDS[node.id]
    if isinstance(node, ast.List | ast.Tuple):
        return [_evaluated(each) for each in node.elts]
    if isinstance(node, ast.Dict):
        keys = [ast.literal_eval(key) for key in node.keys if key is not None]
        return dict(zip(keys, map(_evaluated, node.values), strict=True))
    return ast.literal_eval(node)


def value_of(text: str, key: str, schema: Mapping[str, Any], told: str | None = None) -> Any:
    """An argument whose value stands as plain text.

    Args:
        schema: of all arguments.
        told: what the call itself says of its kind, "string" or another.
    """
    properties = schema.get("properties")
    kind = properties.get(key) if isinstance(properties, dict) else None
    return typed(text, kind, schema, told)


def typed(text: str, kind: Any, root: Mapping[str, Any], told: str | None = None) -> Any:
    """What a text is by its schema: of several kinds that which it can be, a text last.

    Args:
        root: the schema in which references are found.
    """
    kinds = kinds_of(kind, root)
    if told == "string" or (told is None and kinds == {"string"}):
        return text
    read = literal(text)
    if read is None:
        return text
    if told is not None:
        return read[0]
    is_kind = _KINDS.get(type(read[0]), "") in kinds
    if kinds:
        return read[0] if is_kind or "string" not in kinds else text
    return read[0] if isinstance(read[0], dict | list) else text


def kinds_of(schema: Any, root: Mapping[str, Any], seen: set[int] | None = None) -> set[str]:
    """The JSON types that a schema allows; nothing: it does not say.

    Args:
        seen: ids of the parts that were looked at, each once: they may refer to each other.
    """
    seen = set() if seen is None else seen
    if not isinstance(schema, dict) or id(schema) in seen:
        return set()
    seen.add(id(schema))
    told = schema.get("type")
    found = {each for each in (told if isinstance(told, list) else [told]) if isinstance(each, str)}
    if not found:
        found = _implied(schema, root, seen)
    if found and schema.get("nullable") is True:
        found.add("null")
    return found | {"integer"} if "number" in found else found


def _implied(schema: Mapping[str, Any], root: Mapping[str, Any], seen: set[int]) -> set[str]:
    choices = [*(schema.get("enum") or ()), *([schema["const"]] if "const" in schema else ())]
    found = {_KINDS[type(each)] for each in choices if type(each) in _KINDS}
    for word in _OF_ALTERNATIVES:
        alternatives = schema.get(word)
        for each in alternatives if isinstance(alternatives, list) else ():
            found |= kinds_of(each, root, seen)
    found |= {"object"} if "properties" in schema else set()
    found |= {"array"} if "items" in schema else set()
    return found | kinds_of(resolved(schema, root), root, seen)


def resolved(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Any:
    """What a schema refers to within the whole one; None: nothing."""
    reference = schema.get("$ref")
    if not isinstance(reference, str) or not reference.startswith("#"):
        return None
    found: Any = root
    for part in reference.removeprefix("#").split("/")[1:]:
        found = found.get(part) if isinstance(found, dict) else None
    return found
