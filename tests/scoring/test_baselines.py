"""Facts about the baselines, on small texts and on the real issue reports."""

import csv
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from gateway.core.errors import DataError
from gateway.core.types import Answer, TaskKind
from gateway.scoring.arrays import FloatArray
from gateway.scoring.baselines import (
    Example,
    against_baselines,
    all_baselines,
    encoder_baseline,
    simple_baseline,
    tfidf_baseline,
)
from gateway.scoring.results import AgainstBaseline, Prediction, Status, Verdict
from gateway.scoring.scores import score_cell

LABELS = ("question", "bug", "feature")
REPORTS = Path(__file__).parents[3] / "shared" / "data" / "issue-reports"


def examples(*rows: tuple[str, Answer | None]) -> list[Example]:
    return [Example(f"{i:03}", text, gold) for i, (text, gold) in enumerate(rows)]


TRAIN = examples(
    *[(f"the app crashes with error number {i}", "bug") for i in range(6)],
    *[(f"please add support for format {i}", "feature") for i in range(5)],
)
TEST = examples(("it crashes with an error", "bug"), ("please add support", "feature"))


def answers(predictions: Sequence[Prediction]) -> list[Answer | None]:
    return [item.answer for item in predictions]


def test_majority_answers_the_most_frequent_label_with_its_frequencies() -> None:
    first, second = simple_baseline("classification", LABELS, TRAIN, TEST)
    assert (first.cell, first.answer, second.answer) == ("baseline:majority", "bug", "bug")
    assert first.probabilities == {"question": 0.0, "bug": 6 / 11, "feature": 5 / 11}
    assert (first.item_id, first.gold, first.status) == ("000", "bug", Status.OK)


def test_equally_frequent_labels_go_by_label_order() -> None:
    train = examples(("a", "feature"), ("b", "bug"))
    assert answers(simple_baseline("classification", LABELS, train, TEST)) == ["bug", "bug"]


def test_words_decide_the_linear_model() -> None:
    predictions = tfidf_baseline("classification", LABELS, TRAIN, TEST)
    assert answers(predictions) == ["bug", "feature"]
    assert predictions[0].cell == "baseline:tfidf-logreg"


def test_a_label_without_training_items_gets_probability_zero() -> None:
    (first, _) = tfidf_baseline("classification", LABELS, TRAIN, TEST)
    assert first.probabilities is not None
    assert list(first.probabilities) == list(LABELS)
    assert first.probabilities["question"] == 0.0
    assert sum(first.probabilities.values()) == pytest.approx(1.0)


def test_training_order_does_not_change_the_answers() -> None:
    shuffled = TRAIN.copy()
    random.Random(0).shuffle(shuffled)  # noqa: S311
    assert answers(tfidf_baseline("classification", LABELS, shuffled, TEST)) == ["bug", "feature"]


def test_the_linear_model_is_the_same_every_time() -> None:
    runs = [tfidf_baseline("classification", LABELS, TRAIN, TEST) for _ in range(2)]
    assert runs[0] == runs[1]


def test_one_class_in_training_is_answered_with_certainty() -> None:
    (first, _) = tfidf_baseline("classification", LABELS, TRAIN[:6], TEST)
    assert first.answer == "bug"
    assert first.probabilities == {"question": 0.0, "bug": 1.0, "feature": 0.0}


def test_without_any_word_the_linear_model_knows_frequencies_only() -> None:
    train = examples(*[("?!", "bug")] * 6, *[("", "feature")] * 3)
    (first, _) = tfidf_baseline("classification", LABELS, train, TEST)
    assert first.answer == "bug"
    assert first.probabilities is not None
    assert first.probabilities["bug"] == pytest.approx(2 / 3, abs=1e-3)


def test_numbers_have_the_median_and_a_ridge() -> None:
    train = examples(
        *[("tiny typo in a page", 1.0)] * 5, *[("rewrite the whole scheduler", 13.0)] * 4
    )
    test = examples(("a typo", 1.0), ("rewrite the scheduler", 13.0))
    cells = all_baselines("number", (), train, test)
    assert list(cells) == ["baseline:median", "baseline:tfidf-ridge"]
    assert answers(cells["baseline:median"]) == [1.0, 1.0]
    small, large = (item.answer for item in cells["baseline:tfidf-ridge"])
    assert isinstance(small, float)
    assert isinstance(large, float)
    mean = (5 * 1.0 + 4 * 13.0) / 9
    assert small < mean < large


def lengths_and_words(texts: Sequence[str]) -> FloatArray:
    """Stands for an encoder: one number for each of a few words."""
    words = ("crash", "add", "typo", "scheduler", "button", "table")
    return np.array([[float(word in text) for word in words] for text in texts])


def test_an_encoder_is_a_baseline_more() -> None:
    cells = all_baselines("classification", LABELS, TRAIN, TEST, lengths_and_words)
    assert list(cells) == ["baseline:majority", "baseline:tfidf-logreg", "baseline:encoder-logreg"]
    first, second = cells["baseline:encoder-logreg"]
    assert (first.answer, second.answer) == ("bug", "feature")
    assert first.probabilities is not None
    assert first.probabilities["question"] == 0.0
    assert sum(first.probabilities.values()) == pytest.approx(1.0)


def test_an_encoder_reads_each_text_once() -> None:
    asked: list[str] = []

    def encode(texts: Sequence[str]) -> FloatArray:
        asked.extend(texts)
        return lengths_and_words(texts)

    train = examples(
        *[("the button crashes", {"type": "bug", "area": "ui"})] * 3,
        *[("please add a table", {"type": "feature", "area": "db"})] * 2,
    )
    test = examples(("the button crashes", None), ("add a table", None))
    cell = encoder_baseline("extraction", (), train, test, encode)
    assert answers(cell) == [{"area": "ui", "type": "bug"}, {"area": "db", "type": "feature"}]
    assert sorted(asked) == ["add a table", "please add a table", "the button crashes"]


def test_numbers_have_a_ridge_on_vectors_too() -> None:
    train = examples(("tiny typo", 1.0), ("a typo", 2.0), ("rewrite the scheduler", 13.0))
    test = examples(("one typo", 1.0), ("the scheduler", 13.0))
    cells = all_baselines("number", (), train, test, lengths_and_words)
    assert list(cells)[-1] == "baseline:encoder-ridge"
    small, large = (item.answer for item in cells["baseline:encoder-ridge"])
    assert isinstance(small, float)
    assert isinstance(large, float)
    assert small < large


def test_fields_are_learnt_one_by_one() -> None:
    train = examples(
        *[("the button crashes", {"type": "bug", "area": "ui"})] * 3,
        *[("the table is slow", {"type": "bug"})] * 2,
        *[("please add a column to the table", {"type": "feature", "area": "db"})] * 2,
    )
    test = examples(("a button crashes", None), ("add a column to the table", None))
    cells = all_baselines("extraction", (), train, test)
    assert answers(cells["baseline:majority"]) == [{"area": "ui", "type": "bug"}] * 2
    assert answers(cells["baseline:tfidf-logreg"]) == [
        {"area": "ui", "type": "bug"},
        {"area": "db", "type": "feature"},
    ]


def test_nothing_to_predict_gives_nothing() -> None:
    assert all_baselines("classification", LABELS, TRAIN, []) == {}
    assert all_baselines("number", (), examples(("a", 1.0)), []) == {}


@given(
    st.lists(st.tuples(st.text(max_size=30), st.sampled_from(LABELS)), min_size=1, max_size=12),
    st.lists(st.text(max_size=30), min_size=1, max_size=4),
)
@settings(max_examples=25, deadline=None)
def test_any_texts_can_be_learnt_and_scored(train: list[tuple[str, str]], test: list[str]) -> None:
    asked = examples(*[(text, "bug") for text in test])
    for name, cell in all_baselines("classification", LABELS, examples(*train), asked).items():
        score = score_cell(name, "baseline", "classification", LABELS, cell, resamples=5)
        assert score.metrics["coverage"].value == 1.0


@pytest.mark.parametrize(
    ("kind", "train", "message"),
    [
        ("classification", [], "labelled training items"),
        ("classification", examples(("a", "other")), "'other' of training item '000'"),
        ("classification", examples(("a", None)), "not a label"),
        ("number", examples(("a", "3")), "not a finite number"),
        ("extraction", examples(("a", "bug")), "not a set of fields"),
    ],
)
def test_training_data_that_does_not_fit_is_refused(
    kind: TaskKind, train: list[Example], message: str
) -> None:
    for baseline in (simple_baseline, tfidf_baseline):
        with pytest.raises(DataError, match=message):
            baseline(kind, LABELS, train, TEST)


# Verdicts


def cell(name: str, correct: Sequence[bool | None]) -> list[Prediction]:
    """Two-class cell; None is an unparsed answer."""
    return [
        Prediction(
            cell=name,
            item_id=f"{i:03}",
            status=Status.UNPARSED if right is None else Status.OK,
            answer=None if right is None else ("bug" if right else "feature"),
            gold="bug",
        )
        for i, right in enumerate(correct)
    ]


def judged(model: Sequence[bool | None], baseline: Sequence[bool | None]) -> AgainstBaseline:
    (found,) = against_baselines(
        cell("model", model),
        {"baseline:majority": cell("baseline:majority", baseline)},
        task_kind="classification",
        labels=LABELS,
        metric="accuracy",
        resamples=300,
    )
    return found


def test_a_clear_gain_beats_the_baseline() -> None:
    found = judged([True] * 40, [True] * 20 + [False] * 20)
    assert (found.baseline, found.verdict) == ("baseline:majority", Verdict.BETTER)
    assert found.difference is not None
    assert found.difference.value == 0.5


def test_a_clear_loss_is_worse() -> None:
    assert judged([None] * 20 + [True] * 20, [True] * 40).verdict is Verdict.WORSE


def test_a_gain_that_may_be_luck_shows_nothing() -> None:
    lucky = judged([True] * 10 + [False] * 9 + [True] * 21, [False] * 10 + [True] * 30)
    assert lucky.verdict is Verdict.NOT_TOLD_APART
    assert judged([True] * 21 + [False] * 19, [True] * 20 + [False] * 20).verdict is Verdict.TOO_FEW


def test_a_lower_error_is_the_better_one() -> None:
    def estimates(name: str, error: float) -> list[Prediction]:
        return [
            Prediction(name, f"{i:03}", Status.OK, answer=i + error, gold=float(i))
            for i in range(20)
        ]

    found = against_baselines(
        estimates("model", 2.0),
        {"far": estimates("far", 3.0), "near": estimates("near", 1.0)},
        task_kind="number",
        labels=(),
        metric="mae",
        resamples=50,
    )
    assert [each.verdict for each in found] == [Verdict.BETTER, Verdict.WORSE]


def test_what_can_not_be_compared_says_why() -> None:
    (found,) = against_baselines(
        cell("model", [True]),
        {"b": cell("b", [True, True])},
        task_kind="classification",
        labels=LABELS,
        metric="accuracy",
    )
    assert (found.verdict, found.difference) == (Verdict.NOT_COMPARED, None)
    assert found.why.startswith("the cells saw different items")


# Real data


def read(name: str) -> list[Example]:
    path = REPORTS / name
    if not path.exists():
        pytest.skip(f"the issue reports are not at {path}")
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Example(f"{i:04}", f"{row['title']}\n{row['body']}", row["label"])
            for i, row in enumerate(csv.DictReader(file))
        ]


def test_the_number_of_threads_does_not_change_a_bit() -> None:
    train, test = read("train.csv"), read("test.csv")[:100]
    runs = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            runs.append(tfidf_baseline("classification", LABELS, train, test))
    assert runs[0] == runs[1]


def test_on_real_issue_reports_words_are_a_strong_baseline() -> None:
    cells = all_baselines("classification", LABELS, read("train.csv"), read("test.csv"))
    scores = {
        name: score_cell(name, "baseline", "classification", LABELS, cell, resamples=200).metrics
        for name, cell in cells.items()
    }
    assert scores["baseline:majority"]["macro_f1"].value == pytest.approx(1 / 6)
    assert 0.74 < scores["baseline:tfidf-logreg"]["macro_f1"].value < 0.80
    (found,) = against_baselines(
        cells["baseline:tfidf-logreg"],
        {"baseline:majority": cells["baseline:majority"]},
        task_kind="classification",
        labels=LABELS,
        metric="macro_f1",
        resamples=200,
    )
    assert found.verdict is Verdict.BETTER
