"""Score test and interval for the difference of two paired proportions.

Of n items, `only_a` are right in cell a alone and `only_b` in cell b alone; the difference of the
accuracies is (only_a - only_b) / n. The variance is taken where the difference is the one in
question, so that the interval holds also where few items, or none, are discordant: Tango 1998,
"Equivalence test and confidence interval for the difference in proportions for the paired-sample
design", Statistics in Medicine 17; recommended by Fagerland, Lydersen and Laake 2014, "Recommended
tests and confidence intervals for paired binomial proportions", Statistics in Medicine 33.
"""

import math

from scipy.optimize import brentq
from scipy.special import ndtri

from gateway.scoring.results import Metric


def score(only_a: int, only_b: int, n: int, difference: float) -> float:
    """Standard errors by which the observed difference exceeds `difference`.

    Asymptotically standard normal where `difference`, in [-1, 1], is the true one. Infinite where
    that cannot be.
    """
    excess = only_a - only_b - n * difference
    variance = n * (2 * _share(only_a, only_b, n, difference) + difference * (1 - difference))
    if variance <= 0:
        return math.copysign(math.inf, excess) if excess else 0.0
    return excess / math.sqrt(variance)


def score_interval(only_a: int, only_b: int, n: int, level: float = 0.95) -> Metric:
    """The difference with the interval of all that the two-sided score test does not reject."""
    reach = float(ndtri((1 + level) / 2))
    observed = (only_a - only_b) / n

    def bound(side: int, end: float) -> float:
        def beyond(difference: float) -> float:
            return side * score(only_a, only_b, n, difference) - reach

        return float(brentq(beyond, observed, end)) if observed != end else end

    return Metric(observed, bound(1, -1.0), bound(-1, 1.0))


def _share(only_a: int, only_b: int, n: int, difference: float) -> float:
    """The most likely share of items right in b alone, if the accuracies differ by `difference`.

    The larger root of 2n q^2 + B q - only_b d (1 - d) = 0 with B = -only_a - only_b +
    (2n - only_a + only_b) d, where the multinomial likelihood has its maximum.
    """
    linear = -only_a - only_b + (2 * n - only_a + only_b) * difference
    constant = only_b * difference * (1 - difference)
    root = math.sqrt(max(linear**2 + 8 * n * constant, 0.0))
    return max((root - linear) / (4 * n), 0.0, -difference)
