"""Facts about Holm's correction."""

from itertools import combinations

import numpy as np
import pytest

from gateway.scoring.family import Simultaneous, holm, simultaneous
from gateway.scoring.pairing import Entrant, entrant, pair
from tests.scoring.cells import LABELS, cell


def test_a_published_family_is_adjusted_as_published() -> None:
    # The worked example of the Holm-Bonferroni method in its encyclopedia article, as R's
    # p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm") gives it.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))


def test_a_test_that_decides_nothing_counts_in_the_family_and_stays_without_a_p_value() -> None:
    adjusted = holm([0.02, None, None])
    assert adjusted[0] == pytest.approx(0.06)
    assert adjusted[1:] == (None, None)


def test_no_test_is_no_family() -> None:
    assert holm([]) == ()
    assert holm([None]) == (None,)


def cells_of(rights: list[list[bool]]) -> list[Entrant]:
    """Cells that are right where they are said to be."""
    golds = ["bug"] * len(rights[0])
    return [
        entrant(
            cell(f"c{i}", golds, ["bug" if right else "feature" for right in row]),
            task_kind="classification",
            labels=LABELS,
        )
        for i, row in enumerate(rights)
    ]


def all_of(rights: list[list[bool]], permutations: int = 2000) -> tuple[Simultaneous, ...]:
    found = [pair(a, b, "accuracy") for b, a in combinations(cells_of(rights), 2)]
    return simultaneous(found, permutations=permutations)


def test_one_pair_alone_is_not_corrected() -> None:
    (found,) = all_of([[True] * 20, [True] * 12 + [False] * 8])
    assert found.p_value == found.own.p_value == pytest.approx(2 / 2**8)


def test_a_family_never_makes_a_difference_surer() -> None:
    draw = np.random.default_rng(1)
    found = all_of((draw.random((5, 60)) < 0.7).tolist())
    known = [(each.p_value, each.own.p_value) for each in found if each.p_value is not None]
    assert len(known) == 10
    assert all(p >= own for p, own in known if own is not None)


def test_cells_that_err_alike_cost_nothing() -> None:
    one = [True] * 60
    other = [False] * 12 + [True] * 48
    alone = all_of([one, other])[0].p_value
    copies = [each.p_value for each in all_of([one, *[other] * 6])][:6]
    assert alone is not None
    # Bonferroni would take six times as much.
    assert all(p is not None and p < 2 * alone + 0.002 for p in copies)


def test_too_few_items_stay_untested() -> None:
    found = all_of([[True] * 40, [False] * 4 + [True] * 36, [False] * 20 + [True] * 20])
    assert found[0].p_value is None
    assert found[1].p_value is not None
    assert found[1].p_value < 0.01


def test_equal_cells_are_told_apart_in_few_families() -> None:
    draw = np.random.default_rng(7)
    false = sum(
        any(
            (each.p_value or 1) <= 0.05
            for each in all_of((draw.random((6, 40)) < 0.7).tolist(), 500)
        )
        for _ in range(40)
    )
    assert false <= 5
