"""Several comparisons at once, so that the family errs as rarely as one test.

Every pair of cells that one report holds against each other is one hypothesis of the family:
whoever reads "the best of twenty leads" reads the best of all their pairs. Two corrections:

max-T   The same swaps of the same items are made in all pairs at once. How large is the largest
        difference then, in units of each pair's own spread? A difference is shown that is larger
        than 95% of those (Westfall and Young 1993, "Resampling-Based Multiple Testing", the
        step-down procedure of section 2.6), with a small allowance where few items decide. Cells
        that err on the same items are correlated, and this uses it: no correction is more than it
        has to be.
Holm    From p-values alone (Holm 1979), where each test is exact on its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gateway.scoring.arrays import BoolArray, FloatArray, IntArray
from gateway.scoring.mcnemar import FEWEST_DECIDING
from gateway.scoring.pairing import Pairs
from gateway.scoring.permutation import (
    SAME,
    Permutation,
    drawn_swaps,
    how_many,
    permutation_test,
    turned,
)
from gateway.scoring.resampling import mean_of_some
from gateway.scoring.statistic import Counting, Counts, ItemStatistic

MOST_PERMUTATIONS, FEWEST_PERMUTATIONS = 10_000, 1_000
_ALL_TRIED = 13
"""Items that differ of which every swap is tried."""
_ALLOWANCE = 0.4
"""Of an item that decides, taken off each pair's. Of two cells a swap is as likely as what was
seen; of more cells it is not quite, since which of them part on which items stays as it was. Where
7 to 11 items decide in a pair, 8 equal cells would be told apart in 6 of 100 families; so it is
less than 5 (`scripts/bench stats`)."""
_WORK = 1_000_000_000
"""Sums over items that a family's swaps may take, which bounds how many are tried."""


@dataclass(frozen=True, slots=True)
class Simultaneous:
    """One pair's test as one of a family."""

    own: Permutation
    """As if it were alone."""
    p_value: float | None
    """That allows for the others; None as the own one."""


def holm(p_values: Sequence[float | None]) -> tuple[float | None, ...]:
    """The p-values, adjusted for all being looked at (Holm 1979).

    A test that can decide nothing (None) stays one, and counts in the family as if its p-value
    were 1, so that what was asked is corrected for, not what happened to be answerable.
    """
    if not p_values:
        return ()
    filled = np.asarray([1.0 if p is None else p for p in p_values])
    order = np.argsort(filled, kind="stable")
    # statsmodels has the same in multipletests, and collects garbage there: a second among many
    # predictions.
    raised = np.maximum.accumulate(filled[order] * np.arange(len(filled), 0, -1))
    adjusted = np.empty(len(filled))
    adjusted[order] = np.minimum(raised, 1.0)
    return tuple(
        None if p is None else float(value) for p, value in zip(p_values, adjusted, strict=True)
    )


def simultaneous(
    family: Sequence[Pairs],
    *,
    seed: int = 0,
    permutations: int = MOST_PERMUTATIONS,
    clusters: IntArray | None = None,
) -> tuple[Simultaneous, ...]:
    """Test all pairs of one metric together, by max-T.

    Args:
        family: pairs of cells over the same items, each compared on all of them or on some.
        permutations: how many ways of swapping are tried at most; fewer where items and pairs are
            many.
        clusters: the cluster of each item; None: each is its own.
    """
    if len(family) == 1:
        own = permutation_test(family[0], seed=seed, permutations=permutations, clusters=clusters)
        return (Simultaneous(own, own.p_value),)
    tried = _affordable(family, permutations)
    estimates = np.asarray([pairs.estimate for pairs in family])
    drawn = _all_swapped(family, estimates, tried, seed, clusters)
    alone = [_own(pairs, drawn[i], seed=seed, clusters=clusters) for i, pairs in enumerate(family)]
    testable = np.asarray([each.p_value is not None for each in alone])
    deciding = np.asarray([max(1, each.deciding) for each in alone])
    together = _step_down(estimates, drawn, testable, deciding)
    return tuple(
        Simultaneous(each, None if each.p_value is None else max(float(p), each.p_value))
        for each, p in zip(alone, together, strict=True)
    )


def _affordable(family: Sequence[Pairs], permutations: int) -> int:
    columns = {id(side.codes) for pairs in family for side in (pairs.of_a, pairs.of_b)}
    features = sum(pairs.of_a.rows.shape[1] for pairs in family)
    cost = len(columns) * family[0].total + 10 * features
    return min(permutations, max(FEWEST_PERMUTATIONS, _WORK // cost))


def _own(pairs: Pairs, drawn: FloatArray, *, seed: int, clusters: IntArray | None) -> Permutation:
    """The pair's own test: every swap where they are few, else those that all pairs share."""
    differing = how_many(pairs, pairs.differing, clusters)
    deciding = how_many(pairs, pairs.deciding, clusters)
    if differing <= _ALL_TRIED or deciding < FEWEST_DECIDING:
        return permutation_test(pairs, seed=seed, permutations=2**_ALL_TRIED, clusters=clusters)
    extreme = int((np.abs(drawn) >= abs(pairs.estimate) * (1 - SAME)).sum())
    p_value = (extreme + 1) / (len(drawn) + 1)
    return Permutation(pairs.estimate, differing, len(drawn), False, p_value, deciding)


def _all_swapped(
    family: Sequence[Pairs],
    estimates: FloatArray,
    tried: int,
    seed: int,
    clusters: IntArray | None,
) -> FloatArray:
    """Every pair's difference after the same swaps, shape (pairs, swaps)."""
    total = family[0].total
    groups = np.arange(total) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    whole = _WholeSides([pairs for pairs in family if not mean_of_some(pairs)])
    found = []
    for part in drawn_swaps(int(groups.max()) + 1, tried, seed=seed):
        swaps = part if clusters is None else part[groups]
        found.append(_chunk(family, swaps, whole))
    values = np.concatenate(found, axis=1)
    return np.where(np.isnan(values), estimates[:, np.newaxis], values)


class _WholeSides:
    """The cells' sides that are of all items."""

    def __init__(self, family: Sequence[Pairs]) -> None:
        whole = [pairs for pairs in family if pairs.n == pairs.total]
        self._sides = list({id(side): side for p in whole for side in (p.of_a, p.of_b)}.values())
        self._totals = [side.total() for side in self._sides]
        self._counting = Counting(self._sides)

    def moved(self, swaps: Counts) -> dict[int, tuple[FloatArray, FloatArray]]:
        """By the id of each: its features summed, over all the items and over those swapped."""
        counts = self._counting.counted(swaps)
        return {
            id(side): (total, np.asarray(side.rows.T @ own))
            for side, total, own in zip(self._sides, self._totals, counts, strict=True)
        }


def _chunk(family: Sequence[Pairs], swaps: Counts, whole: _WholeSides) -> FloatArray:
    """As `_all_swapped`, for some of the swaps."""
    values = np.empty((len(family), swaps.shape[1]))
    means = [i for i, pairs in enumerate(family) if mean_of_some(pairs)]
    if means:
        values[means] = _means([family[i] for i in means], swaps)
    moved = whole.moved(swaps)

    def of(side: ItemStatistic, kept: IntArray) -> tuple[FloatArray, FloatArray]:
        return moved[id(side)] if id(side) in moved else (side.total(), side.sums(swaps[kept]))

    for i in sorted(set(range(len(family))) - set(means)):
        pairs = family[i]
        if pairs.parts is not None:
            values[i] = turned(pairs, pairs.parts, swaps[pairs.kept])
            continue
        (a, from_a), (b, from_b) = of(pairs.of_a, pairs.kept), of(pairs.of_b, pairs.kept)
        gain = from_b - from_a
        values[i] = pairs.of_a.value(a + gain) - pairs.of_b.value(b - gain)
    return values


def _means(family: Sequence[Pairs], swaps: Counts) -> FloatArray:
    """As `_chunk`, where each difference is a mean: one product for all pairs."""
    gaps = np.zeros((len(swaps), len(family)))
    for i, pairs in enumerate(family):
        a, b = (side.features().toarray() for side in (pairs.of_a, pairs.of_b))
        gaps[pairs.kept, i] = a[:, 0] / a[:, 1].sum() - b[:, 0] / b[:, 1].sum()
    return np.asarray(gaps.sum(axis=0)[:, np.newaxis] - 2 * gaps.T @ swaps)


def _step_down(
    estimates: FloatArray, drawn: FloatArray, testable: BoolArray, deciding: IntArray
) -> FloatArray:
    """The p-values of max-T, shape (pairs,); 1 where a pair is not to be tested.

    Args:
        deciding: items, or clusters of them, that each pair's test goes by.
    """
    spread = np.sqrt((drawn**2).mean(axis=1))
    usable = testable & (spread > 0)
    p_values = np.ones(len(estimates))
    if not usable.any():
        return p_values
    seen = np.abs(estimates[usable]) / spread[usable]
    seen *= np.sqrt(1 - _ALLOWANCE / deciding[usable])
    chance = np.abs(drawn[usable]) / spread[usable][:, np.newaxis]
    order = np.argsort(seen, kind="stable")
    # Of all pairs no larger than this one, the largest in each swap.
    largest = np.maximum.accumulate(chance[order], axis=0)
    extreme = (largest >= seen[order][:, np.newaxis] * (1 - SAME)).sum(axis=1)
    found = (extreme + 1) / (drawn.shape[1] + 1)
    # A smaller difference is never surer than a larger one.
    falling = np.maximum.accumulate(found[::-1])[::-1]
    p_values[np.flatnonzero(usable)[order]] = falling
    return p_values
