"""The interval beside a claim holds for the family, and never contradicts the claim."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.scoring.beside import LEVEL, agreeing, discordant, joint_level, of_precisions
from gateway.scoring.claims import claim
from gateway.scoring.contest import contest
from gateway.scoring.proportions import score_interval
from gateway.scoring.results import Metric
from tests.scoring.cells import Rows, cell, estimates_of, pairs_of

ENDS = st.floats(-1, 1)


@given(ENDS, ENDS, ENDS, st.sampled_from([None, 0.0001, 0.04, 0.05, 0.0500001, 0.8]))
@example(-1.0, -5e-324, 0.0, 0.0001)
@example(0.0, 5e-324, 1.0, 0.0001)
@settings(max_examples=200)
def test_zero_is_outside_exactly_where_two_cells_are_told_apart(
    low: float, value: float, high: float, p_value: float | None
) -> None:
    low, value, high = sorted((low, value, high))
    said = claim("accuracy", value, p_value, deciding=9, family=3)
    shown = agreeing(Metric(value, low, high), said)
    assert shown.excludes_zero == said.shown
    assert shown.low is not None
    assert shown.high is not None
    assert shown.low <= value <= shown.high


def test_an_interval_that_agrees_stays_as_it_is() -> None:
    sure = claim("accuracy", 0.2, 0.001, deciding=9, family=3)
    assert agreeing(Metric(0.2, 0.1, 0.3), sure) == Metric(0.2, 0.1, 0.3)
    open_ = claim("accuracy", 0.2, 0.4, deciding=9, family=3)
    assert agreeing(Metric(0.2, -0.1, 0.3), open_) == Metric(0.2, -0.1, 0.3)
    assert agreeing(Metric(0.2), sure) == Metric(0.2)


def test_correlated_pairs_need_less_than_bonferroni_and_one_pair_nothing() -> None:
    noise = np.random.default_rng(0).normal(size=(6, 2000))
    alone, same = noise[:1], np.repeat(noise[:1], 6, axis=0)
    assert joint_level(np.zeros(1), alone) == LEVEL
    assert joint_level(np.zeros(6), same) == pytest.approx(LEVEL, abs=0.01)
    apart = joint_level(np.zeros(6), noise)
    assert 0.985 < apart <= 1 - 0.05 / 6


def test_together_all_intervals_hold_as_often_as_one() -> None:
    noise = np.random.default_rng(1).normal(size=(6, 4000))
    level = joint_level(np.zeros(6), noise)
    tails = np.quantile(noise, [(1 - level) / 2, (1 + level) / 2], axis=1)
    held = ((noise > tails[0][:, np.newaxis]) & (noise < tails[1][:, np.newaxis])).all(axis=0)
    assert held.mean() == pytest.approx(0.95, abs=0.01)


def test_a_share_is_known_by_the_items_that_count_in_one_cell_alone() -> None:
    rows: Rows = [("bug", "bug", "bug"), ("bug", "bug", None), ("bug", "feature", "bug")] * 4
    pairs = pairs_of([*rows, ("bug", "bug", "question")], "accuracy")
    assert discordant(pairs) == (5, 4, 13)
    assert discordant(pairs_of(rows, "macro_f1")) is None
    assert discordant(estimates_of([1, 5], [3, 5], [1, 9])) is None


@pytest.mark.parametrize("differing", range(6))
def test_where_few_items_differ_the_interval_of_a_share_has_a_width(differing: int) -> None:
    found = score_interval(differing, 0, 40)
    assert found.low is not None
    assert found.high is not None
    assert found.high - found.low > 0.05


def test_errors_that_are_zero_or_one_are_no_share() -> None:
    assert discordant(estimates_of([1, 5, 3], [1, 6, 3], [2, 5, 3])) is None


def test_where_all_items_differ_alike_there_is_no_interval() -> None:
    golds = [5.0] * 20
    cells = cell("a", golds, [6.0] * 20), cell("b", golds, [8.0] * 20)
    found = contest(*cells, task_kind="number", labels=(), metric="mae", resamples=50)
    assert found.difference == Metric(-2.0)
    assert found.alone.shown


def test_a_precision_of_few_answers_is_no_surer_than_they_are() -> None:
    golds = ["bug"] * 28 + ["feature"] * 32
    rare = ["bug", *["feature"] * 59]
    rows: Rows = [(gold, a, "bug") for gold, a in zip(golds, rare, strict=True)]
    one = of_precisions(pairs_of(rows, "precision:bug"), 0.95)
    assert one.value == pytest.approx(1 - 28 / 60)
    assert one.low is not None
    assert one.high is not None
    assert one.low < -0.3
    turned = of_precisions(pairs_of([(g, b, a) for g, a, b in rows], "precision:bug"), 0.95)
    assert turned.low == pytest.approx(-one.high)
    assert turned.high == pytest.approx(-one.low)
    wider = of_precisions(pairs_of(rows, "precision:bug"), 0.99)
    assert wider.low is not None
    assert wider.low < one.low
