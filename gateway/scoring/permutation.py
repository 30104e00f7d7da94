"""Paired permutation tests: would the difference be as large had the cells been swapped by chance?

If the two cells are alike, each item's two answers could as well have come the other way round
(Fisher 1935; for language tasks Yeh 2000, "More accurate tests for the statistical significance of
result differences"). That needs no formula for the metric, so it holds for macro-F1. Every way of
swapping is tried where they are few, else a seeded sample of them, whose p-value is
(b + 1) / (m + 1) (Phipson and Smyth 2010).

Where items come in clusters, all answers of a cluster are swapped together.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gateway.scoring.arrays import FloatArray, IntArray
from gateway.scoring.mcnemar import FEWEST_DECIDING, too_few
from gateway.scoring.pairing import Pairs
from gateway.scoring.statistic import Counts

DEFAULT_PERMUTATIONS = 10_000

_CHUNK = 4_000_000
"""Swaps made at a time: bounds memory. Part of the result, because it cuts the random stream."""
SAME = 1e-9
"""Relative size below which two differences are one: sums of one set of numbers in another order
differ in their last digits."""


@dataclass(frozen=True, slots=True)
class Permutation:
    """The two-sided test of one metric's difference."""

    difference: float
    differing: int
    """Items, or clusters of them, that a swap changes; the others stay as they are."""
    permutations: int
    """Ways of swapping that were tried."""
    exact: bool
    """Whether those were all there are."""
    p_value: float | None
    """None where fewer than `FEWEST_DECIDING` items, or clusters, decide: they cannot reach
    p < 0.05."""
    deciding: int = 0
    """Items, or clusters of them, that the test goes by (`Pairs.deciding`)."""

    @property
    def why_none(self) -> str:
        """Why there is no p-value; empty where there is one."""
        if self.p_value is not None:
            return ""
        return too_few(self.deciding, "decided differently by the two cells")


def permutation_test(
    pairs: Pairs,
    *,
    seed: int = 0,
    permutations: int = DEFAULT_PERMUTATIONS,
    clusters: IntArray | None = None,
) -> Permutation:
    """Test whether a metric differs between two cells.

    Args:
        permutations: how many ways of swapping are tried at most; all 2 ** differing if no more.
        clusters: the cluster of each of all items, shape (total,); None: each is its own.
    """
    groups = groups_of(pairs, pairs.differing, clusters)
    differing = how_many(pairs, pairs.differing, clusters)
    deciding = how_many(pairs, pairs.deciding, clusters)
    if deciding < FEWEST_DECIDING:
        return Permutation(pairs.estimate, differing, 0, False, None, deciding)
    exact = 2**differing <= permutations
    tried = 2**differing if exact else permutations
    drawn = _every(differing) if exact else drawn_swaps(differing, tried, seed=seed)
    of_item = np.unique(groups, return_inverse=True)[1]
    found = np.concatenate([swapped(pairs, part[of_item]) for part in drawn])
    extreme = int((np.abs(found) >= abs(pairs.estimate) * (1 - SAME)).sum())
    p_value = extreme / tried if exact else (extreme + 1) / (tried + 1)
    return Permutation(pairs.estimate, differing, tried, exact, p_value, deciding)


def groups_of(pairs: Pairs, items: IntArray, clusters: IntArray | None) -> IntArray:
    """The cluster of some of the kept items, shape as `items`."""
    return pairs.kept[items] if clusters is None else clusters[pairs.kept[items]]


def how_many(pairs: Pairs, items: IntArray, clusters: IntArray | None) -> int:
    """The number of some of the kept items, or of their clusters."""
    if clusters is None:
        return len(items)
    return len(np.unique(groups_of(pairs, items, clusters)))


def swapped(pairs: Pairs, swaps: Counts) -> FloatArray:
    """The difference after swaps, shape (swaps,).

    Where a swap leaves the metric without a value the difference itself stands in: it counts as
    extreme, so that p-values come out too large, never too small.

    Args:
        swaps: 1 where the answers to a differing item are swapped, shape (differing, swaps).
    """
    if pairs.parts is not None:
        return turned(pairs, pairs.parts[pairs.differing], swaps)
    sides = (pairs.of_a, pairs.of_b)
    whole = [side.total() for side in sides]
    moved = [side.kept(pairs.differing).sums(swaps) for side in sides]
    gain = moved[1] - moved[0]
    values = pairs.of_a.value(whole[0] + gain) - pairs.of_b.value(whole[1] - gain)
    return np.where(np.isnan(values), pairs.estimate, values)


def turned(pairs: Pairs, parts: FloatArray, swaps: Counts) -> FloatArray:
    """The difference where the sign of some items' parts is turned, shape (swaps,).

    Args:
        parts: of those items (`Pairs.parts`).
        swaps: 1 where it is, shape (items, swaps).
    """
    return np.asarray(pairs.estimate - 2 * (parts @ swaps.astype(np.float64)))


def drawn_swaps(groups: int, permutations: int, *, seed: int) -> Iterator[Counts]:
    """Which groups are swapped in each of so many ways, in chunks of shape (groups, some)."""
    generator = np.random.default_rng(seed)
    most = max(1, _CHUNK // max(groups, 1))
    for start in range(0, permutations, most):
        size = (groups, min(most, permutations - start))
        yield generator.integers(2, size=size, dtype=np.uint8)


def _every(groups: int) -> Iterator[Counts]:
    """All 2 ** groups ways, in one chunk."""
    ways = np.arange(2**groups)
    yield ((ways >> np.arange(groups)[:, np.newaxis]) & 1).astype(np.uint8)
