"""Facts about bootstrap intervals and p-values: scipy's BCa, Student's t, and their coverage."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from gateway.core.errors import ConfigError
from gateway.scoring.arrays import FloatArray, IntArray
from gateway.scoring.bootstrap import Bootstrap, Method, bootstrap
from gateway.scoring.scores import Statistic
from gateway.scoring.statistic import resample_indices
from tests.scoring.cells import Rows, pairs_of, rows
from tests.scoring.simulating import BALANCED, HARDLY, QUANTIZED, classified, coverage, estimated

methods = st.sampled_from(list(Method))


def variance(values: FloatArray) -> Statistic:
    def at(indices: IntArray) -> FloatArray:
        return np.asarray(values[indices].var(axis=1))

    return at


def mean(values: FloatArray) -> Statistic:
    def at(indices: IntArray) -> FloatArray:
        return np.asarray(values[indices].mean(axis=1))

    return at


def by_scipy(statistic: Statistic, n: int, seed: int, resamples: int, level: float) -> Any:
    """scipy's BCa interval from the same resamples."""

    def rowwise(indices: IntArray, axis: int) -> FloatArray:
        return statistic(indices.reshape(-1, indices.shape[-1])).reshape(indices.shape[:-1])

    drawn = [statistic(indices) for indices in resample_indices(n, resamples, seed=seed)]
    earlier: Any = SimpleNamespace(bootstrap_distribution=np.concatenate(drawn))
    return stats.bootstrap(
        (np.arange(n),),
        rowwise,
        vectorized=True,
        method="BCa",
        n_resamples=0,
        confidence_level=level,
        bootstrap_result=earlier,
    ).confidence_interval


@pytest.mark.parametrize("level", [0.8, 0.9, 0.95])
def test_bca_of_a_skewed_statistic_is_scipy_s(level: float) -> None:
    skewed = np.random.default_rng(1).exponential(size=40)
    found = bootstrap(variance(skewed), 40, seed=3, resamples=500)
    expected = by_scipy(variance(skewed), 40, 3, 500, level)
    interval = found.interval(level, method=Method.BCA)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))
    plain = found.interval(level, method=Method.PERCENTILE)
    assert abs((interval.high or 0.0) - (plain.high or 0.0)) > 0.01


@given(rows(smallest=12, largest=40), st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_bca_of_a_macro_f1_difference_is_scipy_s(drawn: Rows, seed: int) -> None:
    pairs = pairs_of(drawn)
    found = bootstrap(pairs.difference, pairs.n, seed=seed, resamples=200)
    if found.undefined or found.acceleration == 0 or not math.isfinite(found.bias):
        return  # scipy gives NaN there; what is given here is stated below.
    expected = by_scipy(pairs.difference, pairs.n, seed, 200, 0.95)
    interval = found.interval(method=Method.BCA)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_the_widened_interval_of_a_mean_is_as_wide_as_student_s() -> None:
    few = np.random.default_rng(0).normal(size=8)
    found = bootstrap(mean(few), 8, resamples=20_000).interval()
    exact = stats.ttest_1samp(few, 0.0).confidence_interval()
    assert found.low is not None
    assert found.high is not None
    # The plug-in variance divides by 8 where Student's divides by 7.
    expected = (exact.high - exact.low) * math.sqrt(7 / 8)
    assert found.high - found.low == pytest.approx(expected, rel=0.05)


def test_what_carries_the_difference_decides_how_much_wider_it_is() -> None:
    values = np.random.default_rng(0).normal(size=300)
    widths = []
    for carrying in (5, 30, 300):
        found = bootstrap(mean(values), 300, carrying=carrying, resamples=20_000).interval()
        widths.append((found.high or 0.0) - (found.low or 0.0))
    expected = [stats.t.ppf(0.975, k) / stats.t.ppf(0.975, 300) for k in (5, 30)]
    assert [widths[0] / widths[2], widths[1] / widths[2]] == pytest.approx(expected, rel=0.05)


@given(rows(smallest=15, largest=40), methods, st.floats(0.5, 0.98))
@settings(max_examples=40, deadline=None)
def test_an_interval_and_a_p_value_never_disagree(
    drawn: Rows, method: Method, level: float
) -> None:
    pairs = pairs_of(drawn)
    found = bootstrap(pairs.difference, pairs.n, carrying=len(pairs.differing), resamples=400)
    interval = found.interval(level, method=method)
    assert interval.low is not None
    assert interval.high is not None
    beyond = (1 - level) / 2 + 1e-6
    step = 1e-9
    assert found.p_above(interval.low - step, method=method) <= max(beyond, 1 / 401)
    assert found.p_below(interval.high + step, method=method) <= max(beyond, 1 / 401)


@given(methods, st.floats(-0.4, 0.4), st.floats(0.001, 0.2))
@settings(max_examples=40, deadline=None)
def test_a_bound_further_out_never_has_a_larger_p_value(
    method: Method, bound: float, step: float
) -> None:
    skewed = np.random.default_rng(1).exponential(size=40)
    found = bootstrap(variance(skewed - 0.5), 40, resamples=200)
    assert found.p_above(bound - step, method=method) <= found.p_above(bound, method=method)
    assert found.p_below(bound + step, method=method) <= found.p_below(bound, method=method)


def test_the_p_value_of_a_mean_is_near_that_of_student_s_test() -> None:
    values = np.random.default_rng(4).normal(0.2, 1.0, size=60)
    found = bootstrap(mean(values), 60, resamples=20_000)
    for bound in (-0.1, 0.0, 0.1):
        expected = stats.ttest_1samp(values, bound, alternative="greater").pvalue
        assert found.p_above(bound) == pytest.approx(float(expected), abs=0.01)


def test_so_many_resamples_show_no_smaller_p_value_than_one_more() -> None:
    found = bootstrap(mean(np.ones(9) * 3), 9, resamples=99)
    assert found.p_above(2.0) == 0.01
    assert found.p_above(3.0) == 1.0


@given(rows(), methods)
@settings(max_examples=20, deadline=None)
def test_a_cell_against_itself_differs_by_exactly_zero(drawn: Rows, method: Method) -> None:
    pairs = pairs_of([(gold, a, a) for gold, a, _ in drawn])
    found = bootstrap(pairs.difference, pairs.n, carrying=len(pairs.differing), resamples=50)
    interval = found.interval(method=method)
    assert (interval.value, interval.low, interval.high) == (0.0, 0.0, 0.0)
    assert found.acceleration == 0.0


def test_resamples_without_a_value_are_counted_and_left_out() -> None:
    values = np.asarray([1.0, 2.0, np.nan])

    def of_the_known(indices: IntArray) -> FloatArray:
        known = ~np.isnan(values[indices])
        total = np.where(known, values[indices], 0.0).sum(axis=1)
        return np.where(known.any(axis=1), total / np.maximum(known.sum(axis=1), 1), np.nan)

    found = bootstrap(of_the_known, 3, resamples=400)
    assert 0 < found.undefined < 50
    assert len(found.values) == 400 - found.undefined
    interval = found.interval()
    assert interval.low == 1.0


def test_no_value_at_all_is_no_interval_and_no_p_value() -> None:
    def never(indices: IntArray) -> FloatArray:
        return np.full(len(indices), np.nan)

    found = bootstrap(never, 4, resamples=20)
    assert found.interval().low is None
    assert math.isnan(found.p_above(0.0))
    assert math.isnan(found.standard_error)


def test_bca_without_a_measure_of_bias_is_read_as_percentiles_and_says_so() -> None:
    found = Bootstrap(
        estimate=9.0,
        values=np.arange(5.0),
        undefined=0,
        carrying=5,
        bias=math.inf,
        acceleration=0.0,
    )
    assert found.usable(Method.BCA) is Method.PERCENTILE
    bca, plain = (found.interval(method=m) for m in (Method.BCA, Method.PERCENTILE))
    assert bca == plain


def test_an_acceleration_without_sense_ends_at_the_last_value() -> None:
    found = Bootstrap(
        estimate=2.0, values=np.arange(5.0), undefined=0, carrying=5, bias=0.0, acceleration=2.0
    )
    assert found.interval(method=Method.BCA).high == 4.0


def test_one_item_has_an_interval_of_itself() -> None:
    found = bootstrap(mean(np.asarray([0.5])), 1, resamples=10)
    interval = found.interval()
    assert (interval.low, interval.high) == (0.5, 0.5)


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0, math.nan])
def test_a_level_that_is_none_is_refused(level: float) -> None:
    with pytest.raises(ConfigError, match="level"):
        bootstrap(mean(np.arange(3.0)), 3, resamples=10).interval(level)


def test_the_same_seed_gives_the_same_bytes() -> None:
    pairs = pairs_of([("bug", "bug", "feature"), ("feature", "bug", "feature")] * 20)
    first, again, other = (
        bootstrap(pairs.difference, pairs.n, seed=seed, resamples=100).values.tobytes()
        for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_intervals_of_a_macro_f1_difference_hold_the_truth() -> None:
    held = coverage(classified(BALANCED), 150, samples=300, resamples=400)
    assert all(0.93 <= share <= 0.97 for share in held.bootstrap.values()), held


def test_intervals_of_an_mae_difference_hold_the_truth() -> None:
    held = coverage(estimated(), 150, samples=300, resamples=400)
    assert all(0.93 <= share <= 0.97 for share in held.bootstrap.values()), held


def test_where_cells_differ_on_few_items_only_the_widened_interval_holds_the_truth() -> None:
    held = coverage(classified(QUANTIZED), 150, samples=400, resamples=400).bootstrap
    assert 0.93 <= held[Method.WIDENED] <= 0.97, held
    assert held[Method.BCA] < held[Method.PERCENTILE] < 0.93, held


def test_where_hardly_an_item_differs_no_bootstrap_holds_the_truth_and_the_evidence_does() -> None:
    held = coverage(classified(HARDLY), 150, samples=200, resamples=200)
    assert max(held.bootstrap.values()) < 0.7, held
    assert held.evidence >= 0.93, held
