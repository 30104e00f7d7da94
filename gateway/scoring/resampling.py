"""The differences of many pairs of cells on the same resamples of their items."""

from collections.abc import Sequence

import numpy as np

from gateway.scoring.arrays import FloatArray, IntArray
from gateway.scoring.pairing import Pairs
from gateway.scoring.statistic import (
    Counts,
    ItemStatistic,
    ratio,
    resample_weights,
    resampled,
)


def differences(
    family: Sequence[Pairs], resamples: int, *, seed: int = 0, clusters: IntArray | None = None
) -> FloatArray:
    """The metric of `a` less that of `b` in each pair, shape (pairs, resamples); NaN where it has
    no value.

    A cell is resampled once, however many pairs it is in.

    Args:
        family: pairs of cells over the same items.
        clusters: as `resample_weights`.
    """
    n = family[0].total
    whole = {id(side): side for pairs in family for side in _sides(pairs) if pairs.n == n}
    drawn = resampled(
        {str(key): side for key, side in whole.items()}, n, resamples, seed=seed, clusters=clusters
    )
    found = np.empty((len(family), resamples))
    for i, pairs in enumerate(family):
        if pairs.n == n:
            found[i] = drawn[str(id(pairs.of_a))] - drawn[str(id(pairs.of_b))]
    some = [i for i, pairs in enumerate(family) if pairs.n < n]
    if some:
        chunks = resample_weights(n, resamples, seed=seed, clusters=clusters)
        of_some = [_chunk([family[i] for i in some], weights) for weights in chunks]
        found[some] = np.concatenate(of_some, axis=1)
    return found


def _sides(pairs: Pairs) -> tuple[ItemStatistic, ItemStatistic]:
    return pairs.of_a, pairs.of_b


def _chunk(family: Sequence[Pairs], weights: Counts) -> FloatArray:
    """The differences of pairs that are compared on some of the items."""
    found = np.empty((len(family), weights.shape[1]))
    means = [i for i, pairs in enumerate(family) if mean_of_some(pairs)]
    if means:
        found[means] = _means([family[i] for i in means], weights)
    for i in sorted(set(range(len(family))) - set(means)):
        found[i] = family[i].weighted(weights[family[i].kept])
    return found


def mean_of_some(pairs: Pairs) -> bool:
    """Whether the difference is a mean over items of which some are left out."""
    return pairs.of_a.additive and pairs.n < pairs.total


def _means(family: Sequence[Pairs], weights: Counts) -> FloatArray:
    """As `_chunk`, where each is a mean of some of the items: one product for all pairs."""
    counted = weights.astype(np.float64)
    sums = []
    for which in range(2):
        parts = np.zeros((2, len(family), len(weights)))
        for i, pairs in enumerate(family):
            parts[:, i, pairs.kept] = _sides(pairs)[which].features().toarray().T
        sums.append(parts @ counted)
    return ratio(sums[0][0], sums[0][1]) - ratio(sums[1][0], sums[1][1])
