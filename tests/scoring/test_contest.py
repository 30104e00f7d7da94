"""Facts about all that is asked of two cells."""

from collections.abc import Sequence

import pytest

from gateway.scoring.bootstrap import Method
from gateway.scoring.contest import Contest, contest, one_by_one
from gateway.scoring.proportions import score_interval
from gateway.scoring.results import Prediction
from gateway.scoring.sequential import Decision
from tests.scoring.cells import LABELS, Rows, cell, two_cells


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
        accuracy_margin=margin,
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
    assert result.sequential.decision is Decision.A_BETTER
    assert result.equivalence is not None
    assert result.equivalence.not_worse
    assert not result.equivalence.equivalent
    assert result.evidence == result.difference
    assert result.method is Method.WIDENED


def test_a_cell_against_itself_has_no_flips_and_zero_difference() -> None:
    result = held(ladder(0, 0, 150))
    assert (result.differing, result.mcnemar.discordant) == (0, 0)
    assert (result.difference.value, result.difference.low, result.difference.high) == (0, 0, 0)
    assert result.permutation.p_value is None
    assert result.power.smallest is None


def test_where_few_items_differ_accuracy_stands_in_for_macro_f1() -> None:
    result = held(ladder(2, 1, 297))
    assert result.evidence == score_interval(2, 1, 300)
    assert result.equivalence is not None
    assert (result.equivalence.metric, result.equivalence.equivalent) == ("accuracy", True)
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


def test_without_a_margin_there_is_no_claim_of_equivalence() -> None:
    result = held(ladder(10, 10, 100), margin=None)
    assert result.equivalence is None
    assert result.sequential.margin is None


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
    assert back.sequential.difference == -there.sequential.difference
    assert there.equivalence is not None
    assert back.equivalence is not None
    assert back.equivalence.p_better == pytest.approx(there.equivalence.p_worse)
