"""An enforced call as a grammar, so that an answer can be held to it: what Lark is, as llguidance
reads it."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.models.families.calls import Syntax, Tags
from gateway.models.families.values import kinds_of

Function = tuple[str, Mapping[str, Any]]
"""The name of a tool, and the schema of its arguments, an object."""

_ONE_LINE = {
    "x-guidance": {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
}
"""JSON as `json.dumps` writes it."""


def begun(syntax: Syntax, functions: Sequence[Function]) -> str:
    """How an answer begins that is a call of one of the functions."""
    before, _, behind = syntax.before.partition("{}")
    return f"{before}{functions[0][0]}{behind}" if len(functions) == 1 else before


def of_calls(syntax: Syntax, functions: Sequence[Function]) -> str:
    """Lets out just a call of one of the functions, behind what `begun` says: the name where there
    are several, arguments in the order of the schema, and what ends the call."""
    behind = syntax.before.partition("{}")[2]
    rules = []
    for number, (name, schema) in enumerate(functions):
        shown = [_text(f"{name}{behind}")] if len(functions) > 1 else []
        if syntax.tags is None:
            rules += [f"c{number}: {' '.join([*shown, f'a{number}'])}"]
            rules += [f"a{number}: {_value_of(schema)}"]
        else:
            inner, more = _in_tags(schema, syntax.tags, f"{number}_")
            rules += [f"c{number}: {' '.join([*shown, *inner])}", *more]
    choices = " | ".join(f"c{number}" for number in range(len(functions)))
    return "\n".join([f"start: {choices}", *rules])


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _value_of(schema: Mapping[str, Any]) -> str:
    return f"%json {json.dumps({**schema, **_ONE_LINE})}"


def _in_tags(schema: Mapping[str, Any], tags: Tags, prefix: str) -> tuple[list[str], list[str]]:
    """What the rule of a call consists of, and the rules of its arguments."""
    properties = schema.get("properties") or {}
    needed = set(schema.get("required") or ())
    shared = {key: schema[key] for key in ("$defs", "definitions") if key in schema}
    start, rules = [], []
    for number, (key, kind) in enumerate(properties.items()):
        name = f"{prefix}{number}"
        start.append(f"p{name}" if key in needed else f"p{name}?")
        told = {**kind, **shared} if isinstance(kind, dict) else shared
        rules += _argument(name, key, told, tags)
    return [*start, _text(tags.ends)], rules


def _argument(name: str, key: str, schema: Mapping[str, Any], tags: Tags) -> list[str]:
    kinds = kinds_of(schema, schema)
    is_text = not tags.quoted and kinds <= {"string"}
    known = [kind for kind in tags.kinds if kind in kinds]
    written = "string" if is_text else known[0] if known else ""
    middle = tags.middle.replace("{}", tags.kinds.get(written, tags.kinds.get("", "")))
    opened, closed = _text(f"{tags.before}{key}{middle}"), _text(tags.behind)
    choices = schema.get("enum")
    if is_text and choices and all(isinstance(each, str) for each in choices):
        words = " | ".join(map(_text, choices))
        return [f"p{name}: {opened} ({words}) {closed}"]
    if is_text:
        return [f"p{name}: {opened} v{name}", f"v{name}[lazy]: /(?s:.*){_pattern(tags.behind)}/"]
    return [f"p{name}: {opened} v{name} {closed}", f"v{name}: {_value_of(schema)}"]


def _pattern(text: str) -> str:
    """Matches the text. What is lazy is as short as it can be: it ends at the first of these."""
    return re.escape(text).replace("/", r"\/").replace("\n", "n")
