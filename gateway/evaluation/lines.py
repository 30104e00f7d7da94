"""Predictions as lines of JSON, one cell's at once.

Each line is the canonical JSON of one prediction with the digest and the cluster of its item. To
write hundreds of thousands of them one by one takes longer than to make them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.core.columns_json import column, objects_of_floats, woven
from gateway.evaluation.at_once import CLUSTER, DIGEST, OFF_BY
from gateway.scoring.columns import NAMES, Columns
from gateway.scoring.shares import Shares

_OPTIONAL = frozenset({CLUSTER, OFF_BY})
"""Keys that a line lacks where there is nothing to be said."""
_OF_ITEMS = ("item_id", "gold", DIGEST, CLUSTER)
"""Keys of what cells on the same items have in common."""
_ALONE = frozenset({str, int, bool, type(None)})
"""Types of which equal values have one text."""
_KEYS = sorted((*NAMES, DIGEST, CLUSTER))
_Parts = list[str | list[str]]
"""As `woven` takes them."""


class LinesWriter:
    """Writes cell after cell, and what is of the items alone once for those on the same items."""

    def __init__(self, digests: Mapping[str, str], clusters: Mapping[str, str]) -> None:
        """
        Args:
            digests, clusters: by item id; an empty cluster is none.
        """
        self._digests, self._clusters = digests, clusters
        self._items: tuple[Sequence[Any], Sequence[Any]] = (), ()
        self._of_items: dict[str, _Parts] = {}

    def lines_of(self, columns: Columns) -> str:
        """One line a prediction, in their order, each with its end."""
        parts: _Parts = []
        values = dict(zip(NAMES, columns.all(), strict=True))
        of_items = self._of_the_items(columns)
        for key in _KEYS:
            own = of_items[key] if key in of_items else _member(key, values[key])
            parts += own
        # Only the first has no comma before it.
        begin = parts[0]
        assert isinstance(begin, str)
        return woven([f"{{{begin[1:]}", *parts[1:], "}\n"], len(columns.item_id))

    def _of_the_items(self, columns: Columns) -> dict[str, _Parts]:
        ids, golds = columns.item_id, columns.gold
        if not self._of_items or self._items != (ids, golds):
            values = {
                "item_id": ids,
                "gold": golds,
                DIGEST: [self._digests[item_id] for item_id in ids],
                CLUSTER: [self._clusters[item_id] for item_id in ids],
            }
            self._items = ids, golds
            self._of_items = {key: _member(key, own) for key, own in values.items()}
        return self._of_items


def _member(key: str, values: Sequence[Any]) -> _Parts:
    """Key and value of each line, behind a comma; nothing where an optional one has none."""
    if key in _OPTIONAL:
        if not any(values):
            return []
        texts = zip(values, column(values), strict=True)
        return [[f',"{key}":{text}' if value else "" for value, text in texts]]
    return [f',"{key}":', *_texts(values)]


def _texts(values: Sequence[Any]) -> _Parts:
    """The text of each value; one for all where they are one and the same."""
    if isinstance(values, Shares):
        return _of_shares(values)
    return [column(values[:1])[0] if _are_one(values) else column(values)]


def _are_one(values: Sequence[Any]) -> bool:
    """Whether all have one text; an int that equals a bool has another."""
    if not values or type(values[0]) not in _ALONE or values.count(values[0]) < len(values):
        return False
    return len(set(map(type, values))) == 1


def _of_shares(shares: Shares) -> _Parts:
    columns = dict(zip(shares.labels, shares.table[shares.known].T.tolist(), strict=True))
    parts = objects_of_floats(columns)
    if shares.known.all():
        return parts
    texts = iter(woven([*parts, "\n"], int(shares.known.sum())).split("\n"))
    return [[next(texts) if known else "null" for known in shares.known.tolist()]]
