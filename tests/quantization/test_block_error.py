"""Facts about the interval of a mean over the tokens of a text."""

import numpy as np
import pytest

from gateway.quantization.perplexity import mean_of, perplexity


def autoregressive(n: int, persistence: float, seed: int) -> np.ndarray:
    draw = np.random.default_rng(seed)
    values = np.zeros(n)
    for i in range(1, n):
        values[i] = persistence * values[i - 1] + draw.normal()
    return values


def test_of_independent_values_it_is_the_plain_one() -> None:
    values = np.random.default_rng(0).normal(size=10_000)
    assert mean_of(values).reach == pytest.approx(0.0196, rel=0.25)


def test_neighbours_that_are_alike_say_less() -> None:
    """The true error of the mean of an AR(1) series is 1 / (1 - 0.8) by the root of n."""
    found = [mean_of(autoregressive(4000, 0.8, seed)).reach for seed in range(8)]
    assert np.mean(found) == pytest.approx(1.96 * 5 / np.sqrt(4000), rel=0.15)


def test_it_is_what_resampling_circular_blocks_gives() -> None:
    values = autoregressive(100, 0.5, 1)
    draw = np.random.default_rng(2)
    starts = draw.integers(100, size=(4000, 10))
    rows = (starts[:, :, np.newaxis] + np.arange(10)) % 100
    resampled = values[rows].mean(axis=(1, 2)).std()
    assert mean_of(values).reach == pytest.approx(1.96 * resampled * np.sqrt(10 / 9), rel=0.05)


def test_few_tokens_and_equal_ones_stay_defined() -> None:
    assert np.isnan(mean_of([1.0]).reach)
    assert mean_of([1.0, 1.0, 1.0]).reach == 0
    assert perplexity([1.0] * 20).reach == pytest.approx(0, abs=1e-9)
