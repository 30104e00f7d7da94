"""Facts about power: published figures, statsmodels, and a simulation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest
from statsmodels.stats.power import NormalIndPower

from gateway.scoring.power import (
    conditional_power,
    items_by_error,
    items_by_normal,
    items_needed,
    mcnemar_power,
    smallest_by_error,
    smallest_difference,
)
from tests.scoring.simulating import drawn_scores


def test_exact_power_is_that_of_other_implementations() -> None:
    # R package pwrss 1.3, tests of power.exact.mcnemar (validated there by PASS and G*Power):
    # discordant proportions 0.20 and 0.10.
    assert mcnemar_power(100, 0.3, 0.1) == pytest.approx(0.373077084, abs=1e-8)
    assert mcnemar_power(249, 0.3, 0.1) == pytest.approx(0.801446921, abs=1e-8)
    assert items_needed(0.1, 0.3) == 249


def test_exact_power_is_that_of_a_published_table() -> None:
    # Duffy 1984, as R package MESS 0.5 checks itself by it: 144 pairs, 0.25 and 0.45.
    assert mcnemar_power(144, 0.7, 0.2) == pytest.approx(0.80, abs=0.005)


def test_the_normal_formula_gives_its_published_example() -> None:
    # Connor 1987, page 209, with 0.45 and 0.05 at 80%: 23 pairs.
    assert items_by_normal(0.4, 0.5) == 23


@given(st.integers(0, 60), st.floats(0.5, 1.0))
@settings(max_examples=40, deadline=None)
def test_conditional_power_is_how_often_the_test_rejects(discordant: int, share: float) -> None:
    rejecting = [
        k for k in range(discordant + 1) if discordant and binomtest(k, discordant).pvalue <= 0.05
    ]
    expected = sum(float(binom.pmf(k, discordant, share)) for k in rejecting)
    assert float(conditional_power(discordant, share)) == pytest.approx(expected, abs=1e-9)


def test_power_is_how_often_a_difference_is_found() -> None:
    n, discordance, difference = 200, 0.2, 0.09
    drawn = drawn_scores(discordance, difference, (4000, n), seed=0)
    wins, losses = (drawn == 1).sum(axis=1), (drawn == -1).sum(axis=1)
    table: dict[tuple[int, int], bool] = {}
    for pair in zip(wins.tolist(), losses.tolist(), strict=True):
        if pair not in table:
            table[pair] = binomtest(pair[0], sum(pair)).pvalue <= 0.05
    found = np.mean([table[pair] for pair in zip(wins.tolist(), losses.tolist(), strict=True)])
    assert found == pytest.approx(mcnemar_power(n, discordance, difference), abs=0.025)


@given(st.integers(80, 1000), st.floats(0.1, 0.5))
@settings(max_examples=20, deadline=None)
def test_the_smallest_difference_is_found_with_the_power_asked_for(
    n: int, discordance: float
) -> None:
    smallest = smallest_difference(n, discordance).smallest
    assert smallest is not None
    assert mcnemar_power(n, discordance, smallest) == pytest.approx(0.8, abs=1e-3)


@given(st.floats(0.1, 0.4), st.floats(0.2, 0.9))
@settings(max_examples=15, deadline=None)
def test_so_many_items_are_enough_and_one_fewer_is_not(discordance: float, part: float) -> None:
    difference = discordance * part
    needed = items_needed(difference, discordance)
    assert needed is not None
    assert mcnemar_power(needed, discordance, difference) >= 0.8
    assert mcnemar_power(needed - 1, discordance, difference) < 0.8
    assert needed >= items_by_normal(difference, discordance) * 0.95


def test_more_items_find_smaller_differences() -> None:
    found = [smallest_difference(n, 0.15).smallest or 0.0 for n in (150, 300, 600)]
    assert found == sorted(found, reverse=True)
    assert found[1] == pytest.approx(0.064, abs=1e-3)


@pytest.mark.parametrize("discordance", [0.0, 0.01])
def test_where_too_few_items_differ_no_difference_can_be_found(discordance: float) -> None:
    assert smallest_difference(300, discordance).smallest is None


@pytest.mark.parametrize(("difference", "discordance"), [(0.0, 0.2), (0.3, 0.2), (0.1, 1.5)])
def test_a_difference_that_can_not_be_needs_no_number_of_items(
    difference: float, discordance: float
) -> None:
    assert items_needed(difference, discordance) is None


def test_by_the_standard_error_it_is_statsmodels_one_sample_test() -> None:
    n, error = 150, 0.03
    deviation = error * n**0.5
    smallest = smallest_by_error(error, n).smallest
    assert smallest is not None
    solver = NormalIndPower()
    effect = solver.solve_power(nobs1=n, alpha=0.05, power=0.8, ratio=0)
    assert smallest == pytest.approx(effect * deviation, rel=1e-3)
    needed = items_by_error(0.02, error, n)
    expected = solver.solve_power(effect_size=0.02 / deviation, alpha=0.05, power=0.8, ratio=0)
    assert needed == pytest.approx(expected, abs=1)


@pytest.mark.parametrize("error", [0.0, float("nan")])
def test_without_a_spread_nothing_is_said(error: float) -> None:
    assert smallest_by_error(error, 100).smallest is None
    assert items_by_error(0.02, error, 100) is None
    assert items_by_error(0.0, 0.03, 100) is None
