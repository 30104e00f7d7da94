"""Facts about where cells part, and what a cell keeps of its reference."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy
from sklearn.metrics import recall_score

from gateway.core.errors import ComparisonRefused, DataError
from gateway.core.types import Answer
from gateway.scoring.flips import (
    CellAnswer,
    Distributions,
    KeptAnswers,
    answer_text,
    differing,
    kept_answers,
    shown_answer,
)
from gateway.scoring.results import Prediction, Status
from gateway.scoring.scores import score_cell
from tests.scoring.cells import LABELS, Rows, cell, rows, two_cells

Shares = tuple[float, float, float]


def scored(name: str, golds: Sequence[str], shares: Sequence[Shares]) -> list[Prediction]:
    """A cell that answers the most probable label, the first of equals."""
    return [
        Prediction(
            name,
            f"{i:03}",
            Status.OK,
            LABELS[row.index(max(row))],
            gold,
            dict(zip(LABELS, row, strict=True)),
        )
        for i, (gold, row) in enumerate(zip(golds, shares, strict=True))
    ]


def compared(reference: Sequence[Prediction], other: Sequence[Prediction]) -> KeptAnswers:
    return kept_answers(reference, other, task_kind="classification", labels=LABELS)


def moved(golds: Sequence[str], p: Sequence[Shares], q: Sequence[Shares]) -> Distributions:
    found = compared(scored("a", golds, p), scored("b", golds, q)).distributions
    assert found is not None
    return found


def normal(raw: tuple[int, int, int]) -> Shares:
    total = sum(raw)
    return raw[0] / total, raw[1] / total, raw[2] / total


distributions = st.tuples(*[st.integers(1, 50)] * 3).map(normal)
items = st.lists(
    st.tuples(st.sampled_from(LABELS), distributions, distributions), min_size=1, max_size=20
)


@given(rows())
@settings(max_examples=30, deadline=None)
def test_every_changed_answer_is_lost_won_or_wrong_both_times(drawn: Rows) -> None:
    result = compared(*two_cells(drawn))
    assert result.changed == sum(a != b for _, a, b in drawn)
    assert result.right_to_wrong == sum(a == gold != b for gold, a, b in drawn)
    assert result.wrong_to_right == sum(b == gold != a for gold, a, b in drawn)
    assert result.wrong_to_wrong == sum(a != b and gold not in (a, b) for gold, a, b in drawn)
    assert sum(row.right_to_wrong for row in result.classes) == result.right_to_wrong
    assert sum(row.wrong_to_right for row in result.classes) == result.wrong_to_right


@given(rows())
@settings(max_examples=30, deadline=None)
def test_recall_of_a_class_is_that_of_scikit_learn(drawn: Rows) -> None:
    result = compared(*two_cells(drawn))
    golds = [gold for gold, _, _ in drawn]
    for side, name in ((1, "recall_reference"), (2, "recall")):
        answers = [row[side] or "none" for row in drawn]
        expected = recall_score(golds, answers, labels=LABELS, average=None, zero_division=np.nan)
        for row, value in zip(result.classes, expected, strict=True):
            found = getattr(row, name)
            assert found == (None if math.isnan(value) else pytest.approx(value))
            assert row.support == golds.count(row.label)


@given(items)
@settings(max_examples=40, deadline=None)
def test_divergence_is_scipy_s_and_calibration_that_of_the_score(
    drawn: list[tuple[str, Shares, Shares]],
) -> None:
    golds, p, q = [g for g, _, _ in drawn], [x for _, x, _ in drawn], [y for _, _, y in drawn]
    found = moved(golds, p, q)
    assert found.kl_mean == pytest.approx(float(np.mean(entropy(p, q, axis=1))), abs=1e-12)
    for value, name, shares in ((found.ece_reference, "a", p), (found.ece, "b", q)):
        cell_score = score_cell(
            name, "model", "classification", LABELS, scored(name, golds, shares), resamples=0
        )
        assert value == pytest.approx(cell_score.metrics["ece"].value)
    assert found.ece_change == found.ece - found.ece_reference


def test_a_margin_is_followed_in_the_reference_s_two_labels() -> None:
    found = moved(
        ["bug", "bug"], [(0.6, 0.3, 0.1), (0.5, 0.25, 0.25)], [(0.3, 0.6, 0.1), (0.5, 0.25, 0.25)]
    )
    assert found.margin_reference == pytest.approx(math.log(2))
    assert found.margin_change == pytest.approx((-2 * math.log(2) + 0) / 2)
    assert (found.margin_turned, found.margin_undefined, found.moved) == (1, 0, 1)


def test_a_label_that_is_ruled_out_is_counted_and_in_no_mean() -> None:
    found = moved(
        ["bug", "bug"],
        [(0.5, 0.5, 0.0), (0.5, 0.3, 0.2)],
        [(1.0, 0.0, 0.0), (0.5, 0.3, 0.2)],
    )
    assert (found.kl_infinite, found.kl_mean) == (1, 0.0)
    assert (found.margin_undefined, found.margin_change) == (1, 0.0)
    alone = moved(["bug"], [(0.5, 0.5, 0.0)], [(1.0, 0.0, 0.0)])
    assert (alone.kl_mean, alone.margin_change, alone.margin_reference) == (None, None, None)


def test_a_cell_is_identical_to_itself_and_the_last_bit_is_a_difference() -> None:
    a = scored("a", ["bug", "feature"], [(0.5, 0.3, 0.2), (0.1, 0.8, 0.1)])
    twin = [replace(item, cell="b") for item in a]
    assert compared(a, twin).identical
    shares = {**(a[0].probabilities or {}), "bug": math.nextafter(0.5, 1.0)}
    assert not compared(a, [replace(twin[0], probabilities=shares), twin[1]]).identical


def test_another_status_is_a_change_though_neither_has_an_answer() -> None:
    a, b = cell("a", ["bug"], [None]), cell("b", ["bug"], [None])
    result = compared(a, [replace(b[0], status=Status.FAILED)])
    assert (result.changed, result.wrong_to_wrong, result.identical) == (1, 1, False)


def test_items_without_probabilities_in_both_cells_are_counted() -> None:
    a = scored("a", ["bug", "bug"], [(0.5, 0.3, 0.2)] * 2)
    b = scored("b", ["bug", "bug"], [(0.5, 0.3, 0.2)] * 2)
    some = compared(a, [b[0], replace(b[1], probabilities=None)])
    assert some.without_probabilities == 1
    assert some.distributions is not None
    assert some.distributions.n == 1
    none = compared(a, [replace(item, probabilities=None) for item in b])
    assert (none.distributions, none.without_probabilities) == (None, 2)


def test_bounds_behind_the_probabilities_are_said() -> None:
    a = scored("a", ["bug"], [(0.5, 0.3, 0.2)])
    b = [replace(item, cell="b", exact=False) for item in a]
    found = compared(a, b).distributions
    assert found is not None
    assert not found.exact


def test_a_task_without_labels_has_flips_and_no_more() -> None:
    a, b = cell("a", [1.0, 5.0], [1.0, 5.0]), cell("b", [1.0, 5.0], [1.5, 9.0])
    result = kept_answers(a, b, task_kind="number", labels=())
    assert (result.changed, result.right_to_wrong, result.classes) == (2, 1, ())
    assert result.distributions is None


def test_other_items_and_probabilities_that_are_none_are_refused() -> None:
    a = scored("a", ["bug"], [(0.5, 0.3, 0.2)])
    with pytest.raises(ComparisonRefused, match="different items"):
        compared(a, [replace(a[0], cell="b", item_id="other")])
    wrong = [replace(a[0], cell="b", probabilities={"bug": 1.0})]
    with pytest.raises(DataError, match="not a distribution"):
        compared(a, wrong)


def test_an_item_is_listed_where_any_two_cells_part_with_what_each_said() -> None:
    golds = ["bug", "bug", "bug"]
    a, b = cell("a", golds, ["bug", "bug", None]), cell("b", golds, ["bug", "feature", None])
    (found,) = differing([a, b], "classification", {"0001": "it crashes"})
    assert (found.item_id, found.gold, found.excerpt) == ("0001", "bug", "it crashes")
    assert found.said == {
        "a": CellAnswer("bug", right=True),
        "b": CellAnswer("feature", right=False),
    }


def test_an_abstention_is_not_right_and_is_shown_as_its_status() -> None:
    a, b = cell("a", ["bug"], ["bug"]), cell("b", ["bug"], [None])
    (found,) = differing([a, b], "classification")
    assert found.said["b"] == CellAnswer("[unparsed]", right=False)


@given(st.lists(st.tuples(*[st.sampled_from([0.0, 0.1, 0.3, 0.3, 1.0])] * 3), min_size=1))
@settings(max_examples=30, deadline=None)
def test_probabilities_and_leads_of_many_are_those_of_each(drawn: list[Shares]) -> None:
    golds = ["bug"] * len(drawn)
    answers = [LABELS[n % 3] for n in range(len(drawn))]
    items = scored("a", golds, drawn)
    items = [replace(item, answer=a) for item, a in zip(items, answers, strict=True)]
    other = cell("b", golds, [None] * len(drawn))
    other = [replace(b, item_id=a.item_id) for a, b in zip(items, other, strict=True)]
    found = differing([items, other], "classification")
    assert len(found) == len(drawn)
    for flip, item in zip(found, items, strict=True):
        shares = dict(item.probabilities or {})
        own = shares.pop(str(item.answer))
        said = CellAnswer(str(item.answer), item.answer == "bug", own, own - max(shares.values()))
        assert flip.said["a"] == said


def test_a_scored_answer_comes_with_its_lead_over_the_next_label() -> None:
    a, b = scored("a", ["bug"], [(0.5, 0.3, 0.2)]), scored("b", ["bug"], [(0.1, 0.8, 0.1)])
    (found,) = differing([a, b], "classification")
    said = found.said["a"]
    assert (said.answer, said.right, said.probability) == ("bug", True, 0.5)
    assert said.lead == pytest.approx(0.2)


def test_answers_that_look_alike_are_two_answers_and_one_is_wrong() -> None:
    gold: Answer = {"component": "core, type=bug"}
    looks_alike: Answer = {"component": "core", "type": "bug"}
    (found,) = differing(
        [cell("a", [gold], [gold]), cell("b", [gold], [looks_alike])], "extraction"
    )
    assert found.said["a"].answer == found.said["b"].answer == found.gold
    assert (found.said["a"].right, found.said["b"].right) == (True, False)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [(None, ""), ("bug", "bug"), (3.0, "3"), (2.5, "2.5"), ({"b": "2", "a": "1"}, "a=1, b=2")],
)
def test_an_answer_is_shown_as_a_person_writes_it(answer: Answer | None, expected: str) -> None:
    assert answer_text(answer) == expected


def test_a_status_is_shown_in_brackets() -> None:
    (item,) = cell("a", ["bug"], [None])
    assert shown_answer(item) == "[unparsed]"
