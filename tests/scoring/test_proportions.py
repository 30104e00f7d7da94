"""Facts about the score interval of two paired proportions: published figures, and its coverage."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multinomial
from statsmodels.stats.contingency_tables import mcnemar

from gateway.scoring.proportions import score, score_interval

tables = st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(1, 300)).map(
    lambda drawn: (drawn[0], drawn[1], drawn[0] + drawn[1] + drawn[2])
)


@pytest.mark.parametrize(
    ("only_a", "only_b", "n", "expected"),
    [
        # Airway hyper-responsiveness before and after stem cell transplantation (Bentur 2009).
        (1, 7, 21, (-0.517, -0.026)),
        # Complete response before and after consolidation therapy (Cavo 2012).
        (6, 16, 161, (-0.124, -0.005)),
    ],
)
def test_published_intervals_are_met(
    only_a: int, only_b: int, n: int, expected: tuple[float, float]
) -> None:
    # Tango's interval in Fagerland, Lydersen and Laake 2014, tables 2 and 3.
    found = score_interval(only_a, only_b, n)
    assert (found.low, found.high) == pytest.approx(expected, abs=5e-4)


def test_more_digits_are_those_of_another_implementation() -> None:
    # R package contingencytables 3.0, tests of Tango_asymptotic_score_CI_paired_2x2.
    found = score_interval(6, 16, 161)
    assert (found.value, found.low, found.high) == pytest.approx(
        (-0.0621, -0.1240, -0.0054), abs=5e-5
    )


@given(tables)
def test_at_no_difference_it_is_mcnemar_s_statistic(table: tuple[int, int, int]) -> None:
    only_a, only_b, n = table
    if only_a + only_b:
        counts = [[n - only_a - only_b, only_a], [only_b, 0]]
        chi_square = mcnemar(counts, exact=False, correction=False).statistic
        assert score(only_a, only_b, n, 0.0) ** 2 == pytest.approx(chi_square)


@given(tables)
@settings(max_examples=50, deadline=None)
def test_swapping_the_cells_mirrors_the_interval(table: tuple[int, int, int]) -> None:
    only_a, only_b, n = table
    there, back = score_interval(only_a, only_b, n), score_interval(only_b, only_a, n)
    assert there.low is not None
    assert back.high is not None
    assert there.low == pytest.approx(-back.high, abs=1e-9)
    assert there.low <= there.value <= -(back.low or 0.0)


@pytest.mark.parametrize("n", [20, 300])
def test_without_a_discordant_item_it_is_as_wide_as_so_few_items_allow(n: int) -> None:
    # The variance at a difference d is |d| (1 - |d|) then, which can be solved by hand.
    found, reach = score_interval(0, 0, n), 1.959964**2
    assert found.high == pytest.approx(reach / (n + reach), abs=1e-6)
    assert found.low == pytest.approx(-reach / (n + reach), abs=1e-6)


def test_a_clean_sweep_ends_at_one() -> None:
    assert score_interval(5, 0, 5).high == 1.0
    assert score_interval(0, 5, 5).low == -1.0


@pytest.mark.parametrize("discordance", [0.03, 0.1, 0.25])
@pytest.mark.parametrize("n", [150, 300])
def test_the_interval_holds_the_truth_95_times_in_100(n: int, discordance: float) -> None:
    # Exact: all tables that can occur, weighted by how often they do.
    difference = discordance / 4
    shares = ((discordance + difference) / 2, (discordance - difference) / 2)
    largest = int(n * discordance + 6 * math.sqrt(n * discordance) + 6)
    a, b = (grid.ravel() for grid in np.meshgrid(range(largest), range(largest)))
    weights = multinomial.pmf(np.stack([a, b, n - a - b], axis=1), n, [*shares, 1 - sum(shares)])
    held = [
        weight
        for x, y, weight in zip(a.tolist(), b.tolist(), weights.tolist(), strict=True)
        if weight > 1e-12 and abs(score(x, y, n, difference)) <= 1.959964
    ]
    assert 0.93 <= math.fsum(held) <= 0.97
