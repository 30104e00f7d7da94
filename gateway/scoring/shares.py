"""The labels' probabilities of very many items, as one table."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from operator import eq, itemgetter, ne
from typing import overload

import numpy as np

from gateway.scoring.arrays import BoolArray, FloatArray, IntArray

Given = Mapping[str, float] | None
"""Of one item; None: no labels were scored."""


class Shares(Sequence[Given]):
    """A row an item; the mapping of one is made when it is asked for."""

    def __init__(self, labels: Sequence[str], table: FloatArray, known: BoolArray) -> None:
        """
        Args:
            table: shape (items, labels).
            known: which items have any, shape (items,); the rows of others say nothing.
        """
        self.labels = tuple(labels)
        self.table = table
        self.known = known

    @classmethod
    def of_some(
        cls, labels: Sequence[str], table: FloatArray, positions: Sequence[int], count: int
    ) -> "Shares":
        """Of so many items, of which some have any.

        Args:
            table: shape (positions, labels).
        """
        whole, known = np.zeros((count, len(labels))), np.zeros(count, dtype=np.bool_)
        whole[positions], known[positions] = table, True
        return cls(labels, whole, known)

    def taken(self, positions: Sequence[int]) -> "Shares":
        """Those of some items, in the order of the positions."""
        places = np.asarray(positions, dtype=np.int64)
        return Shares(self.labels, self.table[places], self.known[places])

    def __len__(self) -> int:
        return len(self.known)

    @overload
    def __getitem__(self, at: int) -> Given: ...
    @overload
    def __getitem__(self, at: slice) -> "Shares": ...
    def __getitem__(self, at: int | slice) -> "Given | Shares":
        if isinstance(at, slice):
            return Shares(self.labels, self.table[at], self.known[at])
        row = self.table[at].tolist()
        return dict(zip(self.labels, row, strict=True)) if self.known[at] else None

    def __iter__(self) -> Iterator[Given]:
        for known, row in zip(self.known.tolist(), self.table.tolist(), strict=True):
            yield dict(zip(self.labels, row, strict=True)) if known else None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(map(eq, self, other))

    __hash__ = None  # type: ignore[assignment]


def unlike(one: Sequence[Given], other: Sequence[Given]) -> BoolArray:
    """Whether two cells have other probabilities of each item, shape (items,)."""
    if isinstance(one, Shares) and isinstance(other, Shares) and one.labels == other.labels:
        both = one.known & other.known
        moved = (one.table != other.table).any(axis=1)
        return np.asarray((both & moved) | (one.known ^ other.known))
    return np.fromiter(map(ne, one, other), dtype=np.bool_, count=len(one))


def table_of(labels: Sequence[str], given: Sequence[Given], which: IntArray) -> FloatArray:
    """Probabilities in the order of at least two labels, shape (which, labels); NaN where an item
    has none of a label.

    Args:
        which: positions of items that have probabilities.
    """
    if isinstance(given, Shares) and given.labels == tuple(labels):
        return given.table[which]
    known = [shares for shares in map(given.__getitem__, which.tolist()) if shares is not None]
    return in_order(labels, known)


def in_order(labels: Sequence[str], given: Sequence[Mapping[str, float]]) -> FloatArray:
    """Each item's probabilities in the order of at least two labels, shape (given, labels); NaN
    where one has none."""
    try:
        # Some tens of thousands of items have one for every label: read at once.
        rows = chain.from_iterable(map(itemgetter(*labels), given))
        found = np.fromiter(rows, dtype=np.float64, count=len(given) * len(labels))
    except KeyError:
        every = (p.get(label, np.nan) for p in given for label in labels)
        found = np.fromiter(every, dtype=np.float64, count=len(given) * len(labels))
    return found.reshape(len(given), len(labels))
