"""Bootstrap of one statistic: intervals at any level, and one-sided p-values.

Three ways to read an interval off resampled values:

percentile  their central percentiles (Efron and Tibshirani 1993, chapter 13).
BCa         percentiles moved by how far the values lie to one side of the estimate (bias) and by
            how the standard error changes with the true value (acceleration, by the jackknife):
            Efron 1987, "Better Bootstrap Confidence Intervals"; Efron and Tibshirani 1993, section
            14.3. Equal to `scipy.stats.bootstrap` on the same resamples.
widened     percentiles further out, by as much as Student's t lies beyond the normal, with one
            degree of freedom for each item that carries the difference: the expanded percentile
            interval of Hesterberg 2015, "What Teachers Should Know About the Bootstrap", whose
            degrees of freedom are the items. Where two cells differ on 10 of 300 items, what is
            known of the spread comes from the 10.

Widened is the default because it holds what it promises where cells differ on few items, and BCa
does not (`scripts/bench stats`). A p-value is the level at which the interval ends at the bound in
question, so that an interval and a test never disagree.

A bootstrap sees only what occurred. Where no item differs between two cells every resample says
exactly zero and the interval is [0, 0], whatever the number of items; below `FEWEST_CARRYING` no
way of reading it is wide enough. The score test of `gateway.scoring.proportions` allows for what
did not occur.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from gateway.core.errors import ConfigError
from gateway.scoring.arrays import FloatArray, IntArray
from gateway.scoring.results import Metric
from gateway.scoring.scores import DEFAULT_RESAMPLES, Statistic, point_estimate
from gateway.scoring.statistic import resample_indices

FEWEST_CARRYING = 6
"""Items that must carry a value for its resamples to say how sure it is. A test by signs needs as
many (`mcnemar.FEWEST_DECIDING`)."""

_CHUNK = 2_000_000
"""Indices of jackknife samples made at a time: bounds memory, changes no value."""


class Method(StrEnum):
    """How an interval is read off resampled values."""

    PERCENTILE = "percentile"
    BCA = "BCa"
    WIDENED = "widened percentile"


@dataclass(frozen=True, slots=True, eq=False)
class Bootstrap:
    """A statistic's values on resamples, and what corrects their percentiles."""

    estimate: float
    """The statistic of the items as they are."""
    values: FloatArray
    """Of the resamples in which the statistic is defined, ascending; maybe none."""
    undefined: int
    """Resamples in which it is not; they are left out."""
    carrying: int
    """Items that carry the value: degrees of freedom of the widened interval. With none the values
    are all equal."""
    bias: float
    """z0: normal quantile of the share of values below the estimate, ties counted half. Infinite
    where all lie to one side; then BCa has no meaning, and is read as a percentile interval."""
    acceleration: float
    """Zero where the jackknife values do not vary."""

    @property
    def standard_error(self) -> float:
        """Standard deviation of the values; NaN where there are fewer than two."""
        return float(self.values.std(ddof=1)) if self.values.size > 1 else math.nan

    def usable(self, method: Method) -> Method:
        """The method, or `PERCENTILE` where BCa has no meaning."""
        unclear = method is Method.BCA and not math.isfinite(self.bias)
        return Method.PERCENTILE if unclear else method

    def interval(self, level: float = 0.95, *, method: Method = Method.WIDENED) -> Metric:
        """The estimate with its central interval, without one where no resample has a value.

        Raises:
            ConfigError: the level is none between 0 and 1.
        """
        if not 0 < level < 1:
            raise ConfigError(f"an interval at a level of {level:g}", hint="such as 0.95")
        if not self.values.size:
            return Metric(self.estimate)
        tails = np.asarray([(1 - level) / 2, (1 + level) / 2])
        low, high = np.quantile(self.values, self._corrected(tails, self.usable(method)))
        return Metric(self.estimate, float(low), float(high))

    def p_above(self, bound: float, *, method: Method = Method.WIDENED) -> float:
        """One-sided p-value of "the true value is `bound` or less"; small speaks for more.

        At least 1 / (resamples + 1), because so many resamples cannot show less, and NaN where no
        resample has a value.
        """
        if not self.values.size:
            return math.nan
        least = 1 / (len(self.values) + 1)
        level = self._uncorrected(self._position(bound), self.usable(method))
        return min(1.0, max(least, level))

    def p_below(self, bound: float, *, method: Method = Method.WIDENED) -> float:
        """One-sided p-value of "the true value is `bound` or more"; small speaks for less."""
        return self._mirrored().p_above(-bound, method=method)

    def _corrected(self, levels: FloatArray, method: Method) -> FloatArray:
        """The levels at which the values' quantiles are taken."""
        match method:
            case Method.PERCENTILE:
                return levels
            case Method.WIDENED:
                return np.asarray(ndtr(stdtrit(max(1, self.carrying), levels)), dtype=np.float64)
            case Method.BCA:
                shifted = self.bias + ndtri(levels)
                room = 1 - self.acceleration * shifted
                moved = ndtr(self.bias + shifted / np.where(room > 0, room, 1.0))
                # Beyond 1 / acceleration the formula has no meaning; its limit is the last value.
                return np.asarray(np.where(room > 0, moved, shifted > 0), dtype=np.float64)

    def _uncorrected(self, position: float, method: Method) -> float:
        """The inverse of `_corrected`."""
        if method is Method.PERCENTILE or position in (0.0, 1.0):
            return position
        if method is Method.WIDENED:
            return float(stdtr(max(1, self.carrying), ndtri(position)))
        moved = float(ndtri(position)) - self.bias
        room = 1 + self.acceleration * moved
        if room <= 0:
            return float(moved > 0)
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
            estimate=-self.estimate,
            values=-self.values[::-1],
            undefined=self.undefined,
            carrying=self.carrying,
            bias=-self.bias,
            acceleration=-self.acceleration,
        )


def bootstrap(
    statistic: Statistic,
    n: int,
    *,
    carrying: int | None = None,
    seed: int = 0,
    resamples: int = DEFAULT_RESAMPLES,
) -> Bootstrap:
    """Resample a statistic, such as `Pairs.difference`.

    Args:
        n: how many items it is of; at least one.
        carrying: how many of them carry its value: `len(Pairs.differing)`. None: all.
        resamples: the same ones for the same `n` and `seed`, whatever the statistic; at least one.
    """
    drawn = np.concatenate(
        [statistic(indices) for indices in resample_indices(n, resamples, seed=seed)]
    )
    return of_values(
        point_estimate(statistic, n),
        drawn,
        carrying=n if carrying is None else carrying,
        acceleration=_acceleration(statistic, n),
    )


def of_values(
    estimate: float, drawn: FloatArray, *, carrying: int, acceleration: float = 0.0
) -> Bootstrap:
    """The bootstrap of a statistic whose values on resamples are known.

    Args:
        drawn: NaN where a resample has none.
        carrying: as `bootstrap`.
    """
    values = np.sort(drawn[~np.isnan(drawn)])
    return Bootstrap(
        estimate=estimate,
        values=values,
        undefined=len(drawn) - len(values),
        carrying=carrying,
        bias=_bias(values, estimate),
        acceleration=acceleration,
    )


def _bias(values: FloatArray, estimate: float) -> float:
    if not values.size or math.isnan(estimate):
        return math.nan
    share = ((values < estimate).mean() + (values <= estimate).mean()) / 2
    return float(ndtri(share))


def _acceleration(statistic: Statistic, n: int) -> float:
    """From the statistic's values with each item left out in turn."""
    if n < 2:
        return 0.0
    without = np.concatenate([statistic(indices) for indices in _jackknife(n)])
    without = without[~np.isnan(without)]
    if not without.size:
        return 0.0
    pull = without.mean() - without
    spread = float((pull**2).sum())
    # Values that differ by rounding alone are equal: their skewness would be noise.
    if spread <= (np.finfo(np.float64).eps * n * np.abs(without).max()) ** 2:
        return 0.0
    return float((pull**3).sum() / (6 * spread**1.5))


def _jackknife(n: int) -> Iterator[IntArray]:
    """Indices of all items but one, in chunks of shape (some, n - 1)."""
    most = max(1, _CHUNK // n)
    rest = np.arange(n - 1)
    for start in range(0, n, most):
        left_out = np.arange(start, min(start + most, n))[:, np.newaxis]
        yield rest + (rest >= left_out)
