"""Facts about two cells in one table."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.errors import ComparisonRefused, DataError
from gateway.scoring.pairing import matched, paired, rights
from gateway.scoring.scores import statistics
from tests.scoring.cells import LABELS, Rows, cell, estimates_of, pairs_of, rows, two_cells

METRICS = st.sampled_from(["macro_f1", "weighted_f1", "accuracy", "coverage"])


@given(rows(), METRICS, st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_the_difference_on_a_resample_is_that_of_each_cell_alone(
    drawn: Rows, metric: str, seed: int
) -> None:
    pairs = pairs_of(drawn, metric)
    indices = np.random.default_rng(seed).integers(len(drawn), size=(4, len(drawn)))
    alone = [
        statistics("classification", LABELS, items)[metric](indices) for items in two_cells(drawn)
    ]
    assert np.array_equal(pairs.difference(indices), alone[0] - alone[1], equal_nan=True)


@given(rows(), METRICS, st.data())
@settings(max_examples=30, deadline=None)
def test_swapping_rows_is_swapping_answers(drawn: Rows, metric: str, data: st.DataObject) -> None:
    pairs = pairs_of(drawn, metric)
    swap = np.asarray(data.draw(st.lists(st.booleans(), min_size=pairs.n, max_size=pairs.n)))
    a = np.arange(pairs.n) + pairs.n * swap
    b = np.arange(pairs.n) + pairs.n * ~swap
    swapped = [
        (gold, y, x) if s else (gold, x, y) for (gold, x, y), s in zip(drawn, swap, strict=True)
    ]
    difference = pairs.statistic(a[np.newaxis]) - pairs.statistic(b[np.newaxis])
    assert difference[0] == pairs_of(swapped, metric).estimate


@given(rows())
@settings(max_examples=30, deadline=None)
def test_items_differ_where_the_answers_do(drawn: Rows) -> None:
    expected = [i for i, (_, a, b) in enumerate(drawn) if a != b]
    assert pairs_of(drawn).differing.tolist() == expected


def test_probabilities_tell_cells_apart_on_the_metrics_that_read_them() -> None:
    a = cell("a", ["bug", "bug"], ["bug", "bug"])
    sure = {"bug": 0.8, "feature": 0.1, "question": 0.1}
    unsure = {"bug": 0.6, "feature": 0.2, "question": 0.2}
    with_shares = [
        [replace(item, cell=name, probabilities=shares) for item in a]
        for name, shares in (("a", sure), ("b", unsure))
    ]
    found = {
        metric: len(
            paired(*with_shares, task_kind="classification", labels=LABELS, metric=metric).differing
        )
        for metric in ("macro_f1", "log_loss")
    }
    assert found == {"macro_f1": 0, "log_loss": 2}


def test_an_error_is_compared_where_both_answered_and_all_items_are_counted() -> None:
    pairs = estimates_of([0.0] * 4, [1.0, 1.0, None, 3.0], [2.0, None, 1.0, 3.0])
    assert (pairs.n, pairs.total, pairs.estimate) == (2, 4, -0.5)
    assert pairs.differing.tolist() == [0]


def test_an_abstention_is_not_right() -> None:
    items = cell("a", ["bug", "bug", "bug"], ["bug", None, "feature"])
    assert rights(items, "classification").tolist() == [True, False, False]


def test_a_metric_that_one_cell_lacks_is_refused_by_its_name() -> None:
    a, b = two_cells([("bug", "bug", "bug")])
    sure = {"bug": 0.8, "feature": 0.1, "question": 0.1}
    with pytest.raises(ComparisonRefused, match="b has no metric 'log_loss'") as refused:
        paired(
            [replace(a[0], probabilities=sure)],
            b,
            task_kind="classification",
            labels=LABELS,
            metric="log_loss",
        )
    assert "macro_f1" in refused.value.hint


def test_a_metric_on_answers_is_refused_where_no_item_has_two() -> None:
    with pytest.raises(ComparisonRefused, match="no item was answered by both"):
        estimates_of([0.0, 0.0], [1.0, None], [None, 1.0])


def test_other_items_are_refused_by_name_and_number() -> None:
    a, b = two_cells([("bug", "bug", "bug")] * 9)
    message = r"4 only in a \(0000, 0001, 0002, \.\.\.\); 1 only in b \(0008\)"
    with pytest.raises(ComparisonRefused, match=message):
        matched(a[:8], b[4:])


def test_other_gold_values_are_refused_by_name_and_number() -> None:
    a = cell("a", ["bug", "bug"], ["bug", "bug"])
    b = cell("b", ["bug", "feature"], ["bug", "bug"])
    with pytest.raises(ComparisonRefused, match=r"different gold values: 1 differ \(0001\)"):
        matched(a, b)


def test_of_one_label_only_its_own_items_decide() -> None:
    golds = ["bug"] * 4 + ["feature"] * 20
    other = ["question"] * 4 + ["question"] * 20
    for metric, deciding in (("recall:bug", 4), ("f1:bug", 4), ("macro_f1", 24), ("accuracy", 24)):
        found = paired(
            cell("a", golds, golds),
            cell("b", golds, other),
            task_kind="classification",
            labels=LABELS,
            metric=metric,
        )
        assert len(found.deciding) == deciding


def test_predictions_of_several_cells_are_no_cell() -> None:
    (one,), (other,) = two_cells([("bug", "bug", "bug")])
    mixed = [one, replace(other, item_id="x")]
    with pytest.raises(DataError, match="several cells"):
        matched(mixed, mixed)
