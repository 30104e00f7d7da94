"""How small a difference so many items can show, and how many items a given difference needs.

For right and wrong answers, the power of the exact McNemar test. It depends on the share of
discordant items, which is not known before the run: the observed share is taken, and a reader has
to be told so. That all items are fixed and the discordant ones are not is Duffy 1984, "Asymptotic
and exact power for the McNemar test and its analogue with R controls per case", Biometrics 40; the
normal approximation from which the search starts is Connor 1987, "Sample size for testing
differences in proportions for the paired-sample design", Biometrics 43.

For any other metric, from the standard error of its difference, taken as normal and as shrinking
with the root of the number of items.
"""

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy.optimize import brentq
from scipy.special import bdtr, ndtri

from gateway.scoring.arrays import FloatArray, IntArray

DEFAULT_ALPHA = 0.05
DEFAULT_POWER = 0.8

_NEGLIGIBLE = 1e-10
"""Counts of discordant items rarer than this are left out of a sum of probabilities."""


@dataclass(frozen=True, slots=True)
class Power:
    """What a comparison of so many items could have shown."""

    n: int
    smallest: float | None
    """The least true difference that is found significant with probability `power`. None: no
    difference is, because too few items are discordant."""
    discordance: float | None
    """The observed share of discordant items that was taken for the true one; None where the
    smallest difference comes from a standard error."""
    alpha: float = DEFAULT_ALPHA
    power: float = DEFAULT_POWER

    def no_less(self, least: float) -> "Power":
        """The same, of no difference that is smaller than could ever be shown."""
        if self.smallest is None or self.smallest >= least:
            return self
        return replace(self, smallest=least)


def conditional_power(
    discordant: IntArray | int, share: float, *, alpha: float = DEFAULT_ALPHA
) -> FloatArray:
    """Power of the two-sided exact McNemar test, the number of discordant items given.

    Args:
        discordant: how many, of any shape, which is that of the result.
        share: of the discordant items that are right in the better cell, in truth.
    """
    return _rejected(discordant, _critical(discordant, alpha), share)


def _critical(discordant: IntArray | int, alpha: float) -> FloatArray:
    """How many of them may be right in the rarer cell for the test to reject; -1: never."""
    from scipy.stats import binom

    found = binom.ppf(alpha / 2, discordant, 0.5)
    # ppf is where half of alpha is reached; the test rejects where it is not exceeded.
    return np.where(binom.cdf(found, discordant, 0.5) > alpha / 2, found - 1, found)


def _rejected(discordant: IntArray | int, critical: FloatArray, share: float) -> FloatArray:
    most = np.maximum(critical, 0)
    either = bdtr(most, discordant, share) + bdtr(most, discordant, 1 - share)
    return np.where(critical < 0, 0.0, either)


def mcnemar_power(
    n: int, discordance: float, difference: float, *, alpha: float = DEFAULT_ALPHA
) -> float:
    """Power of the two-sided exact McNemar test on `n` items.

    Args:
        discordance: the true share of items that exactly one cell has right, in [0, 1].
        difference: of the true accuracies; no larger than the discordance.
    """
    if discordance == 0:
        return 0.0
    counts, weights, critical = _design(n, discordance, alpha)
    share = (1 + abs(difference) / discordance) / 2
    return float(weights @ _rejected(counts, critical, share))


@lru_cache(maxsize=64)
def _design(n: int, discordance: float, alpha: float) -> tuple[IntArray, FloatArray, FloatArray]:
    """Counts of discordant items that may occur, how often each does, and where the test rejects:
    the same for every difference."""
    from scipy.stats import binom

    low, high = (int(binom.ppf(tail, n, discordance)) for tail in (_NEGLIGIBLE, 1 - _NEGLIGIBLE))
    counts = np.arange(low, high + 1)
    weights = np.asarray(binom.pmf(counts, n, discordance), dtype=np.float64)
    return counts, weights, _critical(counts, alpha)


@lru_cache(maxsize=64)
def smallest_difference(
    n: int, discordance: float, *, power: float = DEFAULT_POWER, alpha: float = DEFAULT_ALPHA
) -> Power:
    """The minimum detectable difference of two accuracies on `n` items.

    Args:
        discordance: the share of discordant items, as observed.
    """

    def missing(difference: float) -> float:
        return mcnemar_power(n, discordance, difference, alpha=alpha) - power

    found = None
    # The cells cannot differ on more items than are discordant.
    if missing(discordance) >= 0:
        found = float(brentq(missing, 0.0, discordance, xtol=1e-6))
    return Power(n=n, smallest=found, discordance=discordance, alpha=alpha, power=power)


@lru_cache(maxsize=64)
def items_needed(
    difference: float,
    discordance: float,
    *,
    power: float = DEFAULT_POWER,
    alpha: float = DEFAULT_ALPHA,
) -> int | None:
    """How many items a difference of two accuracies needs to be found with probability `power`.

    Exact power is not quite monotone in the number of items: the answer has the power, and one
    item fewer has not. None: no number is enough, because the difference is zero or larger than
    the share of discordant items.
    """
    if not 0 < abs(difference) <= discordance <= 1:
        return None
    few, many = 1, max(2, items_by_normal(difference, discordance, power=power, alpha=alpha))
    while mcnemar_power(many, discordance, difference, alpha=alpha) < power:
        few, many = many, 2 * many
    while many - few > 1:
        middle = (few + many) // 2
        if mcnemar_power(middle, discordance, difference, alpha=alpha) < power:
            few = middle
        else:
            many = middle
    return many


def items_by_normal(
    difference: float,
    discordance: float,
    *,
    power: float = DEFAULT_POWER,
    alpha: float = DEFAULT_ALPHA,
) -> int:
    """The same by Connor's formula for the test without continuity correction: too few items."""
    spread = math.sqrt(discordance) * ndtri(1 - alpha / 2)
    spread += math.sqrt(discordance - difference**2) * ndtri(power)
    return math.ceil((spread / difference) ** 2)


def smallest_by_error(
    standard_error: float,
    n: int,
    *,
    power: float = DEFAULT_POWER,
    alpha: float = DEFAULT_ALPHA,
) -> Power:
    """The minimum detectable difference of any metric on `n` items.

    Args:
        standard_error: of the difference on these items, such as `Bootstrap.standard_error`.
    """
    known = standard_error > 0
    return Power(
        n=n,
        smallest=standard_error * _multiple(power, alpha) if known else None,
        discordance=None,
        alpha=alpha,
        power=power,
    )


def items_by_error(
    difference: float,
    standard_error: float,
    n: int,
    *,
    power: float = DEFAULT_POWER,
    alpha: float = DEFAULT_ALPHA,
) -> int | None:
    """How many items a difference of any metric needs, where `n` give this standard error.

    None: no number is known to be enough, because the difference is zero or nothing varied.
    """
    if not (difference and standard_error > 0):
        return None
    return math.ceil(n * (standard_error * _multiple(power, alpha) / difference) ** 2)


def _multiple(power: float, alpha: float) -> float:
    """Standard errors that a true difference must be away from zero: 2.80 for 80% at 5%."""
    return float(ndtri(1 - alpha / 2) + ndtri(power))
