"""Indented JSON of large values.

`json.dumps` with an indent is Python code that takes every number into its hands: a minute for the
report of a large run. Without one it is C, but knows one separator. Here it writes whatever holds
no more than objects of plain values, with separators that no text can hold, and those are replaced.
A list of many objects of one shape is written column by column.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any

from gateway.core.columned import Columned
from gateway.core.columns_json import column, woven
from gateway.core.json import field_names, plain_values

_ITEM, _KEY = "\x01", "\x02"
"""Between items, and between key and value. Control characters are escaped in texts."""
_MANY = 16
"""Objects of which it is worth to see whether they are alike."""
_OPENED, _CLOSED = f"{_KEY}{{", f"}}{_ITEM}"
_FLAT = json.JSONEncoder(
    sort_keys=True, ensure_ascii=True, allow_nan=False, separators=(_ITEM, _KEY)
)
_TEXT = frozenset({str})
_PLAIN = _TEXT | {int, float, bool, type(None)}


def indented(value: object) -> str:
    """As `json.dumps` with an indent of 2 and sorted keys, of dataclasses too.

    Raises:
        ValueError: a number is not finite.
        TypeError: a value is none of JSON's.
    """
    return "".join(_parts(value, 1))


def _parts(value: Any, depth: int) -> Iterator[str]:
    """The text in parts; `depth` is that of what the value holds."""
    kind: Any = type(value)
    if field_names(kind):
        value = plain_values(value)
    if not isinstance(value, dict | list | tuple | Columned) or not value:
        yield "[]" if isinstance(value, Columned) else _FLAT.encode(value)
    elif not isinstance(value, dict):
        yield from _list(value, depth)
    elif _are_texts(value):
        yield from _object(value, depth)
    else:
        # Keys that are numbers, say, which are sorted as such and written as texts.
        text = json.dumps(value, indent=2, sort_keys=True, allow_nan=False)
        yield text.replace("\n", _line(depth - 1))


def _line(depth: int) -> str:
    return "\n" + "  " * depth


def _object(value: Mapping[str, Any], depth: int) -> Iterator[str]:
    inner, end = _line(depth), _line(depth - 1)
    if _are_plain(value.values()):
        yield f"{{{inner}{_spread(_FLAT.encode(value)[1:-1], inner)}{end}}}"
        return
    if all(map(_is_object_of_plain, value.values())):
        yield f"{{{inner}{_of_objects(_FLAT.encode(value)[1:-2], inner)}{end}}}"
        return
    begin = f"{{{inner}"
    for key, each in sorted(value.items()):
        yield f"{begin}{_FLAT.encode(key)}: "
        yield from _parts(each, depth + 1)
        begin = f",{inner}"
    yield f"{end}}}"


def _alike(values: Sequence[Any], depth: int) -> list[str | list[str]] | None:
    """The parts of the text of each value (`woven`), where all are plain, or objects of the same
    keys of which the same is true; else None."""
    if _are_plain(values):
        return [column(values, finite=True)]
    columns = _columns(values) if len(values) >= _MANY else {}
    if not columns:
        return None
    parts: list[str | list[str]] = []
    for key in sorted(columns):
        of_key = _alike(columns[key], depth + 1)
        if of_key is None:
            return None
        parts += f"{',' if parts else '{'}{_line(depth + 1)}{_FLAT.encode(key)}: ", *of_key
    return [*parts, f"{_line(depth)}}}"]


def _columns(values: Sequence[Any]) -> Mapping[str, Sequence[Any]]:
    """Key -> what each value has there, of objects of the same keys; nothing of others."""
    if isinstance(values, Columned):
        return values.columns if _are_texts(values.columns) else {}
    kind, *others = set(map(type, values))
    if others:
        return {}
    if names := field_names(kind):
        return {name: list(map(attrgetter(name), values)) for name in names}
    keys = values[0].keys() if kind is dict else ()
    if not keys or not _are_texts(keys) or any(each.keys() != keys for each in values):
        return {}
    return {key: [each[key] for each in values] for key in keys}


def _list(value: Sequence[Any], depth: int) -> Iterator[str]:
    inner, end = _line(depth), _line(depth - 1)
    if _are_plain(value):
        yield f"[{inner}{_of_texts(value, inner) or _of_plain(value, inner)}{end}]"
        return
    if (parts := _alike(value, depth)) is not None:
        # The last has no comma behind it.
        yield f"[{inner}{woven([*parts, f',{inner}'], len(value))[: -len(inner) - 1]}{end}]"
        return
    begin = f"[{inner}"
    for each in value:
        yield begin
        yield from _parts(each, depth + 1)
        begin = f",{inner}"
    yield f"{end}]"


def _of_texts(values: Sequence[Any], inner: str) -> str:
    """Texts of which no character is to be escaped, such as ids, one a line; "" for others."""
    if not _are_texts(values):
        return ""
    whole = "".join(values)
    if not (whole.isascii() and whole.isprintable()) or '"' in whole or "\\" in whole:
        return ""
    between = f'",{inner}"'
    return f'"{between.join(values)}"'


def _of_plain(values: Sequence[Any], inner: str) -> str:
    return _spread(_FLAT.encode(values)[1:-1], inner)


def _spread(text: str, inner: str) -> str:
    """What stands in an object or a list of plain values, one a line."""
    return text.replace(_ITEM, f",{inner}").replace(_KEY, ": ")


def _of_objects(text: str, inner: str) -> str:
    """What stands in an object of objects of plain values, without the last of their braces."""
    text = text.replace(_CLOSED, f"{inner}}},{inner}").replace(_OPENED, f": {{{inner}  ")
    return f"{_spread(text, f'{inner}  ')}{inner}}}"


def _are_texts(keys: Iterable[object]) -> bool:
    return _TEXT.issuperset(map(type, keys))


def _are_plain(values: Iterable[object]) -> bool:
    return _PLAIN.issuperset(map(type, values))


def _is_object_of_plain(value: object) -> bool:
    if type(value) is not dict or not value:
        return False
    return _are_texts(value) and _are_plain(value.values())
