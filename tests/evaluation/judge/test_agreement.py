import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import cohen_kappa_score

from gateway.core.errors import DataError
from gateway.evaluation.judge.agreement import (
    agreement,
    rounded,
)

COHEN = ((88, 14, 18), (10, 40, 10), (2, 6, 12))
"""Cohen 1968, "Weighted Kappa", Psychological Bulletin 70, table 1, times its N of 200: two judges,
three diagnoses."""
GRADED = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=2, max_size=30)


def pairs(table: tuple[tuple[int, ...], ...]) -> tuple[list[float], list[int]]:
    cells = [
        (row, column)
        for row, counts in enumerate(table, start=1)
        for column, count in enumerate(counts, start=1)
        for _ in range(count)
    ]
    return [float(row) for row, _ in cells], [column for _, column in cells]


def test_kappa_of_cohen_s_own_table_is_the_published_one() -> None:
    """The paper gives .492. With quadratic weights, from the same table by hand: the observed
    disagreement is .20 + 4 * .10, the expected one .42 + 4 * .17, and 1 - .60 / 1.10 = 5 / 11."""
    found = agreement(*pairs(COHEN))
    assert found.kappa is not None
    assert found.weighted_kappa is not None
    assert round(found.kappa.value, 3) == 0.492
    assert found.weighted_kappa.value == pytest.approx(5 / 11)
    assert found.n == 200


@pytest.mark.filterwarnings("ignore::scipy.stats.ConstantInputWarning")
@given(GRADED)
@settings(max_examples=40, deadline=None)
def test_kappa_and_spearman_are_those_of_the_libraries(graded: list[tuple[int, int]]) -> None:
    a, b = (np.asarray(grades) for grades in zip(*graded, strict=True))
    found = agreement(a.astype(float).tolist(), b.tolist())
    alike = len({*a.tolist(), *b.tolist()}) == 1
    for ours, weights in ((found.kappa, None), (found.weighted_kappa, "quadratic")):
        if alike:
            assert ours is None
        else:
            theirs = cohen_kappa_score(a, b, labels=[1, 2, 3, 4, 5], weights=weights)
            assert ours is not None
            assert ours.value == pytest.approx(theirs, abs=1e-12)
    theirs = spearmanr(a, b).statistic
    assert (found.spearman is None) == bool(np.isnan(theirs))
    assert found.spearman is None or found.spearman.value == pytest.approx(theirs, abs=1e-12)


@given(GRADED)
@settings(max_examples=40, deadline=None)
def test_no_interval_has_a_width_of_zero_and_each_holds_its_value(
    graded: list[tuple[int, int]],
) -> None:
    a, b = zip(*graded, strict=True)
    found = agreement([float(grade) for grade in a], b)
    for metric in (found.kappa, found.weighted_kappa, found.spearman, found.ac1):
        if metric is not None and metric.low is not None and metric.high is not None:
            assert metric.low <= metric.value <= metric.high
            assert metric.low < metric.high


def test_ac1_of_a_table_is_what_its_definition_gives() -> None:
    """Of 118 of 125 alike, both nearly always of one kind: Gwet 2008, section 2, by hand."""
    found = agreement(*pairs(((118, 5), (2, 0))))
    assert found.ac1 is not None
    chance = 2 * (243 / 250) * (7 / 250) / 4
    assert found.ac1.value == pytest.approx((118 / 125 - chance) / (1 - chance))
    assert found.kappa is not None
    assert found.kappa.value < 0 < 0.9 < found.ac1.value


def test_one_who_agrees_in_everything_has_a_kappa_of_one() -> None:
    found = agreement([1.2, 2.0, 2.9, 4.4, 4.6, 1.0], [1, 2, 3, 4, 5, 1])
    assert found.kappa is not None
    assert found.kappa.value == found.kappa.high == 1.0
    assert found.kappa.low is not None
    assert found.kappa.low < 0.7
    assert found.mean_absolute_difference.value == pytest.approx(1.1 / 6)


def test_kappa_is_of_the_rounded_expected_grade() -> None:
    halves = rounded(np.asarray([1.0, 1.49, 1.5, 2.5, 4.49, 4.5, 5.0]))
    assert halves.tolist() == [1, 1, 2, 3, 4, 5, 5]
    near = agreement([1.4, 4.6, 3.3], [1, 5, 3])
    assert near.kappa is not None
    assert near.kappa.value == 1.0


def test_one_grade_for_all_shows_no_agreement_and_never_a_perfect_one() -> None:
    constant = agreement([3.1] * 8, [3] * 8)
    assert (constant.kappa, constant.weighted_kappa, constant.spearman) == (None, None, None)
    assert constant.mean_absolute_difference.value == pytest.approx(0.1)
    one_sided = agreement([3.1] * 8, [1, 2, 3, 4, 5, 3, 3, 3])
    assert one_sided.kappa is not None
    assert (one_sided.kappa.value, one_sided.spearman) == (0.0, None)


def test_grades_that_are_not_of_the_same_answers_are_refused() -> None:
    with pytest.raises(DataError, match="2 grades of a judge and 1 of humans"):
        agreement([1.0, 2.0], [1])
    with pytest.raises(DataError, match="0 grades"):
        agreement([], [])
