"""How far a judge and humans agree on the same answers.

Kappa is the agreement beyond that of two who grade at random with the same frequencies of grades:
Cohen 1960, "A Coefficient of Agreement for Nominal Scales". Unweighted, a grade is the same or it
is not; with quadratic weights a disagreement counts by the square of its distance: Cohen 1968,
"Weighted Kappa".

Kappa is of grades, and the judge's number is an expected value, so a whole grade must be made of
it. Here it is the expected grade, rounded, and not the most probable grade: what is reported is the
expected grade, so it is this that has to agree, and of all whole grades it is the one with the
least expected square of the distance. A judge that is torn between 1 and 5 gets a 3 by it, and
loses agreement for that, as it should. It is one of the two, fixed beforehand, so that nobody can
take the kinder one. Spearman's correlation and the mean absolute difference are of the expected
grade as it is.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit
from scipy.stats import rankdata, spearmanr

from gateway.core.errors import DataError
from gateway.evaluation.judge.rubric import GRADES
from gateway.scoring.arrays import FloatArray, IntArray
from gateway.scoring.confusions import agreeing, gwet, interval, weighted_kappa
from gateway.scoring.intervals import of_losses
from gateway.scoring.results import Metric
from gateway.scoring.statistic import ItemStatistic, mean

_FEWEST_RANKED = 4
_GROUPS = 100
"""Of the jackknife, at most."""
_KNOWN = np.arange(1, len(GRADES) + 1)
UNWEIGHTED: FloatArray = (_KNOWN[:, np.newaxis] != _KNOWN).astype(np.float64)
"""What a pair of grades counts as disagreement, shape (5, 5)."""
QUADRATIC: FloatArray = (_KNOWN[:, np.newaxis] - _KNOWN).astype(np.float64) ** 2
"""The same, by the square of their distance."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Judge and humans, each value with its 95% interval over items."""

    n: int
    """Answers that both graded."""
    kappa: Metric | None
    """None where both give one and the same grade to all: there is nothing beyond chance then."""
    weighted_kappa: Metric | None
    """With quadratic weights; None likewise."""
    spearman: Metric | None
    """None where one of them grades all alike."""
    mean_absolute_difference: Metric
    """Between the expected and the human grade, in grades."""
    ac1: Metric | None = None
    """Gwet's, of whole grades: where nearly all have one grade kappa is low whatever the agreement,
    and this is not."""


def agreement(expected: Sequence[float], human: Sequence[int]) -> Agreement:
    """Agreement of the judge's expected grades with human ones, both in order of the items.

    Raises:
        DataError: there are no grades, or not one of each for every item.
    """
    if not expected or len(expected) != len(human):
        raise DataError(f"{len(expected)} grades of a judge and {len(human)} of humans")
    judge = np.asarray(expected, dtype=np.float64)
    humans = np.asarray(human, dtype=np.int64)
    whole = rounded(judge)
    worst = float(len(GRADES) - 1)
    difference = mean(np.abs(judge - humans))
    bounds = of_losses(difference, worst=worst)
    return Agreement(
        n=len(humans),
        kappa=kappa(humans, whole, UNWEIGHTED),
        weighted_kappa=kappa(humans, whole, QUADRATIC),
        spearman=spearman(judge, humans),
        mean_absolute_difference=Metric(float(np.abs(judge - humans).mean()), *bounds),
        ac1=_of(agreeing(humans - 1, whole - 1, len(GRADES), gwet, None), None),
    )


def kappa(human: IntArray, judge: IntArray, disagreement: FloatArray) -> Metric | None:
    """With its 95% interval; None where both give one and the same grade to all.

    Args:
        human, judge: grades from 1 to 5 of the same items.
        disagreement: `UNWEIGHTED` or `QUADRATIC`.
    """
    value = weighted_kappa(disagreement)
    statistic = agreeing(human - 1, judge - 1, len(GRADES), value, disagreement)
    return _of(statistic, disagreement)


def _of(statistic: ItemStatistic, disagreement: FloatArray | None) -> Metric | None:
    value = statistic.estimate()
    if np.isnan(value):
        return None
    return Metric(value, *interval(statistic, bounds=(-1.0, 1.0), disagreement=disagreement))


def spearman(judge: FloatArray, human: IntArray) -> Metric | None:
    """Spearman's rank correlation; None where one of the two is constant.

    The interval is of Fisher's z, with the larger of two variances: that of Bonett and Wright 2000
    ("Sample size requirements for estimating Pearson, Kendall and Spearman correlations"), and the
    jackknife's, since grades that mostly agree and are now and then far apart vary more. A perfect
    one counts as if one pair more had no order; below four items there is none.
    """
    if len(set(judge.tolist())) == 1 or len(set(human.tolist())) == 1:
        return None
    n = len(human)
    value = float(spearmanr(judge, human).statistic)
    if n < _FEWEST_RANKED:
        return Metric(value)
    centre = np.arctanh(value * n / (n + 1))
    variance = max((1 + value**2 / 2) / (n - 3), _jackknifed(judge, human))
    reach = -stdtrit(n - 2, 0.025) * np.sqrt(variance)
    low, high = np.tanh([centre - reach, centre + reach])
    return Metric(value, min(value, float(low)), max(value, float(high)))


def _jackknifed(judge: FloatArray, human: IntArray) -> float:
    """Variance of z, from the rank correlations without each of up to `_GROUPS` groups."""
    n = len(human)
    groups = np.arange(n) % _GROUPS
    count = int(groups.max()) + 1
    left = np.asarray([_ranked(judge[groups != g], human[groups != g]) for g in range(count)])
    z = np.arctanh(left[~np.isnan(left)] * n / (n + 1))
    return float((count - 1) / count * ((z - z.mean()) ** 2).sum()) if z.size else 0.0


def _ranked(judge: FloatArray, human: IntArray) -> float:
    """Spearman's correlation; NaN where one is constant."""
    ranks = [rankdata(side) - (len(side) + 1) / 2 for side in (judge, human)]
    spread = float((ranks[0] ** 2).sum() * (ranks[1] ** 2).sum())
    return float((ranks[0] * ranks[1]).sum()) / math.sqrt(spread) if spread else math.nan


def rounded(expected: FloatArray) -> IntArray:
    """The whole grades nearest to expected ones; halves go up."""
    return np.floor(expected + 0.5).astype(np.int64)
