"""Predictions as lines of JSON, one cell's at once.

Each line is the canonical JSON of one prediction with the digest and the cluster of its item. To
write hundreds of thousands of them one by one takes longer than to make them; here a column is
written at once, and the lines are put together of its parts.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.evaluation.at_once import CLUSTER, DIGEST, OFF_BY
from gateway.scoring.columns import NAMES, Columns

_SEPARATOR = "\n"
"""Between the values of a column. In texts it is escaped."""
_COLUMN = json.JSONEncoder(sort_keys=True, separators=(_SEPARATOR, ":"), ensure_ascii=True)
_APART = "\x00"
_OPTIONAL = frozenset({CLUSTER, OFF_BY})
"""Keys that a line lacks where there is nothing to be said."""
_KEYS = sorted((*NAMES, DIGEST, CLUSTER))


def lines_of(columns: Columns, digests: Mapping[str, str], clusters: Mapping[str, str]) -> str:
    """One line a prediction, in their order, each with its end.

    Args:
        digests, clusters: by item id; an empty cluster is none.
    """
    if not columns.item_id:
        return ""
    values = dict(zip(NAMES, columns.all(), strict=True))
    values[DIGEST] = [digests[item_id] for item_id in columns.item_id]
    values[CLUSTER] = [clusters[item_id] for item_id in columns.item_id]
    parts: list[Sequence[str]] = []
    for key in _KEYS:
        if key in _OPTIONAL:
            parts.append(_optional(key, values[key]))
        else:
            parts += [f',"{key}":'], _column(values[key])
    return _together([["{" + parts[0][0][1:]], *parts[1:], ["}\n"]], len(columns.item_id))


def _together(parts: Sequence[Sequence[str]], count: int) -> str:
    """So many lines of parts: each has one text for all lines, or one for each."""
    texts = [""] * (len(parts) * count)
    for place, part in enumerate(parts):
        texts[place :: len(parts)] = part * count if len(part) == 1 else part
    return "".join(texts)


def _optional(key: str, values: Sequence[Any]) -> list[str]:
    """Key and value behind a comma; nothing where there is no value."""
    if not any(values):
        return [""]
    texts = zip(values, _column(values), strict=True)
    return [f',"{key}":{text}' if value else "" for value, text in texts]


def _column(values: Sequence[Any]) -> list[str]:
    """The canonical JSON of each value: a text, a number, true, false, none, or an object of
    these."""
    if dict not in set(map(type, values)):
        return _COLUMN.encode(values)[1:-1].split(_SEPARATOR)
    objects = [value for value in values if isinstance(value, dict)]
    # Only between two objects of the list does a brace follow a separator.
    of_objects = _COLUMN.encode(objects)[1:-1].replace(f"}}{_SEPARATOR}{{", f"}}{_APART}{{")
    texts = of_objects.replace(_SEPARATOR, ",").split(_APART)
    if len(objects) == len(values):
        return texts
    others = iter(_column([value for value in values if not isinstance(value, dict)]))
    ours = iter(texts)
    return [next(ours if isinstance(value, dict) else others) for value in values]
