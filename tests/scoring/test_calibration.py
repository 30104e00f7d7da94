"""Facts about calibration: what perfection shows, what is left of an error, slope and intercept."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from gateway.scoring.calibration import debiased, figures, perfect, slope_and_intercept


def drawn(n: int, seed: int, sharper: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    logits = draw.normal(1.0, 1.0, n)
    right = draw.random(n) < 1 / (1 + np.exp(-logits))
    confidence = 1 / (1 + np.exp(-sharper * logits))
    return confidence, right, (confidence * 15).astype(np.int64).clip(0, 14)


def ece(confidence: np.ndarray, right: np.ndarray, bins: np.ndarray) -> float:
    return sum(
        abs(float((right[bins == b] - confidence[bins == b]).sum())) for b in set(bins.tolist())
    ) / len(bins)


@pytest.mark.parametrize("n", [20, 300, 3000])
def test_perfection_shows_what_a_perfect_model_shows_on_average(n: int) -> None:
    confidence, _, bins = drawn(n, 0)
    draw = np.random.default_rng(1)
    seen = [ece(confidence, draw.random(n) < confidence, bins) for _ in range(400)]
    assert perfect(confidence, bins) == pytest.approx(np.mean(seen), rel=0.05)


def test_of_a_perfect_model_little_is_left_and_of_one_too_sure_what_is_wrong() -> None:
    perfect_one = [drawn(100, seed) for seed in range(60)]
    assert np.mean([ece(*each) for each in perfect_one]) > 0.09
    assert np.mean([debiased(*each) for each in perfect_one]) < 0.05
    large = drawn(50_000, 3, sharper=2.0)
    assert debiased(*large) == pytest.approx(ece(*large), abs=0.003)
    assert ece(*large) > 0.05


def test_slope_and_intercept_are_those_of_a_logistic_regression() -> None:
    confidence, right, _ = drawn(400, 5, sharper=2.0)
    found = slope_and_intercept(confidence, right)
    assert found is not None
    logits = np.log(confidence / (1 - confidence))[:, np.newaxis]
    model = LogisticRegression(C=np.inf, tol=1e-8).fit(logits, right)
    assert found[0].value == pytest.approx(model.coef_[0, 0], abs=1e-4)
    assert found[1].value == pytest.approx(model.intercept_[0], abs=1e-4)
    assert found[0].low is not None
    assert found[0].high is not None
    assert found[0].low < 0.5 < found[0].high


def test_what_cannot_be_computed_is_absent() -> None:
    confidence, _, bins = drawn(30, 2)
    every = np.ones(30, dtype=bool)
    assert figures(confidence, every, bins).keys() == {"ece_perfect", "ece_debiased"}
    assert slope_and_intercept(np.full(30, 0.7), np.arange(30) < 20) is None
    assert slope_and_intercept(confidence, confidence > np.median(confidence)) is None
    assert figures(np.empty(0), np.empty(0, dtype=bool), np.empty(0, dtype=np.int64)) == {}
