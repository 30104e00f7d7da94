"""What generators of schemas write by default, in words that llguidance reads.

pydantic and zod have formats of their own, and zod's patterns look ahead, which no grammar does.
What stands here instead lets through what the original allows, or a little less. What has nothing
to stand for it is refused as before, such as `uniqueItems` or another pattern that looks ahead.

https://docs.pydantic.dev/latest/api/json_schema/, https://zod.dev/json-schema
"""

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]

READ = frozenset(
    ("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri")
)
"""Formats that llguidance enforces."""
ANY_TEXT = frozenset(("", "path", "file-path", "directory-path", "binary", "password", "color"))
"""Formats that forbid no text, or of which only the client can judge."""
SAME = {"name-email": "email", "multi-host-uri": "uri", "guid": "uuid", "idn-email": "email"}
"""Formats of which another one is a part."""

_BYTE = r"(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_IPV4 = rf"({_BYTE}\.){{3}}{_BYTE}"
_X = "[0-9a-f]"
_HEX = f"{_X}{{1,4}}"
_IPV6 = rf"({_HEX}:){{7}}{_HEX}"
_NETWORK4 = rf"({_BYTE}(\.0){{3}}/8|{_BYTE}\.{_BYTE}(\.0){{2}}/16|({_BYTE}\.){{3}}0/24|{_IPV4}/32)"
_NETWORK6 = rf"(({_HEX}:){{3}}:/48|({_HEX}:){{4}}:/64|{_IPV6}/128)"
_WITHIN4 = rf"{_IPV4}/(3[0-2]|[12]?\d)"
_WITHIN6 = rf"{_IPV6}/(12[0-8]|1[01]\d|[1-9]?\d)"

PATTERNS = {
    "ipvanyaddress": f"^({_IPV4}|{_IPV6})$",
    "ipv4network": f"^{_NETWORK4}$",
    "ipv6network": f"^{_NETWORK6}$",
    "ipvanynetwork": f"^({_NETWORK4}|{_NETWORK6})$",
    "ipv4interface": f"^{_WITHIN4}$",
    "ipv6interface": f"^{_WITHIN6}$",
    "ipvanyinterface": f"^({_WITHIN4}|{_WITHIN6})$",
    "cidrv4": f"^{_WITHIN4}$",
    "cidrv6": f"^{_WITHIN6}$",
    "base64": r"^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$",
    "base64url": r"^([A-Za-z0-9_-]{4})*([A-Za-z0-9_-]{2}==|[A-Za-z0-9_-]{3}=)?$",
    "jwt": r"^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$",
    **{
        f"uuid{n}": f"^{_X}{{8}}-{_X}{{4}}-{n}{_X}{{3}}-[89ab]{_X}{{3}}-{_X}{{12}}$"
        for n in range(1, 9)
    },
}
"""Formats and what their texts look like; of networks those that end at a round number of bits."""

_NAMES = {
    "uuid": f"^{_X}{{8}}-({_X}{{4}}-){{3}}{_X}{{12}}$",
    "date": r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])$",
}
"""The same of formats that llguidance reads, but not where properties are named."""
_OF_TEXT = frozenset(("type", "title", "description"))
"""What a schema of names says of every name."""

_DATES = r"(\d+Y(\d+M)?(\d+D)?|\d+M(\d+D)?|\d+D)"
_SECONDS = r"\d+([.,]\d+)?S"
_TIMES = rf"T(\d+H(\d+M)?({_SECONDS})?|\d+M({_SECONDS})?|{_SECONDS})"
_WORD, _ALNUM = "A-Za-z0-9_", "[A-Za-z0-9]"
_TOP = "[A-Za-z]{2,}"
_LABEL, _FIRST = (f"{_ALNUM}([A-Za-z0-9-]{{0,{n}}}{_ALNUM})?" for n in (61, 59))

_EMAIL = (
    r"^(?!\.)(?!.*\.\.)([A-Za-z0-9_'+\-\.]*)[A-Za-z0-9_+-]"
    r"@([A-Za-z0-9][A-Za-z0-9\-]*\.)+[A-Za-z]{2,}$"
)
_DURATION = (
    r"^P(?:(\d+W)|(?!.*W)(?=\d|T\d)(\d+Y)?(\d+M)?(\d+D)?"
    r"(T(?=\d)(\d+H)?(\d+M)?(\d+([.,]\d+)?S)?)?)$"
)
_HOST = (
    r"^(?=.{1,253}\.?$)[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
    r"(?:\.[a-zA-Z0-9](?:[-0-9a-zA-Z]{0,61}[0-9a-zA-Z])?)*\.?$"
)
_EMOJI = (
    r"^(?=[\s\S]*[\p{Extended_Pictographic}\p{Regional_Indicator}\u20E3])"
    r"[\p{Extended_Pictographic}\p{Emoji_Component}]+$"
)
LOOKING_AHEAD = {
    _EMAIL: rf"^([{_WORD}'+-]+\.)*[{_WORD}'+-]*[{_WORD}+-]@({_ALNUM}[A-Za-z0-9-]*\.)+{_TOP}$",
    _DURATION: rf"^P(\d+W|{_DATES}({_TIMES})?|{_TIMES})$",
    _HOST: rf"^{_FIRST}(\.{_LABEL}){{0,3}}$",
    _EMOJI: r"^\p{Extended_Pictographic}+$",
}
"""zod's patterns that look ahead, of its releases 4.0 to 4.6, and what lets through the same or a
little less without: a host name has four labels at most, an emoji is made of pictures alone."""

_FLOATS = (3.4028234663852886e38, 1.7976931348623157e308)
"""The largest numbers of 32 and of 64 bits."""
_MAPS = ("properties", "patternProperties", "$defs", "definitions")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_ONE = ("items", "additionalProperties")


def readable(schema: Schema) -> dict[str, Any]:
    """The schema with what generators write by default in words that llguidance reads."""
    return _readable(schema, schema)


def _readable(schema: Schema, root: Schema) -> dict[str, Any]:
    made = {key: _inner(key, value, root) for key, value in schema.items()}
    return _number(_text(_list(_named(made, root))))


def _inner(key: str, value: Any, root: Schema) -> Any:
    if key in _MAPS and isinstance(value, dict):
        return {name: _if_schema(part, root) for name, part in value.items()}
    if key in _LISTS and isinstance(value, list):
        return [_if_schema(part, root) for part in value]
    return _if_schema(value, root) if key in _ONE else value


def _if_schema(value: Any, root: Schema) -> Any:
    return _readable(value, root) if isinstance(value, dict) else value


def _without(schema: Schema, *keys: str) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key not in keys}


def _text(schema: dict[str, Any]) -> dict[str, Any]:
    """A text's format and pattern."""
    form, pattern = schema.get("format"), schema.get("pattern")
    if isinstance(pattern, str):
        schema = {**schema, "pattern": LOOKING_AHEAD.get(pattern, pattern)}
    if not isinstance(form, str) or schema.get("type") != "string" or form in READ:
        return schema
    plain = _without(schema, "format")
    # Beside a pattern, a format is the pattern's name.
    if form in ANY_TEXT or "pattern" in schema or "allOf" in schema:
        return plain
    if form in PATTERNS:
        return {**plain, "pattern": PATTERNS[form]}
    return {**schema, "format": SAME.get(form, form)}


def _number(schema: dict[str, Any]) -> dict[str, Any]:
    """A number's bounds, unless they are those of a type of floating point, which bound nothing."""
    bounds = ("minimum", "maximum")
    wide = [key for key in bounds if _is_wide(schema.get(key))]
    return _without(schema, *wide) if wide else schema


def _is_wide(bound: Any) -> bool:
    return isinstance(bound, float) and abs(bound) in _FLOATS


def _list(schema: dict[str, Any]) -> dict[str, Any]:
    """Entries that need not differ, and one that differs from no other."""
    if schema.get("uniqueItems") is False or schema.get("maxItems") in (0, 1):
        return _without(schema, "uniqueItems")
    return schema


def _named(schema: dict[str, Any], root: Schema) -> dict[str, Any]:
    """`propertyNames`: any text, a few names, or what they look like."""
    names = _resolved(schema.get("propertyNames"), root)
    if names is None or "properties" in schema:
        return schema
    made, values = _without(schema, "propertyNames"), schema.get("additionalProperties", {})
    if not set(names) - _OF_TEXT:
        return made
    closed = {**made, "additionalProperties": False}
    if listed := _listed(names):
        return {**closed, "properties": dict.fromkeys(listed, values)}
    pattern = _pattern_of(names)
    return {**closed, "patternProperties": {pattern: values}} if pattern else schema


def _listed(names: Schema) -> list[str]:
    """The names that there may be, where they are counted."""
    if set(names) - _OF_TEXT not in ({"enum"}, {"const"}):
        return []
    listed = names.get("enum", [names.get("const")])
    return listed if isinstance(listed, list) and all(isinstance(n, str) for n in listed) else []


def _pattern_of(names: Schema) -> str | None:
    """What the names look like."""
    asked = set(names) - _OF_TEXT
    least, most = names.get("minLength", 0), names.get("maxLength", "")
    if asked <= {"minLength", "maxLength"} and type(least) is int and type(most) in (int, str):
        return rf"^[\s\S]{{{least},{most}}}$"
    form, pattern = names.get("format"), names.get("pattern")
    if asked == {"format"} and isinstance(form, str):
        return PATTERNS.get(form) or _NAMES.get(form)
    return pattern if asked == {"pattern"} and isinstance(pattern, str) else None


def _resolved(names: Any, root: Schema) -> Schema | None:
    reference = names.get("$ref") if isinstance(names, dict) else None
    if isinstance(reference, str):
        definitions = root.get("$defs")
        place = reference.removeprefix("#/$defs/")
        names = definitions.get(place) if isinstance(definitions, dict) else None
    return names if isinstance(names, dict) else None
