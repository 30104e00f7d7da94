"""BCa bootstrap of one statistic: intervals at any level, and one-sided p-values.

The percentiles of resampled values are moved by how far the values lie to one side of the estimate
(bias) and by how the standard error changes with the true value (acceleration, by the jackknife):
Efron 1987, "Better Bootstrap Confidence Intervals"; Efron and Tibshirani 1993, "An Introduction to
the Bootstrap", sections 14.3 and 15.4. A p-value is the level at which the interval ends at the
bound in question, so an interval and a test never disagree.

`scipy.stats.bootstrap` gives the same intervals; the tests hold it to that. It does not give the
p-values, and it draws other resamples than `scoring.resample_indices`, by which all cells over the
same items are resampled alike.

A bootstrap sees only what occurred. Where no item differs between two cells every resample says
exactly zero and the interval is [0, 0], whatever the number of items: `gateway.statistics.power`
says what so many items could have shown.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import ndtr, ndtri

from gateway.results import Metric
from gateway.scoring import (
    DEFAULT_RESAMPLES,
    FloatArray,
    IntArray,
    Statistic,
    point_estimate,
    resample_indices,
)

Method = Literal["BCa", "percentile", "none"]

_CHUNK = 2_000_000
"""Indices of jackknife samples made at a time: bounds memory, changes no value."""


@dataclass(frozen=True, slots=True, eq=False)
class Bootstrap:
    """A statistic's values on resamples, and what corrects their percentiles."""

    estimate: float
    """The statistic of the items as they are."""
    values: FloatArray
    """Of the resamples in which the statistic is defined, ascending."""
    undefined: int
    """Resamples in which it is not; they are left out."""
    bias: float
    """z0: normal quantile of the share of values below the estimate, ties counted half."""
    acceleration: float
    """Zero where the jackknife values do not vary."""

    @property
    def method(self) -> Method:
        """`percentile` where every value lies on one side of the estimate, so that the bias has no
        measure; `none` where the statistic is defined in no resample."""
        if not self.values.size:
            return "none"
        return "BCa" if math.isfinite(self.bias) else "percentile"

    @property
    def standard_error(self) -> float:
        """Standard deviation of the values; NaN where there are fewer than two."""
        return float(self.values.std(ddof=1)) if self.values.size > 1 else math.nan

    def interval(self, level: float = 0.95) -> Metric:
        """The estimate with its central interval, without one where `method` is `none`."""
        if self.method == "none":
            return Metric(self.estimate)
        tails = np.asarray([(1 - level) / 2, (1 + level) / 2])
        low, high = np.quantile(self.values, self._corrected(tails))
        return Metric(self.estimate, float(low), float(high))

    def p_above(self, bound: float) -> float:
        """One-sided p-value of "the true value is `bound` or less"; small speaks for more.

        At least 1 / (resamples + 1), because so many resamples can not show less, and NaN where
        `method` is `none`.
        """
        if self.method == "none":
            return math.nan
        least = 1 / (len(self.values) + 1)
        return min(1.0, max(least, self._uncorrected(self._position(bound))))

    def p_below(self, bound: float) -> float:
        """One-sided p-value of "the true value is `bound` or more"; small speaks for less."""
        return self._mirrored().p_above(-bound)

    def _corrected(self, levels: FloatArray) -> FloatArray:
        """The levels at which the values' quantiles are taken."""
        if self.method == "percentile":
            return levels
        shifted = self.bias + ndtri(levels)
        # Beyond 1 / acceleration the correction has no meaning; its limit is the outermost value.
        room = np.maximum(1 - self.acceleration * shifted, np.finfo(np.float64).tiny)
        return np.asarray(ndtr(self.bias + shifted / room), dtype=np.float64)

    def _uncorrected(self, position: float) -> float:
        """The inverse of `_corrected`."""
        if self.method == "percentile":
            return position
        moved = float(ndtri(position)) - self.bias
        if math.isinf(moved):
            return position
        room = 1 + self.acceleration * moved
        if room <= 0:
            return 0.0 if moved < 0 else 1.0
        return float(ndtr(moved / room - self.bias))

    def _position(self, bound: float) -> float:
        """The level whose quantile is `bound`; of several, the largest."""
        last = len(self.values) - 1
        below = int(np.searchsorted(self.values, bound, side="right"))
        if below == 0 or below > last:
            return float(below > last)
        under, over = self.values[below - 1], self.values[below]
        return float((below - 1 + (bound - under) / (over - under)) / last)

    def _mirrored(self) -> "Bootstrap":
        return Bootstrap(
            -self.estimate, -self.values[::-1], self.undefined, -self.bias, -self.acceleration
        )


def bootstrap(
    statistic: Statistic, n: int, *, seed: int = 0, resamples: int = DEFAULT_RESAMPLES
) -> Bootstrap:
    """Resample a statistic, for a paired difference `Pairs.difference`.

    Args:
        n: how many items it is of; at least one.
        resamples: the same for the same `n` and `seed`, whatever the statistic; at least one.
    """
    estimate = point_estimate(statistic, n)
    drawn = np.concatenate(
        [statistic(indices) for indices in resample_indices(n, resamples, seed=seed)]
    )
    values = np.sort(drawn[~np.isnan(drawn)])
    return Bootstrap(
        estimate=estimate,
        values=values,
        undefined=len(drawn) - len(values),
        bias=_bias(values, estimate),
        acceleration=_acceleration(statistic, n),
    )


def _bias(values: FloatArray, estimate: float) -> float:
    if not values.size or math.isnan(estimate):
        return math.nan
    share = ((values < estimate).mean() + (values <= estimate).mean()) / 2
    return float(ndtri(share))


def _acceleration(statistic: Statistic, n: int) -> float:
    """From the statistic's values with each item left out in turn."""
    without = np.concatenate([statistic(indices) for indices in _jackknife(n)])
    without = without[~np.isnan(without)]
    pull = without.mean() - without if without.size else without
    spread = float((pull**2).sum())
    # Values that differ by rounding alone are equal: their skewness would be noise.
    if spread <= (np.finfo(np.float64).eps * n * np.abs(without).max(initial=0.0)) ** 2:
        return 0.0
    return float((pull**3).sum()) / (6 * spread**1.5)


def _jackknife(n: int) -> Iterator[IntArray]:
    """Indices of all items but one, in chunks of shape (some, n - 1)."""
    most = max(1, _CHUNK // n)
    rest = np.arange(n - 1)
    for start in range(0, n, most):
        left_out = np.arange(start, min(start + most, n))[:, np.newaxis]
        yield rest + (rest >= left_out)
