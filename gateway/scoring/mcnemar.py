"""Whether one cell is right more often than another on the same items: exact McNemar.

Only discordant items, right in exactly one of the cells, say anything; if neither cell is better
each falls to either side like a coin (McNemar 1947; Dietterich 1998 recommends the test for two
classifiers on one test set).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import cast

import numpy as np
from scipy.special import bdtr

from gateway.core.lists import are
from gateway.scoring.arrays import BoolArray
from gateway.scoring.results import Metric

FEWEST_DECIDING = 6
"""With 5 deciding items even a clean sweep has p = 2 * 0.5**5 = 0.0625, in every sign-flip test."""


@dataclass(frozen=True, slots=True)
class McNemar:
    """The four counts of two cells' right answers, and the two-sided exact test on them."""

    both_right: int
    only_a: int
    only_b: int
    both_wrong: int
    p_value: float | None
    """None below `FEWEST_DECIDING` discordant items, which cannot reach p < 0.05, and where items
    share clusters."""
    clustered: bool = False
    """Whether items share clusters: then they are no independent coins."""

    @property
    def n(self) -> int:
        """All items."""
        return self.both_right + self.only_a + self.only_b + self.both_wrong

    @property
    def discordant(self) -> int:
        """Items that exactly one of the cells has right."""
        return self.only_a + self.only_b

    @property
    def exact_p(self) -> float:
        """The two-sided p-value, also where it cannot be small enough to decide."""
        return min(1.0, 2 * self._tail())

    @property
    def mid_p(self) -> float:
        """The same with half of what was seen: closer to its level on few items, and now and then
        above it (Fagerland, Lydersen and Laake 2013)."""
        return min(1.0, 2 * self._tail() - self._seen())

    def _tail(self) -> float:
        """That a fair coin falls to the rarer side as seldom, or more so."""
        return float(bdtr(min(self.only_a, self.only_b), self.discordant, 0.5))

    def _seen(self) -> float:
        """That it falls just so."""
        rarer = min(self.only_a, self.only_b)
        less = float(bdtr(rarer - 1, self.discordant, 0.5)) if rarer else 0.0
        return self._tail() - less

    @property
    def odds(self) -> Metric | None:
        """Odds that an item that exactly one cell has right is that of `a`, with the exact 95%
        interval (Clopper and Pearson 1934); infinite where none is of `b`. None where there is no
        such item, or items share clusters."""
        if not self.discordant or self.clustered:
            return None
        from scipy.stats import binomtest

        low, high = binomtest(self.only_a, self.discordant).proportion_ci(0.95, method="exact")
        value = self.only_a / self.only_b if self.only_b else math.inf
        return Metric(value, _odds(float(low)), _odds(float(high)))

    @property
    def why_none(self) -> str:
        """Why there is no p-value; empty where there is one."""
        if self.p_value is not None:
            return ""
        if self.clustered:
            return "items share clusters, and the permutation test goes by those"
        return too_few(self.discordant, "right in exactly one cell")


def _odds(share: float) -> float:
    return share / (1 - share) if share < 1 else math.inf


def mcnemar(right_a: BoolArray, right_b: BoolArray, *, clustered: bool = False) -> McNemar:
    """Compare two cells by their right answers.

    Args:
        right_a, right_b: whether each item was answered rightly, shape (items,).
        clustered: whether items share clusters; then there is no p-value.
    """
    table = np.asarray(
        [
            [(right_a & right_b).sum(), (right_a & ~right_b).sum()],
            [(~right_a & right_b).sum(), (~right_a & ~right_b).sum()],
        ],
        dtype=np.int64,
    )
    rarer, discordant = int(min(table[0, 1], table[1, 0])), int(table[0, 1] + table[1, 0])
    decides = discordant >= FEWEST_DECIDING and not clustered
    return McNemar(
        both_right=int(table[0, 0]),
        only_a=int(table[0, 1]),
        only_b=int(table[1, 0]),
        both_wrong=int(table[1, 1]),
        p_value=_two_sided(rarer, discordant) if decides else None,
        clustered=clustered,
    )


def _two_sided(rarer: int, discordant: int) -> float:
    return min(1.0, 2 * float(_binomial()(rarer, discordant, 0.5)))


@cache
def _binomial() -> Callable[[int, int, float], float]:
    """`scipy.stats.binom.cdf`, or without what loads for most of a second the function behind it.

    The public functions of `scipy.special` differ from it in the last digit now and then.
    """
    found = getattr(import_module("scipy.special._ufuncs"), "_binom_cdf", None)
    if found is None:
        from scipy.stats import binom

        found = binom.cdf
    return cast(Callable[[int, int, float], float], found)


def too_few(count: int, what: str) -> str:
    """That `count` items, fewer than `FEWEST_DECIDING`, cannot decide.

    Args:
        what: which items, continuing "1 item is" or "3 items are".
    """
    if count == 0:
        return f"no item is {what}, so there is nothing to test"
    return f"only {are(count, 'item')} {what}; fewer than {FEWEST_DECIDING} cannot reach p < 0.05"
