"""Facts about exact McNemar."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from gateway.scoring.mcnemar import FEWEST_DECIDING, mcnemar

outcomes = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


@given(outcomes)
def test_it_is_the_binomial_test_of_the_discordant_items_or_none(
    drawn: list[tuple[bool, bool]],
) -> None:
    a, b = np.asarray(drawn).T
    result = mcnemar(a, b)
    assert result.n == len(drawn)
    assert result.only_a == drawn.count((True, False))
    assert result.only_b == drawn.count((False, True))
    if result.discordant < FEWEST_DECIDING:
        assert result.p_value is None
        assert result.why_none
    else:
        expected = binomtest(result.only_a, result.discordant).pvalue
        assert result.p_value == pytest.approx(expected)
        assert result.why_none == ""


def test_six_is_the_first_number_of_items_that_can_decide() -> None:
    def sweep(count: int) -> float:
        return float(binomtest(count, count).pvalue)

    assert sweep(FEWEST_DECIDING) < 0.05 < sweep(FEWEST_DECIDING - 1)


def test_a_published_table_has_its_published_p_value() -> None:
    # Complete response before and after therapy (Cavo et al. 2012): 59, 6, 16, 80; exact
    # conditional McNemar 0.0525 in Fagerland, Lydersen and Laake 2014, table 3.
    a = np.repeat([True, True, False, False], [59, 6, 16, 80])
    b = np.repeat([True, False, True, False], [59, 6, 16, 80])
    assert mcnemar(a, b).p_value == pytest.approx(0.052479, abs=5e-7)


def test_items_that_share_clusters_have_no_p_value_and_no_odds() -> None:
    right = np.arange(80) < 65
    found = mcnemar(right, ~right, clustered=True)
    assert (found.p_value, found.odds) == (None, None)
    assert "share clusters" in found.why_none


def test_odds_are_those_of_the_items_that_one_cell_alone_has_right() -> None:
    right_a, right_b = np.arange(16) < 13, np.arange(16) >= 13
    odds = mcnemar(right_a, right_b).odds
    assert odds is not None
    assert odds.value == pytest.approx(13 / 3)
    assert odds.low is not None
    assert 1 < odds.low < 4
    assert mcnemar(right_a, right_a).odds is None
    never = mcnemar(right_a, np.zeros(16, dtype=np.bool_)).odds
    assert never is not None
    assert never.value == float("inf")


def test_its_p_value_is_that_of_the_binomial_distribution_to_the_last_bit() -> None:
    for count in (*range(6, 60), 997, 20_000):
        rarer = np.unique(np.linspace(0, count // 2, 30).astype(int))
        for only_a in rarer.tolist():
            right = np.arange(count) < only_a
            expected = min(1.0, 2 * float(binom.cdf(min(only_a, count - only_a), count, 0.5)))
            assert mcnemar(right, ~right).p_value == expected
