import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import cohen_kappa_score

from gateway.core.errors import DataError
from gateway.evaluation.judge.agreement import (
    QUADRATIC,
    UNWEIGHTED,
    agreement,
    kappa_statistic,
    rounded,
    spearman_statistic,
)
from gateway.scoring.scores import point_estimate
from gateway.scoring.statistic import resample_indices

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
    found = agreement(*pairs(COHEN), resamples=50)
    assert found.kappa is not None
    assert found.weighted_kappa is not None
    assert round(found.kappa.value, 3) == 0.492
    assert found.weighted_kappa.value == pytest.approx(5 / 11)
    assert found.n == 200


@given(st.permutations([1, 1, 2, 2, 3, 3, 3, 4, 5, 5]))
def test_where_both_give_grades_equally_often_quadratic_kappa_is_the_correlation(
    judged: list[int],
) -> None:
    """Shown in Cohen 1968."""
    humans = [1, 1, 2, 2, 3, 3, 3, 4, 5, 5]
    statistic = kappa_statistic(np.asarray(judged), np.asarray(humans), QUADRATIC)
    correlation = np.corrcoef(judged, humans)[0, 1]
    assert point_estimate(statistic, 10) == pytest.approx(correlation, abs=1e-12)


@pytest.mark.filterwarnings("ignore::scipy.stats.ConstantInputWarning")
@given(GRADED)
def test_kappa_and_spearman_are_those_of_the_libraries(graded: list[tuple[int, int]]) -> None:
    a, b = (np.asarray(grades) for grades in zip(*graded, strict=True))
    n, labels = len(a), [1, 2, 3, 4, 5]
    alike = len({*a.tolist(), *b.tolist()}) == 1
    for disagreement, weights in ((UNWEIGHTED, None), (QUADRATIC, "quadratic")):
        value = point_estimate(kappa_statistic(a, b, disagreement), n)
        if alike:
            assert np.isnan(value)
        else:
            theirs = cohen_kappa_score(a, b, labels=labels, weights=weights)
            assert value == pytest.approx(theirs, abs=1e-12)
    ours = point_estimate(spearman_statistic(a.astype(float), b), n)
    assert ours == pytest.approx(spearmanr(a, b).statistic, abs=1e-12, nan_ok=True)


def test_every_resample_gets_its_own_value() -> None:
    generator = np.random.default_rng(7)
    a, b = generator.integers(1, 6, 40), generator.integers(1, 6, 40)
    (indices,) = resample_indices(40, 20, seed=3)
    kappas = kappa_statistic(a, b, QUADRATIC)(indices)
    correlations = spearman_statistic(a.astype(float), b)(indices)
    for row, kappa, correlation in zip(indices, kappas, correlations, strict=True):
        assert kappa == pytest.approx(cohen_kappa_score(a[row], b[row], weights="quadratic"))
        assert correlation == pytest.approx(spearmanr(a[row], b[row]).statistic)


def test_one_who_agrees_in_everything_has_a_kappa_of_one() -> None:
    found = agreement([1.2, 2.0, 2.9, 4.4, 4.6, 1.0], [1, 2, 3, 4, 5, 1])
    assert found.kappa is not None
    assert (found.kappa.value, found.kappa.low, found.kappa.high) == (1.0, 1.0, 1.0)
    assert found.mean_absolute_difference.value == pytest.approx(1.1 / 6)


def test_kappa_is_of_the_rounded_expected_grade() -> None:
    halves = rounded(np.asarray([1.0, 1.49, 1.5, 2.5, 4.49, 4.5, 5.0]))
    assert halves.tolist() == [1, 1, 2, 3, 4, 5, 5]
    near = agreement([1.4, 4.6, 3.3], [1, 5, 3], resamples=20)
    assert near.kappa is not None
    assert near.kappa.value == 1.0


def test_one_grade_for_all_shows_no_agreement_and_never_a_perfect_one() -> None:
    constant = agreement([3.1] * 8, [3] * 8, resamples=20)
    assert (constant.kappa, constant.weighted_kappa, constant.spearman) == (None, None, None)
    assert constant.mean_absolute_difference.value == pytest.approx(0.1)
    one_sided = agreement([3.1] * 8, [1, 2, 3, 4, 5, 3, 3, 3], resamples=20)
    assert one_sided.kappa is not None
    assert (one_sided.kappa.value, one_sided.spearman) == (0.0, None)


def test_the_interval_is_seeded() -> None:
    judged, humans = pairs(((9, 2, 1), (3, 7, 2), (0, 4, 8)))
    first = agreement(judged, humans, seed=1, resamples=200)
    assert agreement(judged, humans, seed=1, resamples=200) == first
    other = agreement(judged, humans, seed=2, resamples=200)
    assert first.kappa is not None
    assert other.kappa is not None
    assert other.kappa.value == first.kappa.value
    assert other.kappa.low != first.kappa.low
    assert (first.kappa.low or 9) < first.kappa.value < (first.kappa.high or 0)


def test_grades_that_are_not_of_the_same_answers_are_refused() -> None:
    with pytest.raises(DataError, match="2 grades of a judge and 1 of humans"):
        agreement([1.0, 2.0], [1])
    with pytest.raises(DataError, match="0 grades"):
        agreement([], [])
