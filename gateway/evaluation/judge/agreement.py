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

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata
from sklearn.metrics import cohen_kappa_score

from gateway.core.errors import DataError
from gateway.evaluation.judge.rubric import GRADES
from gateway.scoring.bootstrap import bootstrap
from gateway.scoring.results import Metric
from gateway.scoring.scores import DEFAULT_RESAMPLES, Statistic
from gateway.scoring.statistic import FloatArray, IntArray

_KNOWN = np.arange(1, len(GRADES) + 1)
UNWEIGHTED: FloatArray = (_KNOWN[:, np.newaxis] != _KNOWN).astype(np.float64)
"""What a pair of grades counts as disagreement, shape (5, 5)."""
QUADRATIC: FloatArray = (_KNOWN[:, np.newaxis] - _KNOWN).astype(np.float64) ** 2
"""The same, by the square of their distance."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Judge and humans, each value with its 95% bootstrap interval over items."""

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


def agreement(
    expected: Sequence[float],
    human: Sequence[int],
    *,
    seed: int = 0,
    resamples: int = DEFAULT_RESAMPLES,
) -> Agreement:
    """Agreement of the judge's expected grades with human ones, both in order of the items.

    Kappa is scikit-learn's; its values on resamples are computed for many at once.

    Raises:
        DataError: there are no grades, or not one of each for every item.
    """
    if not expected or len(expected) != len(human):
        raise DataError(f"{len(expected)} grades of a judge and {len(human)} of humans")
    judge = np.asarray(expected, dtype=np.float64)
    whole, humans = rounded(judge), np.asarray(human, dtype=np.int64)

    def estimate(statistic: Statistic) -> Metric | None:
        found = bootstrap(statistic, len(humans), seed=seed, resamples=resamples)
        return None if np.isnan(found.estimate) else found.interval()

    def of_kappa(disagreement: FloatArray, weights: str | None) -> Metric | None:
        found = estimate(kappa_statistic(whole, humans, disagreement))
        if found is None:
            return None
        value = cohen_kappa_score(humans, whole, labels=_KNOWN, weights=weights)
        return Metric(float(value), found.low, found.high)

    difference = estimate(_mean(np.abs(judge - humans)))
    assert difference is not None
    return Agreement(
        n=len(humans),
        kappa=of_kappa(UNWEIGHTED, None),
        weighted_kappa=of_kappa(QUADRATIC, "quadratic"),
        spearman=estimate(spearman_statistic(judge, humans)),
        mean_absolute_difference=difference,
    )


def rounded(expected: FloatArray) -> IntArray:
    """The whole grades nearest to expected ones; halves go up."""
    return np.floor(expected + 0.5).astype(np.int64)


def kappa_statistic(a: IntArray, b: IntArray, disagreement: FloatArray) -> Statistic:
    """Kappa of resampled items: one less the observed by the expected mean disagreement.

    NaN where both give one and the same grade to all.

    Args:
        a, b: grades from 1 to 5 of the same items.
        disagreement: `UNWEIGHTED` or `QUADRATIC`.
    """
    counted = disagreement[a - 1, b - 1]

    def at(indices: IntArray) -> FloatArray:
        expected = np.einsum(
            "ri,ij,rj->r", _frequencies(a[indices]), disagreement, _frequencies(b[indices])
        )
        return _ratio(expected - counted[indices].mean(axis=1), expected)

    return at


def spearman_statistic(a: FloatArray, b: IntArray) -> Statistic:
    """Spearman's rank correlation of resampled items; NaN where one of the two is constant."""

    def at(indices: IntArray) -> FloatArray:
        x, y = _ranks(a[indices]), _ranks(b[indices])
        return _ratio((x * y).sum(axis=1), np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1)))

    return at


def _mean(values: FloatArray) -> Statistic:
    return lambda indices: np.asarray(values[indices].mean(axis=1), dtype=np.float64)


def _frequencies(grades: IntArray) -> FloatArray:
    """How often each grade occurs in each row, with sum 1; shape (rows, 5)."""
    return np.stack([(grades == grade).mean(axis=1) for grade in _KNOWN], axis=1)


def _ranks(values: FloatArray | IntArray) -> FloatArray:
    """Ranks within each row, less their mean."""
    ranks = rankdata(values, axis=1)
    return np.asarray(ranks - ranks.mean(axis=1, keepdims=True), dtype=np.float64)


def _ratio(top: FloatArray, bottom: FloatArray) -> FloatArray:
    """top / bottom, NaN where bottom is zero."""
    undefined = np.full_like(bottom, np.nan)
    return np.divide(top, bottom, out=undefined, where=bottom > 0)
