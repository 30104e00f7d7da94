"""A call's arguments in tags as a grammar, so that an answer can be held to them."""

import json
import re
from collections.abc import Mapping
from typing import Any

from gateway.models.families.calls import Syntax


def in_tags(schema: Mapping[str, Any], syntax: Syntax) -> str:
    """Lets out just a call's arguments, in the order of the schema, and what ends the call.

    Args:
        schema: of the arguments, an object.
        syntax: one whose arguments stand in tags.

    Returns:
        Lark, as llguidance reads it.
    """
    assert syntax.between is not None
    before, middle, behind = syntax.between
    properties = schema.get("properties") or {}
    needed = set(schema.get("required") or ())
    shared = {key: schema[key] for key in ("$defs", "definitions") if key in schema}
    start, rules = [], []
    for number, (key, kind) in enumerate(properties.items()):
        start.append(f"p{number}" if key in needed else f"p{number}?")
        opened = json.dumps(f"{before}{key}{middle}", ensure_ascii=False)
        rules.append(f"p{number}: {opened} v{number}")
        rules.append(_value(number, kind, shared, behind))
    ends = json.dumps(syntax.behind, ensure_ascii=False)
    return "\n".join([f"start: {' '.join([*start, ends])}", *rules])


def _value(number: int, kind: Any, shared: Mapping[str, Any], behind: str) -> str:
    """The rule of a value and what ends it. A text is as short as it can be: it ends at the first
    of these."""
    name, closed = f"v{number}", json.dumps(behind, ensure_ascii=False)
    told = kind if isinstance(kind, dict) else {}
    choices = told.get("enum")
    if choices and all(isinstance(each, str) for each in choices):
        written = " | ".join(json.dumps(each, ensure_ascii=False) for each in choices)
        return f"{name}: ({written}) {closed}"
    if told.get("type") in (None, "string"):
        ends = re.escape(behind).replace("/", r"\/").replace("\n", "n")
        return f"{name}[lazy]: /(?s:.*){ends}/"
    return f"{name}: j{number} {closed}\nj{number}: %json {json.dumps({**told, **shared})}"
