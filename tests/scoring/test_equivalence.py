"""Facts about equivalence at a margin."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multinomial
from statsmodels.stats.weightstats import ttost_paired

from gateway.core.errors import ConfigError
from gateway.scoring.arrays import FloatArray, IntArray
from gateway.scoring.bootstrap import bootstrap
from gateway.scoring.equivalence import bootstrap_equivalence, proportion_equivalence
from gateway.scoring.proportions import score
from tests.scoring.cells import estimates_of
from tests.scoring.simulating import QUANTIZED, classified, coverage

counts = st.tuples(st.integers(0, 25), st.integers(0, 25))


@given(counts, st.floats(0.005, 0.2))
@settings(max_examples=60, deadline=None)
def test_equivalence_is_shown_where_the_narrow_interval_lies_within_the_margin(
    drawn: tuple[int, int], margin: float
) -> None:
    result = proportion_equivalence(*drawn, 300, margin)
    low, high = result.narrow.low, result.narrow.high
    assert low is not None
    assert high is not None
    if abs(low + margin) > 1e-6 and abs(high - margin) > 1e-6:
        assert result.not_worse == (low > -margin)
        assert result.equivalent == (-margin < low and high < margin)


@pytest.mark.parametrize("discordance", [0.04, 0.1, 0.25])
def test_a_cell_worse_by_the_margin_passes_at_most_one_time_in_twenty(discordance: float) -> None:
    # Exact: all tables of 300 items that can occur, weighted by how often they do.
    n, margin = 300, 0.02
    shares = ((discordance - margin) / 2, (discordance + margin) / 2)
    largest = int(n * discordance + 6 * math.sqrt(n * discordance))
    a, b = (grid.ravel() for grid in np.meshgrid(range(largest), range(largest)))
    weights = multinomial.pmf(np.stack([a, b, n - a - b], axis=1), n, [*shares, 1 - sum(shares)])
    passed = math.fsum(
        weight
        for x, y, weight in zip(a.tolist(), b.tolist(), weights.tolist(), strict=True)
        if weight > 1e-12 and score(x, y, n, -margin) >= 1.644854
    )
    assert 0.03 <= passed <= 0.056


def test_the_bootstrap_agrees_with_the_t_test_of_statsmodels_where_that_holds() -> None:
    draw = np.random.default_rng(5)
    a = np.abs(draw.normal(0.0, 1.0, size=400))
    b = a + draw.normal(0.03, 0.4, size=400)
    golds = [0.0] * 400
    pairs = estimates_of(golds, a.tolist(), np.abs(b).tolist())
    drawn = bootstrap(pairs.difference, 400, carrying=400, resamples=20_000)
    found = bootstrap_equivalence(drawn, 0.06, metric="mae")
    expected = ttost_paired(a, np.abs(b), -0.06, 0.06)
    assert found.p_value == pytest.approx(expected[0], abs=0.01)
    # Of "a's error is larger by the margin or more", which is the t-test from above.
    assert found.p_worse == pytest.approx(expected[2][1], abs=0.01)
    assert found.p_better == pytest.approx(expected[1][1], abs=0.01)


def of_a_mean(
    values: FloatArray, metric: str = "macro_f1", margin: float = 0.5
) -> tuple[bool, bool]:
    def at(indices: IntArray) -> FloatArray:
        return np.asarray(values[indices].mean(axis=1))

    result = bootstrap_equivalence(bootstrap(at, len(values)), 0.5, metric=metric)
    return result.not_worse, result.equivalent


def test_more_is_not_worse_unless_less_is_better() -> None:
    gain = np.random.default_rng(0).normal(2.0, 1.0, size=50)
    assert of_a_mean(gain) == (True, False)
    assert of_a_mean(gain, "mae") == (False, False)
    assert of_a_mean(-gain, "mae") == (True, False)
    assert of_a_mean(gain * 0.01) == (True, True)


def test_what_rests_on_few_differing_items_shows_nothing() -> None:
    def never(indices: IntArray) -> FloatArray:
        return np.zeros(len(indices))

    few = bootstrap_equivalence(bootstrap(never, 300, carrying=5), 0.02, metric="macro_f1")
    assert few.p_value < 0.001
    assert (few.rests_on_few, few.not_worse, few.equivalent) == (True, False, False)
    by_score = proportion_equivalence(0, 0, 300, 0.02)
    assert (by_score.rests_on_few, by_score.equivalent) == (False, True)
    assert not proportion_equivalence(0, 0, 50, 0.02).equivalent


def test_claims_about_a_quantized_cell_are_false_at_most_one_time_in_twenty() -> None:
    share = coverage(classified(QUANTIZED), 150, samples=400, resamples=400).false_claims
    assert 0.01 <= share <= 0.065


@pytest.mark.parametrize("margin", [0.0, -0.02, math.nan])
def test_a_margin_that_is_none_is_refused(margin: float) -> None:
    with pytest.raises(ConfigError, match="margin"):
        proportion_equivalence(3, 4, 100, margin)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 5.0, math.nan])
def test_an_error_rate_that_is_none_is_refused(alpha: float) -> None:
    with pytest.raises(ConfigError, match="error rate"):
        proportion_equivalence(3, 4, 100, 0.02, alpha=alpha)


def test_a_difference_without_a_value_is_refused() -> None:
    def never(indices: IntArray) -> FloatArray:
        return np.full(len(indices), np.nan)

    with pytest.raises(ConfigError, match="no resample"):
        bootstrap_equivalence(bootstrap(never, 4, resamples=9), 0.1, metric="mae")
