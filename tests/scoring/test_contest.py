"""Facts about all that is asked of two cells."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings

from gateway.core.errors import ComparisonRefused
from gateway.scoring.contest import Comparison, Contest, all_pairs, contest, one_by_one
from gateway.scoring.family import holm
from gateway.scoring.power import items_needed
from gateway.scoring.proportions import score_interval
from gateway.scoring.results import Metric, Prediction, Verdict
from gateway.scoring.scores import score_cell
from gateway.scoring.sequential import Decision
from tests.scoring.cells import LABELS, Rows, cell, rows, two_cells


def held(
    drawn: Rows, metric: str = "macro_f1", margin: float | None = 0.05, seed: int = 0
) -> Contest:
    a, b = two_cells(drawn)
    return contest(
        a,
        b,
        task_kind="classification",
        labels=LABELS,
        metric=metric,
        margin=margin,
        seed=seed,
        resamples=300,
        permutations=300,
    )


def ladder(only_a: int, only_b: int, both: int) -> Rows:
    """Classes in turn, so that macro-F1 follows accuracy."""
    kinds = ["a"] * only_a + ["b"] * only_b + ["both"] * both
    rows: Rows = []
    for i, kind in enumerate(kinds):
        gold, other = LABELS[i % 3], LABELS[(i + 1) % 3]
        rows.append((gold, other if kind == "b" else gold, other if kind == "a" else gold))
    return rows


def test_a_clear_winner_wins_in_every_way() -> None:
    result = held(ladder(60, 9, 120))
    assert result.difference.low is not None
    assert result.difference.low > 0
    assert result.permutation.p_value is not None
    assert result.permutation.p_value < 0.01
    assert result.mcnemar.p_value is not None
    assert result.mcnemar.p_value < 0.01
    assert result.sequential is not None
    assert result.sequential.decision is Decision.A_BETTER
    assert result.equivalence is not None
    assert result.equivalence.not_worse
    assert not result.equivalence.equivalent
    assert result.evidence == result.difference
    assert result.method == "widened percentile bootstrap"
    assert result.alone.verdict is Verdict.BETTER
    assert held(ladder(9, 60, 120)).alone.verdict is Verdict.WORSE


def test_a_cell_against_itself_has_no_flips_and_zero_difference() -> None:
    result = held(ladder(0, 0, 150))
    assert (result.differing, result.mcnemar.discordant) == (0, 0)
    assert result.difference == Metric(0.0)
    assert result.permutation.p_value is None
    assert result.power is not None
    assert result.power.smallest is None


def test_where_few_items_differ_accuracy_stands_in_for_macro_f1() -> None:
    result = held(ladder(2, 1, 297))
    assert result.evidence == score_interval(2, 1, 300)
    assert result.alone.verdict is Verdict.TOO_FEW
    assert result.equivalence is not None
    assert (result.equivalence.metric, result.equivalence.equivalent) == ("accuracy", True)
    assert result.power is not None
    assert result.power.smallest is None


def test_accuracy_is_compared_by_its_score_test_however_many_items_differ() -> None:
    result = held(ladder(30, 10, 160), "accuracy")
    assert result.evidence == score_interval(30, 10, 200)
    assert result.equivalence is not None
    assert result.equivalence.method is None


def test_errors_that_differ_on_few_items_are_no_evidence() -> None:
    golds = [1.0] * 40
    a, b = cell("a", golds, [1.0] * 40), cell("b", golds, [3.0] + [1.0] * 39)
    result = contest(a, b, task_kind="number", labels=(), metric="mae", margin=0.5, resamples=100)
    assert result.evidence is None
    assert result.equivalence is not None
    assert result.equivalence.rests_on_few
    assert result.sequential is not None
    assert result.sequential.margin is None, "an error is no share of right answers"


def test_where_less_is_better_the_smaller_error_is_the_better_verdict() -> None:
    golds = [1.0] * 40
    a, b = cell("a", golds, [2.0] * 40), cell("b", golds, [4.0, 5.0] * 20)
    result = contest(a, b, task_kind="number", labels=(), metric="mae", resamples=100)
    assert result.difference.value == -2.5
    assert result.alone.verdict is Verdict.BETTER


def test_without_a_margin_there_is_no_claim_of_equivalence() -> None:
    result = held(ladder(10, 10, 100), margin=None)
    assert result.equivalence is None
    assert result.needed is None
    assert result.sequential is not None
    assert result.sequential.margin is None


def test_how_many_items_the_margin_takes_is_known_from_the_spread() -> None:
    drawn = ladder(10, 10, 100)
    assert held(drawn, "accuracy").needed == items_needed(0.05, 20 / 120)
    by_spread = held(drawn)
    assert by_spread.power is not None
    assert by_spread.power.smallest is not None
    assert by_spread.needed == pytest.approx(120 * (by_spread.power.smallest / 0.05) ** 2, abs=1)
    assert held(ladder(2, 1, 97)).needed is None, "too few items differ"


def test_items_whose_scores_are_bounds_are_counted() -> None:
    a, b = two_cells(ladder(1, 1, 1))
    bounds = [replace(item, exact=i > 0) for i, item in enumerate(b)]
    found = contest(a, bounds, task_kind="classification", labels=LABELS, metric="accuracy")
    assert found.inexact == (0, 1)


@given(rows())
@settings(max_examples=15, deadline=None)
def test_the_difference_is_that_of_the_scores(drawn: Rows) -> None:
    a, b = two_cells(drawn)
    scores = [
        score_cell(side[0].cell, "model", "classification", LABELS, side, resamples=0)
        .metrics["macro_f1"]
        .value
        for side in (a, b)
    ]
    assert held(drawn).difference.value == scores[0] - scores[1]


def test_pairing_makes_the_interval_of_a_steady_gain_narrow() -> None:
    steady = held(ladder(10, 0, 190), "accuracy").difference
    assert steady.value == pytest.approx(0.05)
    assert steady.low is not None
    assert steady.low > 0


def test_the_order_of_arrival_changes_nothing() -> None:
    a, b = two_cells(ladder(7, 2, 20))
    (found,), (turned,) = paired(a[::-1], b), paired(a, b[::-1])
    assert found == turned


def paired(*cells: Sequence[Prediction], planned: int | None = None) -> tuple[Comparison, ...]:
    return all_pairs(
        cells,
        task_kind="classification",
        labels=LABELS,
        metric="accuracy",
        planned=planned,
        strict=True,
    )


def three_cells() -> list[list[Prediction]]:
    golds = ["bug"] * 60
    wrong = {"x": 0, "y": 8, "z": 20}
    return [
        cell(name, golds, ["feature"] * count + ["bug"] * (60 - count))
        for name, count in wrong.items()
    ]


def test_each_cell_is_held_against_every_one_before_it() -> None:
    found = paired(*three_cells())
    assert [(c.contest.a, c.contest.b) for c in found] == [("y", "x"), ("z", "x"), ("z", "y")]
    assert all(c.claim.verdict is Verdict.WORSE for c in found)
    assert found[0].contest.difference.value == pytest.approx(-8 / 60)


def test_the_p_values_of_a_family_are_corrected_together() -> None:
    found = paired(*three_cells())
    for each in found:
        alone = each.contest.permutation.p_value
        assert alone is not None
        assert each.permutation_p is not None
        assert alone <= each.permutation_p <= 3 * alone + 0.001
        assert each.claim.family == 3
    assert [c.mcnemar_p for c in found] == list(holm([c.contest.mcnemar.p_value for c in found]))


def test_where_items_were_taken_until_something_was_decided_there_is_no_p_value() -> None:
    (found,) = paired(*three_cells()[:2], planned=400)
    assert (found.permutation_p, found.mcnemar_p) == (None, None)
    assert found.contest.sequential is not None
    assert found.contest.sequential.planned == 400


def test_flips_are_right_in_exactly_one_cell_and_are_among_what_differs() -> None:
    golds: list[str] = ["bug"] * 4
    (found,) = paired(
        cell("b", golds, ["bug", "feature", "feature", None]),
        cell("a", golds, ["bug", "bug", "question", None]),
    )
    assert found.flips == ("0001",)
    assert found.differing == ("0001", "0002")


def test_a_pair_that_can_not_be_compared_is_left_out_or_refused() -> None:
    one, two, other = three_cells()
    pairs = (one, two, other[:5])
    with pytest.raises(ComparisonRefused, match="the cells saw different items"):
        paired(*pairs)
    found = all_pairs(pairs, task_kind="classification", labels=LABELS, metric="accuracy")
    assert [(c.contest.a, c.contest.b) for c in found] == [("y", "x")]


def test_one_by_one_does_not_depend_on_the_order_of_the_file() -> None:
    a, b = two_cells(ladder(25, 2, 150))

    def looked(first: Sequence[Prediction], second: Sequence[Prediction], seed: int = 0) -> int:
        return one_by_one(first, second, task_kind="classification", seed=seed).looked_at

    assert looked(a, b) == looked(a[::-1], b) == looked(a, b[::-1])
    assert len({looked(a, b, seed) for seed in range(5)}) > 1


def test_the_same_seed_gives_the_same_contest() -> None:
    drawn = ladder(20, 12, 100)
    assert held(drawn, seed=3) == held(drawn, seed=3)
    assert held(drawn, seed=3) != held(drawn, seed=4)


def test_swapping_the_cells_mirrors_the_contest() -> None:
    drawn = ladder(20, 12, 100)
    there = held(drawn)
    back = held([(gold, y, x) for gold, x, y in drawn])
    assert back.difference.value == -there.difference.value
    assert back.difference.low == pytest.approx(-(there.difference.high or 0.0))
    assert (back.mcnemar.only_a, back.mcnemar.only_b) == (12, 20)
    # Sampled swaps are not mirrored, so their p-values only come near each other.
    assert back.permutation.p_value == pytest.approx(there.permutation.p_value, abs=0.06)
    assert back.sequential is not None
    assert there.sequential is not None
    assert back.sequential.difference == -there.sequential.difference
    assert there.equivalence is not None
    assert back.equivalence is not None
    assert back.equivalence.p_better == pytest.approx(there.equivalence.p_worse)
