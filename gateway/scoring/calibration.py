"""How far confidences are from how often they are right, beside what perfection would show.

The expected calibration error adds what chance alone does to every bin, so that a perfect model
never shows zero: at 20 items it shows about .2. Beside it stand that value for these very
confidences, and the error less what chance adds to it (after Kumar, Liang and Ma 2019, "Verified
Uncertainty Calibration", who subtract it once; here the gaps are solved for). Slope and intercept
are those of the logistic regression of right on the logit of the confidence: 1 and 0 of a perfect
model, a slope below 1 of one that is too sure (Cox 1958, "Two further applications of a model for
binary regression").
"""

import math

import numpy as np
from scipy.optimize import bisect
from scipy.special import expit, logit, ndtr, ndtri

from gateway.scoring.arrays import BoolArray, FloatArray, IntArray
from gateway.scoring.results import Metric

_EXACT = 40
"""Items of a bin up to which the distribution of its right ones is computed exactly."""
_STEPS = 50
"""Of Newton's method, at most."""
_CLIP = 1e-6
"""From 0 and 1, of confidences whose logit is taken."""
_STEEPEST = 100.0
"""A slope beyond it is that of confidences that part right from wrong."""


def figures(confidence: FloatArray, right: BoolArray, bins: IntArray) -> dict[str, Metric]:
    """ece_perfect, ece_debiased, calibration_slope and calibration_intercept, of items that have
    probabilities; what cannot be computed is absent.

    Args:
        confidence: of the answer, shape (items,).
        right: whether it is right, shape (items,).
        bins: of each confidence, shape (items,).
    """
    if not len(confidence):
        return {}
    found = {
        "ece_perfect": Metric(perfect(confidence, bins)),
        "ece_debiased": Metric(debiased(confidence, right, bins)),
    }
    if line := slope_and_intercept(confidence, right):
        found |= dict(zip(("calibration_slope", "calibration_intercept"), line, strict=True))
    return found


def perfect(confidence: FloatArray, bins: IntArray) -> float:
    """The expected calibration error of a model that is right as often as it says."""
    own = [confidence[bins == each] for each in np.unique(bins)]
    return sum(map(_expected_gap, own)) / len(confidence)


def debiased(confidence: FloatArray, right: BoolArray, bins: IntArray) -> float:
    """The expected calibration error less what chance adds to it: the gaps of the bins, made
    smaller alike, of which the error seen is the mean; zero where chance alone shows as much."""
    gaps, deviations, counts = np.asarray(
        [_bin(confidence[bins == each], right[bins == each]) for each in np.unique(bins)]
    ).T
    seen = float(gaps @ counts)

    def beyond(part: float) -> float:
        shown = [_folded(part * g, d) for g, d in zip(gaps, deviations, strict=True)]
        return float(np.asarray(shown) @ counts) - seen

    part = float(bisect(beyond, 0.0, 1.0)) if beyond(0.0) < 0 < beyond(1.0) else 0.0
    return part * seen / len(confidence)


def _bin(confidence: FloatArray, right: BoolArray) -> tuple[float, float, float]:
    """Gap, its standard deviation and the number of items; of right ones and of wrong ones one is
    added, because a bin without errors varies too."""
    n = len(confidence)
    share = (right.sum() + 1) / (n + 2)
    gap = abs(float(right.mean() - confidence.mean()))
    return gap, math.sqrt(share * (1 - share) / n), n


def slope_and_intercept(confidence: FloatArray, right: BoolArray) -> tuple[Metric, Metric] | None:
    """With 95% intervals; None where all are right, all wrong, all confidences one, or confidence
    parts right from wrong."""
    scores = logit(np.clip(confidence, _CLIP, 1 - _CLIP))
    if right.all() or not right.any() or np.ptp(scores) < _CLIP:
        return None
    columns = np.column_stack([scores, np.ones(len(scores))])
    line = np.asarray([1.0, 0.0])
    for _ in range(_STEPS):
        fitted = expit(columns @ line)
        information = (columns * (fitted * (1 - fitted))[:, np.newaxis]).T @ columns
        if np.linalg.cond(information) > 1 / np.finfo(np.float64).eps:
            return None
        step = np.linalg.solve(information, columns.T @ (right - fitted))
        line = line + step
        if abs(line[0]) > _STEEPEST:
            return None
        if np.abs(step).max() < _CLIP:
            errors = np.sqrt(np.diag(np.linalg.inv(information))) * -ndtri(0.025)
            slope, intercept = (
                Metric(float(value), float(value - error), float(value + error))
                for value, error in zip(line, errors, strict=True)
            )
            return slope, intercept
    return None


def _expected_gap(confidence: FloatArray) -> float:
    """E|right ones - their expected number| of independent items."""
    if len(confidence) > _EXACT:
        return math.sqrt(2 / math.pi * float((confidence * (1 - confidence)).sum()))
    counts = np.ones(1)
    for share in confidence:
        counts = np.convolve(counts, [1 - share, share])
    return float(counts @ np.abs(np.arange(len(counts)) - confidence.sum()))


def _folded(mean: float, deviation: float) -> float:
    """E|x| of a normal x."""
    if deviation == 0:
        return abs(mean)
    ratio = mean / deviation
    spread = deviation * math.sqrt(2 / math.pi) * math.exp(-(ratio**2) / 2)
    return spread + mean * float(1 - 2 * ndtr(-ratio))
