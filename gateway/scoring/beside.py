"""The interval of a difference that stands beside what is said of two cells.

A reader takes both for one statement, so they are made to be one: the interval holds for all
comparisons of the family together, as the claim does, and zero lies outside exactly where the two
are told apart.

together  Every interval is taken at one level, so high that all of them hold together 95 times in
          100: the largest deviation of any pair, in its own standard errors, over the resamples
          that they share (Romano and Wolf 2005, "Stepwise multiple testing as formalized data
          snooping", Econometrica 73). Pairs that have a cell in common move together, and this uses
          it: the level is never beyond what Bonferroni asks.
zero      The claim's test sees what did not occur, a bootstrap does not. Where the two disagree on
          zero, the end next to it is moved: to zero where the test does not rule it out, and beyond
          where it does, to the end that the test's own p-value implies (Miettinen 1976,
          "Estimability and estimation in case-referent studies": test-based intervals).
"""

from dataclasses import replace

import numpy as np
from scipy.special import ndtr, ndtri, stdtrit

from gateway.scoring.arrays import FloatArray, IntArray
from gateway.scoring.bootstrap import FEWEST_CARRYING, Bootstrap, Method
from gateway.scoring.claims import ALPHA, Claim
from gateway.scoring.intervals import wilson
from gateway.scoring.metrics import is_share
from gateway.scoring.pairing import Pairs
from gateway.scoring.proportions import score_interval
from gateway.scoring.results import Metric

LEVEL = 1 - ALPHA

_NOTHING = 1e-12
_LEAST = 1e-3
"""Of the difference: how far beyond zero an end lies that must not be zero."""


def joint_level(estimates: FloatArray, drawn: FloatArray) -> float:
    """The level of each interval at which all hold together as often as one at `LEVEL`.

    Args:
        estimates: the differences, shape (pairs,).
        drawn: the same on common resamples, shape (pairs, resamples); NaN where there is none.
    """
    most = 1 - ALPHA / len(estimates)
    if len(estimates) == 1 or drawn.shape[1] < 2:
        return most
    apart = np.nan_to_num(np.abs(drawn - estimates[:, np.newaxis]))
    spread = np.sqrt((apart**2).mean(axis=1))
    varying = spread > 0
    if not varying.any():
        return most
    largest = (apart[varying] / spread[varying][:, np.newaxis]).max(axis=0)
    level = 2 * float(ndtr(np.quantile(largest, LEVEL))) - 1
    return min(max(level, LEVEL), most)


def discordant(pairs: Pairs) -> tuple[int, int, int] | None:
    """Where the metric is a share of the same items in both cells: those that count in a alone, in
    b alone, and all; None for other metrics."""
    if not is_share(pairs.metric):
        return None
    sides = (pairs.of_a, pairs.of_b)
    rows = [side.rows.toarray() for side in sides if side.additive]
    if len(rows) < 2 or not all(np.isin(each, (0, 1)).all() for each in rows):
        return None
    (a, of_a), (b, of_b) = (each[side.codes].T for each, side in zip(rows, sides, strict=True))
    if not np.array_equal(of_a, of_b) or not of_a.any():
        return None
    return int((a > b).sum()), int((b > a).sum()), int(of_a.sum())


def interval(
    pairs: Pairs, drawn: Bootstrap, level: float, method: Method, clusters: IntArray | None
) -> tuple[Metric, str]:
    """The difference with its interval, and how that is made; both empty where too few items decide
    for any that is known to hold, or all differ by the same.

    Shares of independent items have the score interval, which also holds where few items differ, or
    none. Other metrics are resampled, and with fewer than `FEWEST_CARRYING` items that decide there
    is nothing that a resample could tell.
    """
    counts = discordant(pairs) if clusters is None else None
    if counts is not None:
        found = score_interval(*counts, level)
        return replace(found, value=pairs.estimate), "score interval"
    if pairs.parts is not None and clusters is None:
        return of_precisions(pairs, level), "score intervals of both"
    few = drawn.carrying < FEWEST_CARRYING
    # Where all items differ alike, no resample says how another one might differ.
    if few or not drawn.values.size or drawn.values[-1] - drawn.values[0] <= _NOTHING:
        return Metric(pairs.estimate), ""
    return drawn.interval(level, method=method), f"{drawn.usable(method)} bootstrap"


def of_precisions(pairs: Pairs, level: float) -> Metric:
    """The difference of two precisions of independent items, from the score interval of each: a
    resample of a cell that said a label a few times, and rightly, never sees it err.

    Both reaches are added as squares on each side, less what the two share (Zou and Donner 2008,
    "Construction of confidence limits about effect measures").
    """
    (hits_a, of_a), (hits_b, of_b) = (
        side.features().toarray().T for side in (pairs.of_a, pairs.of_b)
    )
    share = (hits_a.sum() + hits_b.sum()) / (of_a.sum() + of_b.sum())
    own, other = hits_a - share * of_a, hits_b - share * of_b
    size = float(np.linalg.norm(own) * np.linalg.norm(other))
    alike = max(0.0, float(own @ other) / size) if size else 0.0
    (value_a, below_a, above_a), (value_b, below_b, above_b) = (
        _reaches(float(hits.sum()), float(among.sum()), level)
        for hits, among in ((hits_a, of_a), (hits_b, of_b))
    )

    def joined(first: float, second: float) -> float:
        return float(np.sqrt(first**2 + second**2 - 2 * alike * first * second))

    value = value_a - value_b
    return Metric(value, value - joined(below_a, above_b), value + joined(above_a, below_b))


def _reaches(hits: float, n: float, level: float) -> tuple[float, float, float]:
    """A share, and how far its score interval goes below and above it."""
    part = hits / n
    low, high = wilson(part, n, float(stdtrit(max(1.0, n - 1), (1 + level) / 2)))
    return part, part - low, high - part


def agreeing(shown: Metric, claim: Claim) -> Metric:
    """The interval with zero outside exactly where the two cells are told apart."""
    if shown.low is None or shown.high is None:
        return shown
    if not claim.shown:
        return replace(shown, low=min(shown.low, 0.0), high=max(shown.high, 0.0))
    part = max(_LEAST, 1 - _reach(ALPHA) / _reach(claim.p_value or ALPHA))
    # A part of the smallest number that a float holds is zero; the value itself is not.
    least = shown.value * part or shown.value
    if shown.value > 0:
        return replace(shown, low=shown.low if shown.low > 0 else least)
    return replace(shown, high=shown.high if shown.high < 0 else least)


def _reach(p_value: float) -> float:
    """Standard errors that a two-sided p-value is worth."""
    return float(-ndtri(p_value / 2))
