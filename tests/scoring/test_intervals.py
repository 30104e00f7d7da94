"""Facts about intervals in closed form: they hold the truth, and have a width whatever was seen."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from statsmodels.stats.proportion import proportion_confint

from gateway.scoring import intervals
from gateway.scoring.confusions import f_beta
from gateway.scoring.intervals import (
    clustering,
    of_f,
    of_losses,
    of_median,
    of_ranks,
    of_shares,
    share,
)
from gateway.scoring.statistic import ItemStatistic, mean, median
from tests.scoring.covering import classes, of_authors, of_classes, of_share


@pytest.mark.parametrize(("right", "n"), [(0, 500), (499, 500), (300, 500)])
def test_of_many_items_a_share_has_wilson_s_interval(right: int, n: int) -> None:
    expected = proportion_confint(right, n, method="wilson")
    assert share(right, n) == pytest.approx(expected, abs=3e-4)


@pytest.mark.parametrize("n", [20, 60, 200])
@pytest.mark.parametrize("accuracy", [0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.9925, 0.997])
def test_a_share_holds_at_least_93_of_100(accuracy: float, n: int) -> None:
    found = of_share(accuracy, n)
    assert found.held >= 0.93
    assert found.edge or found.held <= 0.985


def test_of_copies_the_texts_count_and_not_the_copies() -> None:
    values = np.asarray([1.0] * 23 + [0.0] * 17)
    once = of_shares(mean(values))
    copied = of_shares(mean(np.repeat(values, 5)), np.repeat(np.arange(40), 5))
    assert copied == pytest.approx(once, abs=0.01)


def test_where_nothing_varies_a_cluster_counts_as_one_item() -> None:
    every = np.ones(200)
    assert of_shares(mean(every), np.repeat(np.arange(40), 5)) == pytest.approx(
        of_shares(mean(np.ones(40))), abs=1e-9
    )
    found = clustering(every, np.repeat(np.arange(40), 5))
    assert found is not None
    assert (found.count, found.effect) == (40, 5.0)


@pytest.mark.parametrize(("count", "accuracy", "n"), [(3, 0.8, 60), (20, 0.95, 200), (2, 0.99, 60)])
def test_macro_f1_holds_the_truth(count: int, accuracy: float, n: int) -> None:
    """Four standard errors of 300 samples below 95 of 100; percentiles held 20 to 85."""
    (found,) = of_classes(["macro_f1"], classes(count, accuracy, rare=False), n, samples=300)
    assert found.held >= 0.90


def test_copies_and_authors_hold_the_truth() -> None:
    (copies,) = of_classes(["macro_f1"], classes(3, 0.8, rare=False), 200, samples=200, copies=5)
    assert copies.held >= 0.89
    assert of_authors(0.8, 200, each=5, samples=200).held >= 0.89


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0, 3.0]), min_size=1, max_size=40))
@settings(max_examples=60, deadline=None)
def test_losses_and_medians_have_a_width_or_no_interval(values: list[float]) -> None:
    found = np.asarray(values)
    low, high = of_losses(mean(found), worst=1.0)
    assert low is not None
    assert high is not None
    assert 0 <= low <= found.mean() <= high
    assert low < high
    assert of_losses(mean(np.full(5, 2.0)), worst=None) == intervals.NONE
    under, over = of_median(median(found))
    if under is not None and over is not None:
        assert under <= np.median(found) <= over
        assert under < over


def test_an_area_that_is_perfect_still_has_a_width() -> None:
    low, high = of_ranks(lambda weights: np.ones(weights.shape[1]), 40, 12)
    assert low is not None
    assert low < 0.9
    assert high == 1.0


def test_one_item_and_no_item_are_said_as_they_are() -> None:
    low, high = share(1, 1)
    assert low is not None
    assert low < 0.21
    assert high == 1.0
    assert share(0, 0) == intervals.NONE
    assert of_shares(mean(np.ones(3), among=np.zeros(3, dtype=np.bool_))) == intervals.NONE


@pytest.mark.parametrize("metric", ["precision:0", "recall:0", "f1:0", "f0.5:0"])
def test_a_metric_of_one_label_holds_the_truth_also_where_the_label_is_rare(metric: str) -> None:
    for rare, n in ((True, 60), (False, 60)):
        (found,) = of_classes([metric], classes(3, 0.8, rare=rare), n, samples=150)
        assert found.held >= 0.9, (metric, rare)


def test_f1_of_a_label_is_a_share_of_what_was_hit_missed_or_given_wrongly() -> None:
    """18 hits, 2 misses, 3 false alarms."""
    rows = csr_array(np.eye(3))
    statistic = ItemStatistic(np.repeat([0, 1, 2], [18, 2, 3]), rows, f_beta(1))
    low, high = share(18, 23)
    assert low is not None
    assert high is not None
    expected = (2 * low / (1 + low), 2 * high / (1 + high))
    assert of_f(statistic, 1.0) == pytest.approx(expected)
    wider = of_f(statistic, 2.0)
    assert wider[0] is not None
    assert wider[0] < statistic.estimate()


def test_a_cost_that_nobody_had_yet_is_allowed_for() -> None:
    seen = mean(np.asarray([0.0] * 18 + [1.0] * 2))
    _, high = of_losses(seen, worst=None)
    _, known = of_losses(replace(seen, most=5.0), worst=None)
    assert high is not None
    assert known is not None
    assert known > high + 0.2
    assert of_losses(replace(mean(np.zeros(20)), most=5.0))[1] is not None
