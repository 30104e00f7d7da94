"""What a text says as an argument of a tool: JSON, Python's words, or what a schema makes of it."""

import ast
import json
import math
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
_MOST_REFERENCES = 16
_OF_ALTERNATIVES = ("anyOf", "oneOf", "allOf")


def _refuse(word: str) -> float:
    raise ValueError(f"{word} is no JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text} is beyond every number")
    return number


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
    while at < len(text) and text[at].isspace():
        at += 1
    try:
        return _DECODER.raw_decode(text, at)
    except (ValueError, RecursionError):
        return None


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


def kinds_of(schema: Any, root: Mapping[str, Any], depth: int = _MOST_REFERENCES) -> set[str]:
    """The JSON types that a schema allows; nothing: it does not say."""
    if not isinstance(schema, dict) or not depth:
        return set()
    told = schema.get("type")
    found = {each for each in (told if isinstance(told, list) else [told]) if isinstance(each, str)}
    if not found:
        found = _implied(schema, root, depth)
    if found and schema.get("nullable") is True:
        found.add("null")
    return found | {"integer"} if "number" in found else found


def _implied(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> set[str]:
    choices = [*(schema.get("enum") or ()), *([schema["const"]] if "const" in schema else ())]
    found = {_KINDS[type(each)] for each in choices if type(each) in _KINDS}
    for word in _OF_ALTERNATIVES:
        alternatives = schema.get(word)
        for each in alternatives if isinstance(alternatives, list) else ():
            found |= kinds_of(each, root, depth - 1)
    found |= {"object"} if "properties" in schema else set()
    found |= {"array"} if "items" in schema else set()
    return found | kinds_of(resolved(schema, root), root, depth - 1)


def resolved(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Any:
    """What a schema refers to within the whole one; None: nothing."""
    reference = schema.get("$ref")
    if not isinstance(reference, str) or not reference.startswith("#"):
        return None
    found: Any = root
    for part in reference.removeprefix("#").split("/")[1:]:
        found = found.get(part) if isinstance(found, dict) else None
    return found
