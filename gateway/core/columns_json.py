"""JSON of very many values of one shape: a column of them is written at once, not each alone."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import to_json

_SEPARATOR = "\n"
"""Between the values of a column. In texts it is escaped."""
_APART = "\x00"
_LEAST, _MOST = 1e-4, 1e16
"""Between these a float is written without an exponent, by Python and by Rust."""
_ENCODERS = {
    finite: json.JSONEncoder(
        sort_keys=True, ensure_ascii=True, allow_nan=not finite, separators=(_SEPARATOR, ":")
    )
    for finite in (False, True)
}


def column(values: Sequence[Any], *, finite: bool = False) -> list[str]:
    """The canonical JSON of each value: a text, a number, true, false, none, or an object of these.

    Args:
        finite: refuse numbers that are not, as JSON's standard does.

    Raises:
        ValueError: one is not.
    """
    if not values:
        return []
    encode, kinds = _ENCODERS[finite].encode, set(map(type, values))
    if kinds == {float}:
        return _floats(values, finite=finite)
    if dict not in kinds:
        return encode(values)[1:-1].split(_SEPARATOR)
    if kinds == {dict} and (texts := _objects_of_floats(values, finite=finite)):
        return texts
    objects = [value for value in values if isinstance(value, dict)]
    # Only between two objects of the list does a brace follow a separator.
    of_objects = encode(objects)[1:-1].replace(f"}}{_SEPARATOR}{{", f"}}{_APART}{{")
    texts = of_objects.replace(_SEPARATOR, ",").split(_APART)
    if len(objects) == len(values):
        return texts
    others = [value for value in values if not isinstance(value, dict)]
    ours, theirs = iter(texts), iter(column(others, finite=finite))
    return [next(ours if isinstance(value, dict) else theirs) for value in values]


def _floats(values: Sequence[float], *, finite: bool) -> list[str]:
    """As `column`. Of most numbers Rust's shortest digits are Python's, found in a quarter of the
    time; the two differ in how they write the others, and what is not finite."""
    if not values:
        return []
    texts = to_json(values).decode().removeprefix("[").removesuffix("]").split(",")
    odd = [at for at, each in enumerate(values) if each and not _LEAST <= abs(each) < _MOST]
    others = _ENCODERS[finite].encode([values[at] for at in odd])[1:-1].split(_SEPARATOR)
    for at, text in zip(odd, others, strict=False):
        texts[at] = text
    return texts


def _objects_of_floats(values: Sequence[dict[str, Any]], *, finite: bool) -> list[str]:
    """As `column` of objects of the same keys that have floats alone; nothing of others."""
    keys = values[0].keys()
    alike = keys and all(each.keys() == keys for each in values)
    if not alike or set(map(type, keys)) != {str}:
        return []
    columns = {key: [each[key] for each in values] for key in sorted(keys)}
    if any(set(map(type, own)) != {float} for own in columns.values()):
        return []
    names = ",".join(f"{json.dumps(key).replace('%', '%%')}:%s" for key in columns)
    texts = zip(*(_floats(own, finite=finite) for own in columns.values()), strict=True)
    return list(map(f"{{{names}}}".__mod__, texts))


def objects_of_floats(columns: Mapping[str, Sequence[float]]) -> list[str | list[str]]:
    """The parts (`woven`) of the canonical JSON of objects that have floats alone.

    Args:
        columns: at least one, by key.
    """
    parts: list[str | list[str]] = []
    for key in sorted(columns):
        parts += f"{',' if parts else '{'}{json.dumps(key)}:", _floats(columns[key], finite=False)
    return [*parts, "}"]


def woven(parts: Sequence[str | list[str]], count: int) -> str:
    """So many texts, one behind the other, each of the same parts.

    Args:
        parts: a text that all of them have, or one for each.
    """
    fewer: list[str | list[str]] = []
    for part in parts:
        if isinstance(part, str) and fewer and isinstance(before := fewer[-1], str):
            fewer[-1] = before + part
        else:
            fewer.append(part)
    texts = [""] * (len(fewer) * count)
    for place, part in enumerate(fewer):
        texts[place :: len(fewer)] = [part] * count if isinstance(part, str) else part
    return "".join(texts)
