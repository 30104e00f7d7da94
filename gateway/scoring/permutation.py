"""Paired permutation test: would the difference be as large had the cells been swapped by chance?

If the two cells are alike, each item's two answers could as well have come the other way round
(Fisher 1935; for language tasks Yeh 2000, "More accurate tests for the statistical significance of
result differences"). That needs no formula for the metric, so it holds for macro-F1. Every way of
swapping is tried where they are few, else a seeded sample of them, whose p-value is
(b + 1) / (m + 1) (Phipson and Smyth 2010).
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import permutation_test as scipy_permutation_test

from gateway.scoring.mcnemar import FEWEST_DECIDING, too_few
from gateway.scoring.pairing import Pairs
from gateway.scoring.statistic import FloatArray, IntArray

DEFAULT_PERMUTATIONS = 10_000

_CHUNK = 2_000_000
"""Indices made at a time: bounds memory. Part of the result, because it cuts the random stream."""


@dataclass(frozen=True, slots=True)
class Permutation:
    """The two-sided test of one metric's difference."""

    difference: float
    differing: int
    """Items that a swap changes; the others stay as they are."""
    permutations: int
    """Ways of swapping that were tried."""
    exact: bool
    """Whether those were all there are."""
    p_value: float | None
    """None below `FEWEST_DECIDING` differing items, which cannot reach p < 0.05."""

    @property
    def why_none(self) -> str:
        """Why there is no p-value; empty where there is one."""
        if self.p_value is not None:
            return ""
        return too_few(self.differing, "answered differently by the two cells")


def permutation_test(
    pairs: Pairs, *, seed: int = 0, permutations: int = DEFAULT_PERMUTATIONS
) -> Permutation:
    """Test whether a metric differs between two cells.

    Args:
        permutations: how many ways of swapping are tried at most; all 2 ** differing if no more.
    """
    differing, difference = len(pairs.differing), pairs.estimate
    exact = 2**differing <= permutations
    tried = 2**differing if exact else permutations
    if differing < FEWEST_DECIDING:
        return Permutation(difference, differing, 0, False, None)

    def swapped(a: IntArray, b: IntArray, axis: int) -> FloatArray:
        return _differences(pairs, a, b, difference)

    result = scipy_permutation_test(
        (pairs.differing, pairs.differing + pairs.n),
        swapped,
        permutation_type="samples",
        vectorized=True,
        n_resamples=tried,
        batch=max(1, _CHUNK // pairs.n),
        rng=np.random.default_rng(seed),
    )
    return Permutation(difference, differing, tried, exact, float(result.pvalue))


def _differences(pairs: Pairs, a: IntArray, b: IntArray, undefined: float) -> FloatArray:
    """The metric's difference after swaps, shape as `a` without its last axis.

    Args:
        a, b: the rows that stand for the cells on the differing items, shape (..., differing).
        undefined: stands in where a swap leaves the metric without a value. The difference itself
            counts as extreme on both sides, so that p-values come out too large, never too small.
    """
    shape = a.shape[:-1]
    alike = np.setdiff1d(np.arange(pairs.n), pairs.differing)
    sides = []
    for rows, offset in ((a, 0), (b, pairs.n)):
        fixed = np.broadcast_to(alike + offset, (*shape, len(alike)))
        indices = np.concatenate([rows, fixed], axis=-1).reshape(-1, pairs.n)
        sides.append(pairs.statistic(indices))
    values = sides[0] - sides[1]
    return np.where(np.isnan(values), undefined, values).reshape(shape)
