"""Comparing two cells item by item, and stopping as soon as the answer is known.

Looking after every item and stopping at p < 0.05 finds a difference between equal cells far more
often than one time in twenty. Here every look is allowed. Each item scores +1 where only `a` is
right, -1 where only `b` is, else 0. For a supposed true mean `m` a gambler who bets a fraction of
his money on "more than m" at fair odds has, if m is true, a wealth that is a nonnegative martingale
from 1; by Ville's inequality it ever reaches 1 / alpha with probability alpha at most (Ville 1939).
So every m at which either of two gamblers, one for more and one for less, has reached 2 / alpha is
ruled out, and what remains is an interval that holds the true mean at all times together with
probability 1 - alpha: Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables
by betting", JRSS B 86; Ramdas, Grunwald, Vovk and Shafer 2023, "Game-theoretic statistics and safe
anytime-valid inference", Statistical Science 38.

Each gambler spreads his money evenly over fixed fractions (Robbins 1970, the method of mixtures;
the even spread after Cover 1991, "Universal Portfolios"). The wealth then depends on the counts of
the three scores alone, and at m = 0 items with a score of 0 drop out: that gambler plays McNemar's
coin on the discordant items.

What is assumed: items are drawn at random from those that the answer is about. A file sorted by
class is not; `seeded_order` is.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy.optimize import brentq

from gateway.core.draws import seeded_rank
from gateway.core.errors import ConfigError, DataError
from gateway.scoring.arrays import BoolArray, FloatArray, IntArray

DEFAULT_ALPHA = 0.05

_SCORES = np.asarray([-1.0, 0.0, 1.0])
_BETS = (np.arange(64) + 0.5) / 64
"""Fractions of what could be lost at most, each with an equal part of the money. Any choice is
valid; this one is nowhere far from the best for the share of discordant items at hand."""
_PRECISION = 1e-9
"""To which the ends of an interval are found."""


class Decision(StrEnum):
    """What the items looked at so far allow to say."""

    A_BETTER = "a better"
    B_BETTER = "b better"
    EQUIVALENT = "equivalent within the margin"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Sequential:
    """Where looking after every item comes to a decision."""

    decision: Decision
    looked_at: int
    """Items up to the decision, or all that there were where there is none."""
    planned: int
    """Items that a comparison without stopping would take."""
    difference: float
    """Accuracy of a less that of b on the items looked at."""
    low: float
    high: float
    """The interval there. It holds at every look together with probability 1 - alpha, so it may be
    read against any margin, also one that was not set."""
    margin: float | None
    alpha: float

    @property
    def saved(self) -> int:
        """Items that need not be asked."""
        return self.planned - self.looked_at if self.decision is not Decision.UNDECIDED else 0


def seeded_order(item_ids: Iterable[str], seed: int) -> list[str]:
    """The order in which items are looked at: the same for every cell, whatever the file's."""
    return sorted(item_ids, key=lambda item_id: seeded_rank(seed, "sequential", item_id))


def scores(right_a: BoolArray, right_b: BoolArray) -> IntArray:
    """+1 where only a is right, -1 where only b is, else 0; shape (items,)."""
    return right_a.astype(np.int64) - right_b.astype(np.int64)


def watch(
    item_scores: Sequence[int] | IntArray,
    *,
    planned: int | None = None,
    margin: float | None = None,
    alpha: float = DEFAULT_ALPHA,
) -> Sequential:
    """Look after every item, and stop at the first decision.

    Any decision is wrong with probability `alpha` at most, however many looks there are; a caller
    may look at some times only, or come back with more items.

    Args:
        item_scores: as `scores` gives them, in the order of looking.
        planned: items in all, where more are still to come.
        margin: a smaller difference does not matter; None: only a difference is looked for.

    Raises:
        ConfigError: margin or alpha is out of its range.
        DataError: there is no score, or one is none of -1, 0 and 1.
    """
    decision, looked_at = decide(item_scores, margin=margin, alpha=alpha)
    seen = item_scores[:looked_at]
    low, high = interval(seen, alpha=alpha)
    return Sequential(
        decision=decision,
        looked_at=looked_at,
        planned=len(item_scores) if planned is None else planned,
        difference=float(np.mean(seen)),
        low=low,
        high=high,
        margin=margin,
        alpha=alpha,
    )


def decide(
    item_scores: Sequence[int] | IntArray,
    *,
    margin: float | None = None,
    alpha: float = DEFAULT_ALPHA,
) -> tuple[Decision, int]:
    """The first decision and how many items it took, all of them where there is none.

    Args, Raises: as `watch`.
    """
    if margin is not None and not 0 < margin < 1:
        raise ConfigError(
            f"a margin of {margin:g} is no share of right answers that could be lost",
            hint="give the largest loss that would not matter, such as 0.02 for 2 points",
        )
    reasons = _reasons(_counts(item_scores), margin, _target(alpha))
    decided = np.any(list(reasons.values()), axis=0)
    last = int(np.argmax(decided)) if decided.any() else len(decided) - 1
    return next((d for d, holds in reasons.items() if holds[last]), Decision.UNDECIDED), last + 1


def interval(
    item_scores: Sequence[int] | IntArray, *, alpha: float = DEFAULT_ALPHA
) -> tuple[float, float]:
    """All differences that no look up to this one has ruled out.

    Raises:
        ConfigError: alpha is no probability.
        DataError: there is no score, or one is none of -1, 0 and 1.
    """
    counts, target = _counts(item_scores), _target(alpha)
    return _lower_end(counts, target), -_lower_end(_mirrored(counts), target)


def log_wealth(counts: IntArray, mean: float) -> FloatArray:
    """Logarithm of what the gambler on "more than `mean`" has made of 1 at each look.

    If the true mean is `mean` or less, it ever reaches log(1 / alpha) with probability alpha at
    most. It falls as `mean` rises.

    Args:
        counts: of the scores -1, 0 and 1 up to each look, shape (looks, 3).
        mean: in (-1, 1).

    Returns:
        Shape (looks,).
    """
    # A bet of 1 would lose all at a score of -1, where what is lost is 1 + mean.
    growth = np.log1p(np.outer((_SCORES - mean) / (1 + mean), _BETS))
    each = counts @ growth
    # An interval needs it dozens of times, and logsumexp of scipy takes several times as long.
    largest = each.max(axis=1)
    shares = np.exp(each - largest[:, np.newaxis]).mean(axis=1)
    return np.asarray(largest + np.log(shares), dtype=np.float64)


def _reasons(counts: IntArray, margin: float | None, target: float) -> dict[Decision, BoolArray]:
    """At which looks each decision holds, shape (looks,) each."""
    mirrored = _mirrored(counts)
    reasons = {
        Decision.A_BETTER: log_wealth(counts, 0.0) >= target,
        Decision.B_BETTER: log_wealth(mirrored, 0.0) >= target,
    }
    if margin is not None:
        sides = [log_wealth(side, -margin) >= target for side in (counts, mirrored)]
        # What one look has ruled out stays so at later ones.
        reasons[Decision.EQUIVALENT] = np.logical_and(*map(np.logical_or.accumulate, sides))
    return reasons


def _target(alpha: float) -> float:
    """What either of the two gamblers has to reach."""
    if not 0 < alpha < 1:
        raise ConfigError(
            f"an error rate of {alpha:g} is none that an interval could hold",
            hint="give one between 0 and 1, such as 0.05",
        )
    return math.log(2 / alpha)


def _counts(item_scores: Sequence[int] | IntArray) -> IntArray:
    """How often each score occurred up to each item, shape (items, 3)."""
    one_hot = np.asarray(item_scores)[:, np.newaxis] == _SCORES
    if not one_hot.size or not one_hot.any(axis=1).all():
        raise DataError(
            "the scores of a sequential comparison are no list of -1, 0 and 1",
            hint="make them with `scores`, from at least one item",
        )
    return np.asarray(one_hot.cumsum(axis=0), dtype=np.int64)


def _mirrored(counts: IntArray) -> IntArray:
    """The counts of the scores of `b` against `a`."""
    return counts[:, ::-1]


def _lower_end(counts: IntArray, target: float) -> float:
    """The largest mean that the gambler on "more" has ruled out at any look, or -1."""

    def short(mean: float) -> float:
        return target - float(log_wealth(counts, mean).max())

    least, most = -1 + _PRECISION, 1 - _PRECISION
    if short(least) > 0:
        return -1.0
    return float(brentq(short, least, most, xtol=_PRECISION))
