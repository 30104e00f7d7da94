"""Facts about comparing two cells on the same items."""

import dataclasses
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from gateway.core.errors import ComparisonRefused, DataError
from gateway.core.types import Answer, TaskKind
from gateway.scoring.comparison import answer_text, compare, shown_answer
from gateway.scoring.results import Comparison, Prediction, Status
from gateway.scoring.scores import score_cell

LABELS = ("bug", "feature", "question")


def cell(name: str, golds: Sequence[Answer], answers: Sequence[Answer | None]) -> list[Prediction]:
    """A cell; an answer of None is an unparsed one."""
    return [
        Prediction(
            cell=name,
            item_id=f"{i:03}",
            status=Status.UNPARSED if answer is None else Status.OK,
            answer=answer,
            gold=gold,
        )
        for i, (gold, answer) in enumerate(zip(golds, answers, strict=True))
    ]


def compared(
    a: Sequence[Prediction],
    b: Sequence[Prediction],
    metric: str = "macro_f1",
    kind: TaskKind = "classification",
    resamples: int = 200,
) -> Comparison:
    return compare(a, b, task_kind=kind, labels=LABELS, metric=metric, resamples=resamples)


answers = st.sampled_from([*LABELS, None])
rows = st.lists(st.tuples(st.sampled_from(LABELS), answers, answers), min_size=1, max_size=30)
Rows = list[tuple[str, str | None, str | None]]


def two_cells(drawn: Rows) -> tuple[list[Prediction], list[Prediction]]:
    golds = [gold for gold, _, _ in drawn]
    return cell("a", golds, [a for _, a, _ in drawn]), cell("b", golds, [b for _, _, b in drawn])


@given(rows, st.sampled_from(["macro_f1", "accuracy", "coverage"]))
@settings(max_examples=25, deadline=None)
def test_identical_runs_differ_by_exactly_zero(drawn: Rows, metric: str) -> None:
    a, _ = two_cells(drawn)
    twin = [dataclasses.replace(item, cell="b") for item in a]
    result = compared(a, twin, metric)
    assert (result.difference.value, result.difference.low, result.difference.high) == (0, 0, 0)
    assert result.flips == ()
    assert result.p_value is None
    assert "nothing to test" in result.note


@given(rows)
@settings(max_examples=25, deadline=None)
def test_swapping_the_cells_swaps_the_result(drawn: Rows) -> None:
    a, b = two_cells(drawn)
    there, back = compared(a, b), compared(b, a)
    assert there.difference.value == -back.difference.value
    assert (there.only_a, there.only_b) == (back.only_b, back.only_a)
    assert there.p_value == back.p_value


@given(rows)
@settings(max_examples=25, deadline=None)
def test_the_difference_is_that_of_the_scores_and_the_counts_cover_all_items(drawn: Rows) -> None:
    a, b = two_cells(drawn)
    result = compared(a, b)
    scores = [
        score_cell(side[0].cell, "model", "classification", LABELS, side, resamples=0)
        .metrics["macro_f1"]
        .value
        for side in (a, b)
    ]
    assert result.difference.value == scores[0] - scores[1]
    total = result.both_right + result.only_a + result.only_b + result.both_wrong
    assert total == result.n == len(drawn)
    assert len(result.flips) == result.only_a + result.only_b
    assert [flip.item_id for flip in result.flips] == sorted(flip.item_id for flip in result.flips)


def test_the_order_of_arrival_changes_nothing() -> None:
    a = cell("a", ["bug"] * 9, ["bug", "feature", None] * 3)
    b = cell("b", ["bug"] * 9, ["bug"] * 9)
    assert compared(a[::-1], b) == compared(a, b[::-1])


def test_pairing_makes_the_interval_of_a_steady_gain_narrow() -> None:
    golds = ["bug"] * 200
    b = ["bug" if i % 2 else "feature" for i in range(200)]
    a = ["bug" if i < 20 else answer for i, answer in enumerate(b)]
    first, second = cell("a", golds, a), cell("b", golds, b)
    difference = compared(first, second, "accuracy").difference
    assert difference.value == pytest.approx(0.05)
    assert difference.low is not None
    assert difference.low > 0
    alone = score_cell("a", "model", "classification", LABELS, first).metrics["accuracy"]
    other = score_cell("b", "model", "classification", LABELS, second).metrics["accuracy"]
    assert alone.low is not None
    assert alone.low < other.value


@pytest.mark.parametrize(("only_a", "only_b"), [(6, 0), (10, 2), (7, 7)])
def test_mcnemar_is_the_exact_binomial_test_of_the_flips(only_a: int, only_b: int) -> None:
    n = only_a + only_b + 5
    a = cell("a", ["bug"] * n, ["bug"] * only_a + ["feature"] * only_b + ["bug"] * 5)
    b = cell("b", ["bug"] * n, ["feature"] * only_a + ["bug"] * only_b + ["bug"] * 5)
    result = compared(a, b)
    assert result.test == "exact McNemar"
    assert result.p_value == pytest.approx(binomtest(only_a, only_a + only_b).pvalue)
    assert result.note == ""


def test_fewer_than_six_flips_decide_nothing() -> None:
    result = compared(cell("a", ["bug"] * 5, ["bug"] * 5), cell("b", ["bug"] * 5, [None] * 5))
    assert result.p_value is None
    assert "only 5 items" in result.note


def test_an_abstention_is_not_right_and_is_shown_as_its_status() -> None:
    a, b = cell("a", ["bug", "bug"], ["bug", None]), cell("b", ["bug", "bug"], [None, None])
    result = compared(a, b)
    assert (result.only_a, result.both_wrong) == (1, 1)
    (flip,) = result.flips
    assert (flip.item_id, flip.gold, flip.a, flip.b) == ("000", "bug", "bug", "[unparsed]")


def test_fields_are_compared_by_exact_match() -> None:
    golds = [{"type": "bug", "area": "ui"}] * 8
    a = cell("a", golds, golds)
    b = cell("b", golds, [{"type": "bug", "area": "db"}] * 8)
    result = compared(a, b, "exact_match", "extraction")
    assert result.difference.value == 1.0
    assert result.p_value is not None
    assert result.p_value < 0.05
    assert result.flips[0].b == "area=db, type=bug"


def test_numbers_are_tested_by_signed_ranks_of_their_errors() -> None:
    golds = [float(i) for i in range(20)]
    a = cell("a", golds, [gold + 0.1 for gold in golds])
    b = cell("b", golds, [gold - 3 - gold / 10 for gold in golds])
    result = compared(a, b, "mae", "number")
    assert result.test == "Wilcoxon signed-rank"
    assert result.p_value is not None
    assert result.p_value < 0.001
    assert result.difference.high is not None
    assert result.difference.high < 0
    assert result.only_a == 20


@given(
    st.lists(
        st.tuples(st.integers(0, 13), st.integers(0, 13), st.integers(0, 13)),
        min_size=1,
        max_size=40,
    )
)
@settings(max_examples=40, deadline=None)
def test_any_numbers_give_a_p_value_or_a_reason(drawn: list[tuple[int, int, int]]) -> None:
    golds = [gold for gold, _, _ in drawn]
    result = compared(
        cell("a", golds, [a for _, a, _ in drawn]),
        cell("b", golds, [b for _, _, b in drawn]),
        "mae",
        "number",
        resamples=20,
    )
    assert (result.p_value is None) == bool(result.note)
    assert result.p_value is None or 0.0 <= result.p_value <= 1.0


def test_six_smaller_errors_have_their_exact_p_value_however_many_are_equal() -> None:
    golds = [0.0] * 60
    a, b = cell("a", golds, [1.0] * 60), cell("b", golds, [2.0] * 6 + [1.0] * 54)
    assert compared(a, b, "mae", "number").p_value == pytest.approx(2 * 0.5**6)


def test_equal_errors_on_both_sides_of_the_gold_value_are_no_difference() -> None:
    golds = [0.3 * i for i in range(20)]
    a, b = [gold + 0.1 for gold in golds], [gold - 0.1 for gold in golds]
    result = compared(cell("a", golds, a), cell("b", golds, b), "mae", "number")
    assert result.p_value is None
    assert "nothing to test" in result.note


def test_errors_are_compared_where_both_answered() -> None:
    golds = [0.0] * 10
    a = cell("a", golds, [1.0] * 2 + [None] * 8)
    b = cell("b", golds, [1.0] * 2 + [9.0] * 8)
    result = compared(a, b, "mae", "number")
    assert result.difference.value == 0.0
    assert "2 items that both answered" in result.note
    assert "8 items" in result.note


def test_a_metric_on_answers_is_refused_where_no_item_has_two() -> None:
    a, b = cell("a", [0.0, 0.0], [1.0, None]), cell("b", [0.0, 0.0], [None, 1.0])
    with pytest.raises(ComparisonRefused, match="no item was answered by both"):
        compared(a, b, "mae", "number")


def test_a_metric_that_a_cell_lacks_is_refused_with_those_it_has() -> None:
    a, b = cell("a", ["bug"], ["bug"]), cell("b", ["bug"], ["bug"])
    with pytest.raises(ComparisonRefused, match="a has no metric 'log_loss'") as caught:
        compared(a, b, "log_loss")
    assert "macro_f1" in caught.value.hint


def test_other_items_are_refused_by_name_and_number() -> None:
    a, b = cell("a", ["bug"] * 9, ["bug"] * 9), cell("b", ["bug"] * 9, ["bug"] * 9)
    message = r"4 only in a \(000, 001, 002, \.\.\.\); 1 only in b \(008\)"
    with pytest.raises(ComparisonRefused, match=message):
        compared(a[:8], b[4:])


def test_other_gold_values_are_refused_by_name_and_number() -> None:
    a = cell("a", ["bug", "bug"], ["bug", "bug"])
    b = cell("b", ["bug", "feature"], ["bug", "bug"])
    with pytest.raises(ComparisonRefused, match=r"different gold values: 1 differ \(001\)"):
        compared(a, b)


def test_predictions_of_several_cells_are_no_cell() -> None:
    mixed = [
        *cell("a", ["bug"], ["bug"]),
        *[dataclasses.replace(item, item_id="x") for item in cell("b", ["bug"], ["bug"])],
    ]
    with pytest.raises(DataError, match="several cells"):
        compared(mixed, mixed)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [(None, ""), ("bug", "bug"), (3.0, "3"), (2.5, "2.5"), ({"b": "2", "a": "1"}, "a=1, b=2")],
)
def test_an_answer_is_shown_as_a_person_writes_it(answer: Answer | None, expected: str) -> None:
    assert answer_text(answer) == expected


def test_a_status_is_shown_in_brackets() -> None:
    (item,) = cell("a", ["bug"], [None])
    assert shown_answer(item) == "[unparsed]"


def test_items_whose_scores_are_bounds_are_counted_beside_the_difference() -> None:
    golds: list[Answer] = ["bug", "feature", "bug"]
    exact = cell("x", golds, ["bug", "feature", "bug"])
    bounds = [replace(p, exact=i > 0) for i, p in enumerate(cell("y", golds, ["bug"] * 3))]
    assert "bounds, not exact: 0 of a, 1 of b" in compared(exact, bounds).note
    assert "bounds" not in compared(exact, exact).note
