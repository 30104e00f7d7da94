"""A metric as a function of sums over items, so that many resamples of it are a few products.

Every item has a code, and every code a row of features: those of a macro-F1 are whether the item
is of a class, whether it was answered by it, and both. A metric is a function of the features'
sums. A resample then is how often each item counts, and a swap of two cells' answers is a sum that
goes from one to the other; neither asks what the metric is.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import chain
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array, eye_array, vstack

from gateway.scoring.arrays import BoolArray, FloatArray, IntArray

Counts = npt.NDArray[np.uint8]
"""How often items count."""

Value = Callable[[FloatArray], FloatArray]
"""Sums of features, shape (features, resamples) -> values, shape (resamples,); NaN where there is
none."""

_CHUNK = 4_000_000
"""Weights that are made at a time: bounds memory, changes no value."""
_NARROW, _PIECE = 32, 64_000
"""Resamples that are counted at a time; where items are few, as many as have so many weights. They
stay in the processor's cache while all cells are counted."""
_MOST_JOINT = 256
"""Codes that are counted as one: their counts stay in the processor's cache."""
_DRAWN = 2_000_000
"""Indices drawn at a time: part of the result, because it cuts the random stream."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class ItemStatistic:
    """A metric of the items of one cell."""

    codes: IntArray
    """Of each item, shape (items,). Statistics that have one array in common are summed once."""
    rows: csr_array
    """The features of each code, shape (codes, features)."""
    value: Value
    alike: bool = True
    """Whether the features of another cell's items mean the same, so that both can be joined."""
    levels: FloatArray = field(default_factory=lambda: np.empty(0))
    """Of a median: the value of each code but the last, ascending."""
    most: float = 0.0
    """Of a mean of losses: the greatest that an item can have, where that is known."""

    def __call__(self, indices: IntArray) -> FloatArray:
        """The values on resampled items.

        Args:
            indices: item positions, shape (resamples, any number of items).
        """
        if self.additive:
            features = self.rows.toarray()[self.codes]
            return share(np.stack([column[indices].sum(axis=1) for column in features.T]))
        width, resamples = self.rows.shape[0], len(indices)
        flat = self.codes[indices] + width * np.arange(resamples)[:, np.newaxis]
        counts = np.bincount(flat.ravel(), minlength=resamples * width)
        return self.of_counts(counts.reshape(resamples, width).T.astype(np.float64))

    def weighted(self, weights: Counts) -> FloatArray:
        """The values where each item counts so often.

        Args:
            weights: shape (items, resamples).
        """
        return self.of_counts(self.counted(weights))

    @property
    def additive(self) -> bool:
        """Whether it is a mean."""
        return self.value is share

    def estimate(self) -> float:
        """The value of the items as they are; NaN where there is none. It is kept, since every pair
        of cells asks for it."""
        found = _ESTIMATES.get(self)
        if found is None:
            found = _ESTIMATES[self] = float(self.value(self.total())[0])
        return found

    def total(self) -> FloatArray:
        """The features summed over the items as they are, shape (features, 1)."""
        counts = np.bincount(self.codes, minlength=self.rows.shape[0]).astype(np.float64)
        return np.asarray(self.rows.T @ counts[:, np.newaxis], dtype=np.float64)

    def counted(self, weights: Counts) -> FloatArray:
        """How often each code counts, shape (codes, resamples)."""
        return counted([self], weights)[0]

    def sums(self, weights: Counts) -> FloatArray:
        """The features summed, each item counting so often; shape (features, resamples)."""
        return np.asarray(self.rows.T @ self.counted(weights), dtype=np.float64)

    def of_counts(self, counts: FloatArray) -> FloatArray:
        """The values where each code counts so often.

        Args:
            counts: shape (codes, resamples).
        """
        return self.value(np.asarray(self.rows.T @ counts, dtype=np.float64))

    def features(self) -> csr_array:
        """Of each item, shape (items, features)."""
        return csr_array(self.rows[self.codes])

    def without_each(self) -> FloatArray:
        """The values with each item left out in turn, shape (items,)."""
        whole = self.total()
        codes, features = self.rows.shape
        without = [
            self.value(whole - self.rows[part].toarray().T)
            for part in np.array_split(np.arange(codes), 1 + codes * features // _CHUNK)
        ]
        return np.concatenate(without)[self.codes]

    def kept(self, items: BoolArray | IntArray) -> "ItemStatistic":
        """The same of some items."""
        return replace(self, codes=self.codes[items])

    def joined(self, other: "ItemStatistic") -> "ItemStatistic":
        """Of this cell's items and, behind them, another's."""
        codes = np.concatenate([self.codes, other.codes + self.rows.shape[0]])
        return ItemStatistic(codes, csr_array(vstack([self.rows, other.rows])), self.value)


class Counting:
    """Counts the codes of several statistics of the same items, as often as it is asked.

    To count codes is to look at every item. Those of some cells are made one code, such as the gold
    label and four answers to it, so that the items are looked at once for all of these.
    """

    def __init__(self, statistics: Sequence[ItemStatistic]) -> None:
        self._widths = [each.rows.shape[0] for each in statistics]
        self._groups = [
            (one_hot(joint.codes, joint.count), joint.parts) for joint in _joined(statistics)
        ]

    def counted(self, weights: Counts) -> list[FloatArray]:
        """How often each code of each statistic counts, shape (codes, resamples) each.

        Args:
            weights: shape (items, resamples).
        """
        found = [np.empty((width, weights.shape[1])) for width in self._widths]
        narrow = max(_NARROW, _PIECE // len(weights)) if len(weights) else _PIECE
        for start in range(0, weights.shape[1], narrow):
            part = slice(start, start + narrow)
            # Exact: whole numbers, and few enough for their sums to be.
            some = np.ascontiguousarray(weights[:, part], dtype=np.float32)
            for counts, own in zip(found, self._of_each(some), strict=True):
                counts[:, part] = own
        return found

    def _of_each(self, weights: npt.NDArray[np.float32]) -> Iterator[npt.NDArray[np.float32]]:
        for matrix, parts in self._groups:
            together = matrix @ weights
            yield from (part @ together for part in parts)


@dataclass(frozen=True, slots=True)
class _Joint:
    """Codes that say what the codes of several statistics are."""

    codes: IntArray
    """Of each item, shape (items,)."""
    of_each: tuple[tuple[IntArray, int], ...]
    """The code in each statistic, shape (joint codes,), and how many it has."""

    @property
    def count(self) -> int:
        return len(self.of_each[0][0])

    @property
    def parts(self) -> list[csr_array]:
        """What sums joint codes to those of each statistic."""
        return [one_hot(own, width) for own, width in self.of_each]

    def and_of(self, other: ItemStatistic) -> "_Joint | None":
        """With one statistic more; None where those are too many codes."""
        width = other.rows.shape[0]
        if self.count * width > _MOST_JOINT**2:
            return None
        both = self.codes * width + other.codes
        occurring = np.flatnonzero(np.bincount(both))
        if len(occurring) > _MOST_JOINT:
            return None
        number = np.zeros(self.count * width, dtype=np.int64)
        number[occurring] = np.arange(len(occurring))
        before, own = np.divmod(occurring, width)
        of_each = ((of[before], count) for of, count in self.of_each)
        return _Joint(number[both], (*of_each, (own, width)))


def _joined(statistics: Sequence[ItemStatistic]) -> Iterator[_Joint]:
    joint: _Joint | None = None
    for each in statistics:
        more = joint.and_of(each) if joint else None
        if joint and more is None:
            yield joint
        width = each.rows.shape[0]
        joint = more or _Joint(each.codes, ((np.arange(width), width),))
    if joint:
        yield joint


def counted(statistics: Sequence[ItemStatistic], weights: Counts) -> list[FloatArray]:
    """`Counting`, once."""
    return Counting(statistics).counted(weights)


_ESTIMATES: WeakKeyDictionary[ItemStatistic, float] = WeakKeyDictionary()


def one_hot(codes: IntArray, width: int) -> csr_array:
    """1 where an item has a code, shape (width, items)."""
    ones = np.ones(len(codes), dtype=np.float32)
    return csr_array((ones, (codes, np.arange(len(codes)))), shape=(width, len(codes)))


def of_features(features: FloatArray | BoolArray, value: Value) -> ItemStatistic:
    """A statistic of the sums of what every item has.

    Args:
        features: shape (items, features); equal rows are kept once.
    """
    distinct, codes = _distinct(np.asarray(features, np.float64))
    return ItemStatistic(codes, csr_array(distinct), value)


def _distinct(rows: FloatArray) -> tuple[FloatArray, IntArray]:
    """As `np.unique(rows, axis=0, return_inverse=True)`, which takes ten times as long."""
    order = np.lexsort(rows.T[::-1])
    ascending = rows[order]
    new = np.ones(len(rows), dtype=np.bool_)
    new[1:] = (ascending[1:] != ascending[:-1]).any(axis=1)
    codes = np.empty(len(rows), dtype=np.int64)
    codes[order] = new.cumsum() - 1
    return ascending[new], codes


def mean(values: FloatArray | BoolArray, *, among: BoolArray | None = None) -> ItemStatistic:
    """The mean of the items that count, NaN where none does."""
    counted = np.ones(len(values), dtype=np.bool_) if among is None else among
    kept = np.where(counted, values, 0.0).astype(np.float64)
    features: FloatArray = np.column_stack([kept, counted.astype(np.float64)])
    return of_features(features, share)


def share(sums: FloatArray) -> FloatArray:
    """The first feature by the second: a mean of the items that count."""
    return ratio(sums[0], sums[1])


def median(values: FloatArray, *, among: BoolArray | None = None) -> ItemStatistic:
    """The median of the items that count, NaN where none does."""
    counted = np.ones(len(values), dtype=np.bool_) if among is None else among
    distinct, found = np.unique(values[counted], return_inverse=True)
    codes = np.full(len(values), len(distinct), dtype=np.int64)
    codes[counted] = found.reshape(-1)
    # The last code, of items that do not count, has no feature.
    rows = csr_array(eye_array(len(distinct) + 1, len(distinct)))
    return ItemStatistic(
        codes, rows, lambda counts: _middle(distinct, counts), alike=False, levels=distinct
    )


def _middle(ascending: FloatArray, counts: FloatArray) -> FloatArray:
    if not len(ascending):
        return np.full(counts.shape[1], np.nan)
    reached = counts.cumsum(axis=0)
    total = reached[-1]
    last = len(ascending) - 1
    lower = np.minimum((reached <= np.floor((total - 1) / 2)).sum(axis=0), last)
    upper = np.minimum((reached <= np.floor(total / 2)).sum(axis=0), last)
    return np.where(total > 0, (ascending[lower] + ascending[upper]) / 2, np.nan)


def ratio(top: npt.NDArray[np.generic], bottom: npt.NDArray[np.generic]) -> FloatArray:
    """top / bottom, NaN where bottom is zero."""
    above, below = np.asarray(top, dtype=np.float64), np.asarray(bottom, dtype=np.float64)
    quotient = np.full(above.shape, np.nan)
    np.divide(above, below, out=quotient, where=below > 0)
    return quotient


# Resamples


def resample_indices(n: int, resamples: int, *, seed: int) -> Iterator[IntArray]:
    """Indices of items drawn with replacement, in chunks of shape (some, n).

    They depend on `n` and `seed` alone, so cells over the same items are resampled alike.
    """
    generator = np.random.default_rng(seed)
    most = max(1, _DRAWN // n)
    for start in range(0, resamples, most):
        yield generator.integers(n, size=(min(most, resamples - start), n))


def resample_weights(
    n: int, resamples: int, *, seed: int, clusters: IntArray | None = None
) -> Iterator[Counts]:
    """How often each item counts in each resample of `resample_indices`, in chunks of shape
    (n, some).

    Args:
        clusters: the cluster of each item, shape (n,): clusters are drawn, with all their items.
    """
    groups = None if clusters is None else np.unique(clusters, return_inverse=True)[1].reshape(-1)
    drawn = _drawn(n if groups is None else int(groups.max()) + 1, resamples, seed)
    most = max(1, _CHUNK // n)
    for start in range(0, resamples, most):
        part = np.ascontiguousarray(drawn[start : start + most].T)
        yield part if groups is None else part[groups]


@lru_cache(maxsize=1)
def _drawn(n: int, resamples: int, seed: int) -> Counts:
    """Counts of all resamples, shape (resamples, n): kept, since every cell needs the same."""
    counts = np.empty((resamples, n), dtype=np.uint8)
    every = chain.from_iterable(resample_indices(n, resamples, seed=seed))
    for row, indices in zip(counts, every, strict=True):
        row[:] = np.bincount(indices, minlength=n)
    return counts


def resampled(
    table: Mapping[str, ItemStatistic],
    n: int,
    resamples: int,
    *,
    seed: int,
    clusters: IntArray | None = None,
) -> dict[str, FloatArray]:
    """The values of each statistic on the same resamples, shape (resamples,) each; what was drawn
    of one before is not drawn again.

    Args:
        table: statistics of the same `n` items.
        clusters: as `resample_weights`.
    """
    asked = (resamples, seed, b"" if clusters is None else clusters.tobytes())
    new = {name: each for name, each in table.items() if asked not in _KEPT.get(each, {})}
    for name, values in _resampled(new, n, resamples, seed, clusters).items():
        _KEPT.setdefault(new[name], {})[asked] = values
    return {name: _KEPT[each][asked] for name, each in table.items()}


_KEPT: WeakKeyDictionary[ItemStatistic, dict[tuple[int, int, bytes], FloatArray]] = (
    WeakKeyDictionary()
)


def _resampled(
    table: Mapping[str, ItemStatistic],
    n: int,
    resamples: int,
    seed: int,
    clusters: IntArray | None,
) -> dict[str, FloatArray]:
    if not table:
        return {}
    drawn: dict[str, list[FloatArray]] = {name: [] for name in table}
    groups = _sharing(table)
    counting = Counting([table[names[0]] for names in groups])
    for weights in resample_weights(n, resamples, seed=seed, clusters=clusters):
        for names, counts in zip(groups, counting.counted(weights), strict=True):
            for name in names:
                drawn[name].append(table[name].of_counts(counts))
    return {name: np.concatenate(parts) if parts else np.empty(0) for name, parts in drawn.items()}


def _sharing(table: Mapping[str, ItemStatistic]) -> list[Sequence[str]]:
    """Names of the statistics that have the same codes."""
    found: dict[int, list[str]] = {}
    for name, statistic in table.items():
        found.setdefault(id(statistic.codes), []).append(name)
    return list(found.values())
