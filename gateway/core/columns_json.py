"""JSON of very many values of one shape: a column of them is written at once, not each alone."""

import json
from collections.abc import Sequence
from typing import Any

_SEPARATOR = "\n"
"""Between the values of a column. In texts it is escaped."""
_APART = "\x00"
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
    encode = _ENCODERS[finite].encode
    if dict not in set(map(type, values)):
        return encode(values)[1:-1].split(_SEPARATOR)
    objects = [value for value in values if isinstance(value, dict)]
    # Only between two objects of the list does a brace follow a separator.
    of_objects = encode(objects)[1:-1].replace(f"}}{_SEPARATOR}{{", f"}}{_APART}{{")
    texts = of_objects.replace(_SEPARATOR, ",").split(_APART)
    if len(objects) == len(values):
        return texts
    others = [value for value in values if not isinstance(value, dict)]
    ours, theirs = iter(texts), iter(column(others, finite=finite))
    return [next(ours if isinstance(value, dict) else theirs) for value in values]


def woven(parts: Sequence[str | list[str]], count: int) -> str:
    """So many texts, one behind the other, each of the same parts.

    Args:
        parts: a text that all of them have, or one for each.
    """
    texts = [""] * (len(parts) * count)
    for place, part in enumerate(parts):
        texts[place :: len(parts)] = [part] * count if isinstance(part, str) else part
    return "".join(texts)
