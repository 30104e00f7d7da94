"""Facts about the metrics that are computed where they are asked for: scikit-learn's values."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from gateway.scoring.estimates import estimates
from gateway.scoring.results import Prediction, Status
from gateway.scoring.scores import statistics
from gateway.scoring.statistic import ItemStatistic

LABELS = ("low", "middle", "high")
ROWS = st.lists(
    st.tuples(st.sampled_from(LABELS), st.sampled_from([*LABELS, None]), st.integers(1, 6)),
    min_size=4,
    max_size=30,
)
NAMES = (
    "mcc",
    "balanced_accuracy",
    "quadratic_kappa",
    "precision:low",
    "recall:low",
    "f1:low",
    "f2:low",
    "f0.5:low",
    "roc_auc:low",
    "pr_auc:low",
    "roc_auc",
    "cost",
)


def predicted(i: int, gold: str, answer: str | None, weight: int) -> Prediction:
    if answer is None:
        return Prediction("c", f"{i:03}", Status.UNPARSED, None, gold)
    raw = np.asarray([weight if label == answer else (i + k) % 3 for k, label in enumerate(LABELS)])
    shares = dict(zip(LABELS, (raw / raw.sum()).tolist(), strict=True))
    return Prediction("c", f"{i:03}", Status.OK, answer, gold, probabilities=shares)


def table_of(
    rows: list[tuple[str, str | None, int]],
) -> tuple[list[Prediction], dict[str, ItemStatistic]]:
    items = [predicted(i, *row) for i, row in enumerate(rows)]
    costs = {"high": {"low": 5.0, "middle": 1.0}, "low": {"high": 2.0}}
    return items, statistics("classification", LABELS, items, costs=costs)


@given(ROWS)
@settings(max_examples=40, deadline=None)
@pytest.mark.filterwarnings("ignore")
def test_values_are_those_of_scikit_learn(rows: list[tuple[str, str | None, int]]) -> None:
    items, table = table_of(rows)
    gold = [str(item.gold) for item in items]
    answer = [item.answer if item.status is Status.OK else "(none)" for item in items]
    nan = float("nan")
    one = {"labels": ["low"], "average": "macro", "zero_division": nan}
    expected = {
        "balanced_accuracy": sk.balanced_accuracy_score(gold, answer),
        "precision:low": sk.precision_score(gold, answer, **one),
        "recall:low": sk.recall_score(gold, answer, **one),
        "f2:low": sk.fbeta_score(gold, answer, beta=2, **one),
        "f0.5:low": sk.fbeta_score(gold, answer, beta=0.5, **one),
    }
    if len(set(gold)) > 1 and len(set(answer)) > 1:
        expected["mcc"] = sk.matthews_corrcoef(gold, answer)
    for name, value in expected.items():
        assert table[name].estimate() == pytest.approx(value, nan_ok=True, abs=1e-12), name


@given(ROWS)
@settings(max_examples=40, deadline=None)
def test_areas_are_those_of_scikit_learn(rows: list[tuple[str, str | None, int]]) -> None:
    items, table = table_of(rows)
    positive = [item.gold == "low" for item in items]
    scores = [
        round(item.probabilities["low"], 12) if item.probabilities else -1.0 if own else 2.0
        for item, own in zip(items, positive, strict=True)
    ]
    if 0 < sum(positive) < len(positive) and any(item.probabilities for item in items):
        found = {name: table[f"{name}:low"].estimate() for name in ("roc_auc", "pr_auc")}
        assert found["roc_auc"] == pytest.approx(sk.roc_auc_score(positive, scores))
        assert found["pr_auc"] == pytest.approx(sk.average_precision_score(positive, scores))


@pytest.mark.parametrize("metric", ["roc_auc:low", "pr_auc:low", "roc_auc", "pr_auc"])
def test_a_cell_does_not_rank_better_for_what_it_leaves_out(metric: str) -> None:
    easy: list[tuple[str, str | None, int]] = [("low", "low", 6), ("high", "high", 6)]
    hard: list[tuple[str, str | None, int]] = [("low", "high", 1), ("high", "low", 1)]
    _, whole = table_of(easy * 5 + hard * 5)
    left_out: list[tuple[str, str | None, int]] = [(gold, None, 1) for gold, _, _ in hard]
    _, silent = table_of(easy * 5 + left_out * 5)
    assert silent[metric].estimate() <= whole[metric].estimate()
    _, nothing = table_of([(gold, None, weight) for gold, _, weight in easy])
    assert np.isnan(nothing[metric].estimate())


def test_quadratic_kappa_takes_labels_in_their_order_and_silence_for_the_farthest() -> None:
    rows = [("low", "low", 3), ("low", "middle", 3), ("high", "high", 3), ("high", None, 3)]
    _, table = table_of(rows)
    expected = sk.cohen_kappa_score(
        [0, 0, 2, 2], [0, 1, 2, 0], labels=[0, 1, 2], weights="quadratic"
    )
    assert table["quadratic_kappa"].estimate() == pytest.approx(expected)


def test_a_cost_table_says_what_errors_cost_and_silence_costs_the_most() -> None:
    rows = [("high", "low", 3), ("high", None, 3), ("low", "high", 3), ("middle", "low", 3)]
    _, table = table_of(rows)
    assert table["cost"].estimate() == pytest.approx((5 + 5 + 2 + 0) / 4)


@given(ROWS)
@settings(max_examples=25, deadline=None)
def test_each_has_an_interval_that_holds_its_value_and_has_a_width(
    rows: list[tuple[str, str | None, int]],
) -> None:
    _, table = table_of(rows)
    named = {name: table[name] for name in NAMES if table.get(name) is not None}
    for name, metric in estimates(named).items():
        if metric.low is not None and metric.high is not None:
            assert metric.low <= metric.value + 1e-12, name
            assert metric.value <= metric.high + 1e-12, name
            assert metric.low < metric.high, name


def test_what_is_no_metric_is_none() -> None:
    _, table = table_of([("low", "low", 3), ("high", "low", 3)])
    for name in ("nonsense", "recall:nolabel", "f0:low", "recall"):
        assert table.get(name) is None
