"""Facts about metrics: scikit-learn's values, on the items and on every resample of them."""

import dataclasses
import json
import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from gateway.core.errors import ConfigError, DataError
from gateway.core.json import from_plain, plain_values
from gateway.core.types import Answer, TaskKind
from gateway.scoring.arrays import IntArray
from gateway.scoring.items import is_right, ordered
from gateway.scoring.results import (
    MOST_DENSE,
    CellScore,
    Confusion,
    Prediction,
    SparseConfusion,
    Status,
)
from gateway.scoring.scores import (
    TimedItem,
    class_f1,
    score_cell,
    statistics,
    timings,
)
from gateway.scoring.statistic import resample_indices

LABELS = ("question", "bug", "feature")
"""Not in alphabetical order, in which scikit-learn would put them."""
NOT_OK = (Status.UNPARSED, Status.TRUNCATED, Status.FAILED)


def predicted(
    number: int,
    gold: Answer | None,
    answer: Answer | None,
    status: Status = Status.OK,
    probabilities: Mapping[str, float] | None = None,
) -> Prediction:
    return Prediction(
        cell="cell",
        item_id=f"{number:04}",
        status=status,
        answer=answer if status is Status.OK else None,
        gold=gold,
        probabilities=probabilities if status is Status.OK else None,
        prompt_tokens=10,
        completion_tokens=2,
        tokens_evaluated=9,
    )


@st.composite
def classified(draw: st.DrawFn, smallest: int = 1) -> list[Prediction]:
    """A cell in which the answer is the most probable label, if there is an answer."""
    rows = draw(
        st.lists(
            st.tuples(
                st.sampled_from(LABELS),
                st.lists(st.floats(0.0, 1.0), min_size=3, max_size=3),
                st.sampled_from([Status.OK, Status.OK, Status.OK, *NOT_OK]),
            ),
            min_size=smallest,
            max_size=25,
        )
    )
    return [_classified(i, gold, raw, status) for i, (gold, raw, status) in enumerate(rows)]


def _classified(i: int, gold: str, raw: list[float], status: Status) -> Prediction:
    total = sum(raw)
    shares = [value / total for value in raw] if total > 1e-3 else [1.0, 0.0, 0.0]
    probabilities = dict(zip(LABELS, shares, strict=True))
    answer = max(LABELS, key=probabilities.__getitem__)
    return predicted(i, gold, answer, status, probabilities)


def classification(items: Sequence[Prediction], **options: Any) -> CellScore:
    return score_cell("cell", "model", "classification", LABELS, items, **options)


def value(score: CellScore, name: str) -> float:
    return score.metrics[name].value


def by_sklearn(items: Sequence[Prediction]) -> dict[str, float]:
    """The documented definitions in scikit-learn's words; undefined ones are NaN."""
    gold = [str(item.gold) for item in items]
    answer = [str(item.answer) if item.status is Status.OK else "(none)" for item in items]
    f1 = {"labels": [label for label in LABELS if label in gold], "zero_division": 0.0}
    result = {
        "macro_f1": sk.f1_score(gold, answer, average="macro", **f1),
        "weighted_f1": sk.f1_score(gold, answer, average="weighted", **f1),
        "accuracy": sk.accuracy_score(gold, answer),
    }
    return result | _by_sklearn_answered([item for item in items if item.status is Status.OK])


def _by_sklearn_answered(items: Sequence[Prediction]) -> dict[str, float]:
    if not items:
        return dict.fromkeys(("accuracy_answered", "log_loss", "brier"), math.nan)
    gold = [str(item.gold) for item in items]
    columns = sorted(LABELS)
    table = [[(item.probabilities or {})[label] for label in columns] for item in items]
    return {
        "accuracy_answered": sk.accuracy_score(gold, [str(item.answer) for item in items]),
        "log_loss": sk.log_loss(gold, table, labels=columns),
        "brier": sk.brier_score_loss(gold, table, labels=columns, scale_by_half=False),
    }


@given(classified())
@settings(max_examples=40, deadline=None)
def test_point_estimates_are_those_of_scikit_learn(items: list[Prediction]) -> None:
    score = classification(items, resamples=0)
    for name, expected in by_sklearn(items).items():
        if math.isnan(expected):
            assert name not in score.metrics
        else:
            assert value(score, name) == pytest.approx(expected, abs=1e-12)


@given(classified(), st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_every_resample_has_the_value_that_scikit_learn_gives_it(
    items: list[Prediction], seed: int
) -> None:
    table = statistics("classification", LABELS, ordered(items))
    (indices,) = resample_indices(len(items), 8, seed=seed)
    vectorised = {name: statistic(indices) for name, statistic in table.items()}
    for row, resample in enumerate(indices):
        for name, expected in by_sklearn([items[i] for i in resample]).items():
            found = vectorised[name][row] if name in vectorised else math.nan
            assert found == pytest.approx(expected, abs=1e-12, nan_ok=True)


@given(
    st.lists(
        st.tuples(st.floats(-50, 50), st.floats(-50, 50), st.sampled_from([Status.OK, *NOT_OK])),
        min_size=1,
        max_size=20,
    )
)
@settings(max_examples=40, deadline=None)
def test_every_resample_of_numbers_has_the_value_that_scikit_learn_gives_it(
    rows: list[tuple[float, float, Status]],
) -> None:
    items = [predicted(i, gold, answer, status) for i, (gold, answer, status) in enumerate(rows)]
    table = statistics("number", (), items)
    (indices,) = resample_indices(len(items), 5, seed=0)
    for row, resample in enumerate(indices):
        pairs = [rows[i][:2] for i in resample if rows[i][2] is Status.OK]
        mae = table["mae_answered"](indices)[row]
        median = table["median_ae_answered"](indices)[row]
        if not pairs:
            assert math.isnan(mae)
            assert math.isnan(median)
            continue
        gold, answer = zip(*pairs, strict=True)
        assert mae == pytest.approx(sk.mean_absolute_error(gold, answer))
        assert median == pytest.approx(sk.median_absolute_error(gold, answer))


@given(classified())
@settings(max_examples=20, deadline=None)
def test_the_order_of_arrival_changes_nothing(items: list[Prediction]) -> None:
    shuffled = items.copy()
    random.Random(1).shuffle(shuffled)  # noqa: S311
    assert classification(shuffled, resamples=50) == classification(items, resamples=50)


@given(classified())
@settings(max_examples=20, deadline=None)
def test_an_interval_is_ordered_and_within_the_range_of_its_metric(
    items: list[Prediction],
) -> None:
    score = classification(items, resamples=100)
    for name in ("macro_f1", "weighted_f1", "accuracy", "coverage"):
        low, high = score.metrics[name].low, score.metrics[name].high
        assert low is not None
        assert high is not None
        assert 0.0 <= low <= high <= 1.0


def many(n: int = 300) -> list[Prediction]:
    return [predicted(i, "bug", "bug" if i % 3 else "feature") for i in range(n)]


def test_the_interval_has_the_width_that_theory_gives_a_proportion() -> None:
    accuracy = classification(many()).metrics["accuracy"]
    assert accuracy.value == pytest.approx(2 / 3)
    assert accuracy.low is not None
    assert accuracy.high is not None
    normal_width = 2 * 1.96 * math.sqrt(2 / 3 * 1 / 3 / 300)
    assert accuracy.high - accuracy.low == pytest.approx(normal_width, rel=0.1)


def test_a_seed_gives_the_same_resamples_and_another_seed_others() -> None:
    first, again, other = (next(resample_indices(30, 20, seed=seed)) for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert classification(many(), seed=3) == classification(many(), seed=3)


def test_resamples_are_the_same_for_every_cell_over_as_many_items() -> None:
    def drawn() -> IntArray:
        return np.concatenate(list(resample_indices(3000, 1500, seed=5)))

    assert drawn().shape == (1500, 3000)
    assert np.array_equal(drawn(), drawn())


def test_without_resamples_there_is_no_interval() -> None:
    assert classification(many(), resamples=0).metrics["accuracy"].low is None


def test_calibration_error_has_no_interval() -> None:
    items = [_classified(i, "bug", [0.2, 0.5, 0.3], Status.OK) for i in range(10)]
    ece = classification(items).metrics["ece"]
    assert ece.value == pytest.approx(0.5)
    assert ece.low is None


@pytest.mark.parametrize("status", NOT_OK)
def test_an_abstention_lowers_recall_and_is_no_false_positive(status: Status) -> None:
    items = [
        predicted(0, "bug", "bug"),
        predicted(1, "bug", None, status),
        predicted(2, "feature", "feature"),
        predicted(3, "question", "question"),
    ]
    score = classification(items, resamples=0)
    rows = {row.label: row for row in score.per_class}
    assert (rows["bug"].precision, rows["bug"].recall) == (1.0, 0.5)
    assert all(row.precision == 1.0 for row in score.per_class)
    assert value(score, "accuracy") == 0.75
    assert value(score, "accuracy_answered") == 1.0
    assert value(score, "coverage") == 0.75


def test_conformance_counts_only_what_the_model_wrote() -> None:
    items = [
        predicted(0, "bug", "bug"),
        predicted(1, "bug", None, Status.UNPARSED),
        predicted(2, "bug", None, Status.FAILED),
        predicted(3, "bug", None, Status.TRUNCATED),
    ]
    score = classification(items, resamples=0)
    assert value(score, "conformance") == 0.5
    assert score.statuses == {"ok": 1, "unparsed": 1, "truncated": 1, "failed": 1}


def test_what_can_not_be_computed_is_absent() -> None:
    failed = classification([predicted(0, "bug", None, Status.FAILED)])
    assert set(failed.metrics) == {"macro_f1", "weighted_f1", "accuracy", "coverage"}
    assert failed.tokens_per_correct is None
    assert failed.reliability == ()
    assert "log_loss" not in classification([predicted(0, "bug", "bug")]).metrics


def test_a_class_that_does_not_occur_is_left_out_of_macro_f1() -> None:
    items = [predicted(0, "bug", "bug"), predicted(1, "feature", "feature")]
    score = classification(items, resamples=0)
    assert value(score, "macro_f1") == 1.0
    assert [row.support for row in score.per_class] == [0, 1, 1]


@given(classified())
@settings(max_examples=30, deadline=None)
def test_a_class_has_the_f1_of_its_row_and_an_interval_around_it(items: list[Prediction]) -> None:
    rows = {row.label: row for row in classification(items, resamples=0).per_class}
    found = class_f1(LABELS, items, resamples=50)
    answered = {item.answer for item in items} | {item.gold for item in items}
    assert set(found) == set(LABELS) & answered, "of what does not occur nothing is said"
    for label, metric in found.items():
        assert metric.value == pytest.approx(rows[label].f1)
        assert metric.low is None or metric.high is None or 0 <= metric.low <= metric.high <= 1


def test_a_stray_answer_of_a_class_without_gold_items_is_one_error() -> None:
    gold = ["bug", "feature"] * 30
    stray = [predicted(i, g, "question" if i == 0 else g) for i, g in enumerate(gold)]
    four = [predicted(i, g, "bug" if i in (1, 3, 5, 7) else g) for i, g in enumerate(gold)]
    assert value(classification(stray, resamples=0), "macro_f1") == pytest.approx(0.992, abs=5e-4)
    assert value(classification(four, resamples=0), "macro_f1") == pytest.approx(0.933, abs=5e-4)


@given(classified())
@settings(max_examples=30, deadline=None)
def test_the_tables_of_classes_are_those_of_scikit_learn(items: list[Prediction]) -> None:
    found, none = classification(items, resamples=0), len(LABELS)
    golds = [LABELS.index(str(item.gold)) for item in items]
    answers = [LABELS.index(str(i.answer)) if i.status is Status.OK else none for i in items]
    matrix = sk.confusion_matrix(golds, answers, labels=range(none + 1))[:-1]
    assert isinstance(found.confusion, Confusion)
    assert found.confusion.counts == tuple(map(tuple, matrix.tolist()))
    expected = sk.precision_recall_fscore_support(
        golds, answers, labels=range(none), zero_division=0.0
    )
    rows = [(row.precision, row.recall, row.f1, row.support) for row in found.per_class]
    assert rows == list(zip(*(column.tolist() for column in expected), strict=True))


def test_of_very_many_labels_the_pairs_that_occur_are_kept_and_read_again() -> None:
    labels = [*LABELS, *(f"label {i}" for i in range(MOST_DENSE))]
    items = [
        predicted(0, "bug", "feature"),
        predicted(1, "bug", None, Status.UNPARSED),
        predicted(2, "question", "question"),
        predicted(3, "question", "question"),
    ]
    found = score_cell("cell", "model", "classification", labels, items, resamples=0)
    assert isinstance(found.confusion, SparseConfusion)
    pairs = [("bug", "feature", 1), ("bug", "", 1), ("question", "question", 2)]
    places = {**{label: place for place, label in enumerate(labels)}, "": len(labels)}
    expected = sorted((places[gold], places[answer], count) for gold, answer, count in pairs)
    assert list(found.confusion.entries) == expected
    assert from_plain(CellScore, json.loads(json.dumps(plain_values(found))), "cell") == found


def test_confusion_has_a_column_for_no_answer() -> None:
    items = [
        predicted(0, "bug", "feature"),
        predicted(1, "bug", None, Status.UNPARSED),
        predicted(2, "question", "question"),
    ]
    confusion = classification(items, resamples=0).confusion
    assert isinstance(confusion, Confusion)
    assert confusion.labels == LABELS
    assert confusion.counts == ((1, 0, 0, 0), (0, 0, 1, 1), (0, 0, 0, 0))


@given(classified())
@settings(max_examples=30, deadline=None)
def test_reliability_bins_add_up_to_the_calibration_error(items: list[Prediction]) -> None:
    score = classification(items, resamples=0)
    answered = sum(item.status is Status.OK for item in items)
    assert sum(row.count for row in score.reliability) == answered
    assert all(row.low < row.mean_confidence <= row.high + 1e-9 for row in score.reliability)
    if answered:
        gaps = [row.count * abs(row.accuracy - row.mean_confidence) for row in score.reliability]
        assert value(score, "ece") == pytest.approx(sum(gaps) / answered)


def test_tokens_are_summed_and_shared_among_right_answers() -> None:
    items = [predicted(0, "bug", "bug"), predicted(1, "bug", None, Status.FAILED)]
    score = classification(items, resamples=0)
    assert (score.prompt_tokens, score.completion_tokens, score.tokens_evaluated) == (20, 4, 18)
    assert score.tokens_per_correct == 24.0


def test_one_approximated_item_makes_the_cell_inexact() -> None:
    items = [predicted(0, "bug", "bug"), predicted(1, "bug", "bug")]
    assert classification(items, resamples=0).exact
    rough = [items[0], dataclasses.replace(items[1], exact=False)]
    assert not classification(rough, resamples=0).exact


def test_numbers_are_scored_by_their_errors() -> None:
    items = [
        predicted(0, 3.0, 3.0),
        predicted(1, 2.1, 3.1),
        predicted(2, 8.0, 3.0),
        predicted(3, 1.0, None, Status.UNPARSED),
    ]
    score = score_cell("cell", "model", "number", (), items, resamples=50)
    assert value(score, "mae_answered") == pytest.approx(2.0)
    assert value(score, "median_ae_answered") == pytest.approx(1.0)
    # The median of the gold values is 2.55, so that the last item costs 1.55.
    assert value(score, "mae") == pytest.approx((0 + 1 + 5 + 1.55) / 4)
    assert value(score, "median_ae") == pytest.approx(1.275)
    trained = score_cell("cell", "model", "number", (), items, resamples=0, trivial=3.0)
    assert value(trained, "mae") == pytest.approx((0 + 1 + 5 + 2) / 4)
    assert value(score, "within_one") == 0.5
    errors = ["mae", "mae_answered", "median_ae", "median_ae_answered", "within_one"]
    assert list(score.metrics) == [*errors, "coverage", "conformance"]
    assert (score.per_class, score.confusion) == ((), None)


def test_fields_are_scored_each_and_together() -> None:
    items = [
        predicted(0, {"type": "bug", "priority": "high"}, {"type": "bug", "priority": "low"}),
        predicted(1, {"type": "bug"}, {"type": "bug", "priority": "low"}),
        predicted(2, {"type": "bug", "priority": "low"}, None, Status.UNPARSED),
    ]
    score = score_cell("cell", "model", "extraction", (), items, resamples=50)
    assert value(score, "exact_match") == pytest.approx(1 / 3)
    assert value(score, "field:type") == pytest.approx(2 / 3)
    assert value(score, "field:priority") == 0.0


@pytest.mark.parametrize(
    ("prediction", "kind", "expected"),
    [
        (predicted(0, "bug", "bug"), "classification", True),
        (predicted(0, "bug", "feature"), "classification", False),
        (predicted(0, "bug", None, Status.UNPARSED), "classification", None),
        (predicted(0, None, "bug"), "classification", None),
        (predicted(0, 3, 4.0), "number", True),
        (predicted(0, 3, 4.1), "number", False),
        (predicted(0, {"a": "1"}, {"a": "1", "b": "2"}), "extraction", True),
        (predicted(0, {"a": "1", "b": "2"}, {"a": "1"}), "extraction", False),
    ],
)
def test_right_is_said_of_answers_alone(
    prediction: Prediction, kind: TaskKind, expected: bool | None
) -> None:
    assert is_right(prediction, kind) is expected


@pytest.mark.parametrize(
    ("items", "kind", "message"),
    [
        ([], "classification", "no predictions"),
        ([predicted(0, None, "bug")], "classification", "no gold value"),
        ([predicted(0, "bug", "bug")] * 2, "classification", "predicted 2 times"),
        ([predicted(0, "other", "bug")], "classification", "gold value 'other'"),
        ([predicted(0, "bug", "other")], "classification", "answer 'other'"),
        ([predicted(0, "bug", None)], "classification", "answer None"),
        ([predicted(0, "bug", "bug", Status.OK, {"bug": 1.0})], "classification", "distribution"),
        (
            [predicted(0, "bug", "bug", Status.OK, dict.fromkeys(LABELS, 0.5))],
            "classification",
            "distribution",
        ),
        ([predicted(0, math.nan, 1.0)], "number", "gold value nan"),
        ([predicted(0, 1.0, "one")], "number", "answer 'one'"),
        ([predicted(0, {}, {})], "extraction", "names no field"),
        ([predicted(0, {"a": "1"}, "1")], "extraction", "not a set of fields"),
    ],
)
def test_what_can_not_be_scored_is_refused(
    items: list[Prediction], kind: TaskKind, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        score_cell("cell", "model", kind, LABELS, items)


def test_a_single_label_is_no_classification() -> None:
    with pytest.raises(ConfigError, match="two distinct labels"):
        score_cell("cell", "model", "classification", ("bug",), [predicted(0, "bug", "bug")])


def test_timings_are_percentiles_and_rates() -> None:
    seconds = (4.0, 1.0, 2.0, 3.0)
    rows = [TimedItem(s, s, tokens=10, cached=6, right=s < 3) for s in seconds]
    measured = timings("cell", rows)
    assert (measured.n, measured.p50_s, measured.total_s) == (4, 2.5, 10.0)
    assert measured.p95_s == pytest.approx(3.85)
    assert measured.seconds_per_correct == 5.0
    assert measured.tokens_per_s == 1.6
    assert (measured.tokens_read, measured.tokens_forwarded, measured.tokens_cached) == (40, 16, 24)


def test_where_it_is_not_known_what_was_cached_no_speed_is_shown() -> None:
    rows = [TimedItem(1.0, 1.0, 10, cached, right=True) for cached in (4, None)]
    measured = timings("cell", rows)
    assert (measured.tokens_read, measured.tokens_cached) == (20, None)
    assert (measured.tokens_forwarded, measured.tokens_per_s) == (None, None)


def test_timings_without_a_right_answer_or_any_time_stay_defined() -> None:
    measured = timings("cell", [TimedItem(0.0, 0.0, tokens=10, cached=0, right=None)])
    assert measured.seconds_per_correct is None
    assert measured.tokens_per_s is None
    with pytest.raises(DataError, match="no item"):
        timings("cell", [])
