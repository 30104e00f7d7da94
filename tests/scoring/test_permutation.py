"""Facts about the paired permutation test: brute force, McNemar, and scipy on plain values."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from scipy import stats
from sklearn.metrics import f1_score

from gateway.scoring.mcnemar import mcnemar
from gateway.scoring.pairing import paired, rights
from gateway.scoring.permutation import Permutation, permutation_test
from gateway.scoring.results import Prediction, Status
from tests.scoring.cells import LABELS, Rows, estimates_of, pairs_of, rows, two_cells


def by_brute_force(drawn: Rows) -> float:
    """The share of all swaps whose macro-F1 difference is as large, by scikit-learn."""
    golds = [gold for gold, _, _ in drawn]

    def macro_f1(answers: list[str]) -> float:
        options = {"labels": LABELS, "average": "macro", "zero_division": np.nan}
        return float(f1_score(golds, answers, **options))

    def difference(swaps: tuple[bool, ...]) -> float:
        a = [(y if s else x) or "none" for (_, x, y), s in zip(drawn, swaps, strict=True)]
        b = [(x if s else y) or "none" for (_, x, y), s in zip(drawn, swaps, strict=True)]
        return macro_f1(a) - macro_f1(b)

    observed = abs(difference((False,) * len(drawn)))
    values = [difference(swaps) for swaps in product((False, True), repeat=len(drawn))]
    return float(np.mean([abs(value) >= observed - 1e-12 for value in values]))


EIGHT: Rows = [
    ("bug", "bug", "feature"),
    ("bug", "bug", "question"),
    ("bug", "bug", None),
    ("feature", "bug", "feature"),
    ("feature", "feature", "bug"),
    ("question", "question", "bug"),
    ("question", "question", "feature"),
    ("question", "bug", "bug"),
]


def test_all_swaps_of_macro_f1_are_tried_where_they_are_few() -> None:
    result = permutation_test(pairs_of(EIGHT))
    assert (result.exact, result.differing, result.permutations) == (True, 7, 2**7)
    assert result.p_value == pytest.approx(by_brute_force(EIGHT))


@given(rows(smallest=6, largest=14))
@settings(max_examples=25, deadline=None)
def test_on_accuracy_it_is_exact_mcnemar(drawn: Rows) -> None:
    a, b = two_cells(drawn)
    counts = mcnemar(rights(a, "classification"), rights(b, "classification"))
    result = permutation_test(pairs_of(drawn, "accuracy"), permutations=2**14)
    if counts.p_value is not None:
        assert result.p_value == pytest.approx(counts.p_value)


def test_on_errors_it_is_scipy_s_test_of_signs() -> None:
    draw = np.random.default_rng(2)
    golds = [0.0] * 10
    a, b = draw.exponential(1.0, size=10), draw.exponential(2.5, size=10)
    result = permutation_test(estimates_of(golds, a.tolist(), b.tolist()))
    expected = stats.permutation_test(
        (a - b,), np.mean, permutation_type="samples", n_resamples=2**10
    )
    assert result.p_value == pytest.approx(float(expected.pvalue))


def test_a_sample_of_swaps_comes_near_all_of_them_and_is_never_zero() -> None:
    drawn = (EIGHT * 3)[:20]
    exact = permutation_test(pairs_of(drawn), permutations=2**18).p_value
    sampled = permutation_test(pairs_of(drawn), permutations=4000)
    assert not sampled.exact
    assert exact is not None
    assert sampled.p_value == pytest.approx(exact, abs=0.03)
    sweep: Rows = [("bug", "bug", "feature")] * 40
    p_value = permutation_test(pairs_of(sweep, "accuracy"), permutations=99).p_value
    assert p_value == pytest.approx(1 / 100)


def test_fewer_than_six_differing_items_decide_nothing() -> None:
    result = permutation_test(pairs_of([("bug", "bug", "feature")] * 5))
    assert result.p_value is None
    assert "only 5 items are decided differently" in result.why_none
    same = permutation_test(pairs_of([("bug", "bug", "bug")] * 9))
    assert "nothing to test" in same.why_none


def test_the_same_seed_gives_the_same_p_value() -> None:
    pairs = pairs_of((EIGHT * 3)[:20])
    first, again, other = (permutation_test(pairs, seed=s, permutations=500) for s in (1, 1, 2))
    assert first == again
    assert first.p_value != other.p_value


def test_a_swap_that_leaves_no_value_counts_as_extreme() -> None:
    # Conformance has no value for a cell of which every item failed.
    ok = Prediction("a", "", Status.OK, "bug", "bug")
    failed, unparsed = (
        replace(ok, status=status, answer=None) for status in (Status.FAILED, Status.UNPARSED)
    )
    table = [(ok, failed)] * 5 + [(failed, unparsed)]
    a, b = (
        [replace(row[side], cell=name, item_id=str(i)) for i, row in enumerate(table)]
        for side, name in enumerate("ab")
    )
    pairs = paired(a, b, task_kind="classification", labels=LABELS, metric="conformance")
    assert pairs.estimate == 1.0
    # Of 64 swaps two leave the difference at 1 or -1, and two leave one cell without a value.
    assert permutation_test(pairs).p_value == pytest.approx(4 / 64)


def test_a_precision_is_not_another_because_the_label_is_said_less_often() -> None:
    """Both say "bug" by chance, one six times as often: swapped answers would tell them apart in
    one of five samples."""
    chance, told = np.random.default_rng(0), 0
    for _ in range(60):
        golds = chance.random(60) < 0.5
        said = [chance.random(60) < share for share in (0.1, 0.6)]
        rows: Rows = [
            (LABELS[int(not gold)], LABELS[int(not a)], LABELS[int(not b)])
            for gold, a, b in zip(golds, *said, strict=True)
        ]
        p_value = permutation_test(pairs_of(rows, "precision:bug"), permutations=300).p_value
        told += p_value is not None and p_value <= 0.05
    assert told <= 6


def _scored(name: str, scores: Sequence[float], positives: int) -> list[Prediction]:
    return [
        Prediction(
            name,
            f"{at:03}",
            Status.OK,
            "bug" if score > 0.5 else "feature",
            "bug" if at < positives else "feature",
            {"bug": score, "feature": 1 - score},
        )
        for at, score in enumerate(scores)
    ]


def _of_areas(scores: Sequence[Sequence[float]], positives: int, metric: str) -> Permutation:
    a, b = (_scored(name, of, positives) for name, of in zip("ab", scores, strict=True))
    pairs = paired(a, b, task_kind="classification", labels=("bug", "feature"), metric=metric)
    return permutation_test(pairs, permutations=200)


@pytest.mark.parametrize("metric", ["roc_auc:bug", "pr_auc:bug", "roc_auc"])
def test_an_area_of_a_few_items_of_the_label_tells_no_cells_apart(metric: str) -> None:
    chance = np.random.default_rng(0)
    b, a = np.sort(chance.random((2, 40)), axis=1)
    assert _of_areas((a[::-1].tolist(), b.tolist()), 2, metric).p_value is None
    found = _of_areas((a[::-1].tolist(), b.tolist()), 12, metric)
    assert found.p_value is not None
    assert found.p_value <= 0.05


def test_ranks_that_move_with_those_of_others_decide_nothing() -> None:
    a = np.random.default_rng(0).random(40)
    b = np.where(np.arange(40) < 3, 1 - a / 4, a)
    assert _of_areas((a.tolist(), b.tolist()), 20, "roc_auc:bug").p_value is None


@pytest.mark.parametrize("metric", ["roc_auc:bug", "pr_auc"])
def test_an_area_asks_for_the_order_within_a_cell_and_not_how_sure_it_is(metric: str) -> None:
    order = np.random.default_rng(0).random((2, 40))
    sure, less = order.tolist(), [order[0].tolist(), (order[1] / 1000).tolist()]
    assert _of_areas(sure, 10, metric).p_value == _of_areas(less, 10, metric).p_value
