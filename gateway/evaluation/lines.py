"""Predictions as lines of JSON, one cell's at once.

Each line is the canonical JSON of one prediction with the digest and the cluster of its item. To
write hundreds of thousands of them one by one takes longer than to make them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.core.columns_json import column, woven
from gateway.evaluation.at_once import CLUSTER, DIGEST, OFF_BY
from gateway.scoring.columns import NAMES, Columns

_OPTIONAL = frozenset({CLUSTER, OFF_BY})
"""Keys that a line lacks where there is nothing to be said."""
_FIRST, *_OTHERS = sorted((*NAMES, DIGEST, CLUSTER))


def lines_of(columns: Columns, digests: Mapping[str, str], clusters: Mapping[str, str]) -> str:
    """One line a prediction, in their order, each with its end.

    Args:
        digests, clusters: by item id; an empty cluster is none.
    """
    values: dict[str, Sequence[Any]] = dict(zip(NAMES, columns.all(), strict=True))
    values[DIGEST] = [digests[item_id] for item_id in columns.item_id]
    values[CLUSTER] = [clusters[item_id] for item_id in columns.item_id]
    parts: list[str | list[str]] = [f'{{"{_FIRST}":', _texts(values[_FIRST])]
    for key in _OTHERS:
        if key in _OPTIONAL:
            parts.append(_optional(key, values[key]))
        else:
            parts += f',"{key}":', _texts(values[key])
    return woven([*parts, "}\n"], len(columns.item_id))


def _texts(values: Sequence[Any]) -> str | list[str]:
    """The text of each value; one for all where they are one and the same text."""
    if values and isinstance(values[0], str) and values.count(values[0]) == len(values):
        return column(values[:1])[0]
    return column(values)


def _optional(key: str, values: Sequence[Any]) -> str | list[str]:
    """Key and value behind a comma; nothing where there is no value."""
    if not any(values):
        return ""
    texts = zip(values, column(values), strict=True)
    return [f',"{key}":{text}' if value else "" for value, text in texts]
