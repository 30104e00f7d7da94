"""Facts about stopping early: a martingale, its error, and what it decides."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import betainc, betaln
from scipy.stats import binom

from gateway.core.errors import ConfigError, DataError
from gateway.scoring.sequential import (
    Decision,
    decide,
    interval,
    log_wealth,
    scores,
    seeded_order,
    watch,
)
from tests.scoring.simulating import drawn_scores

counts = st.tuples(st.integers(0, 40), st.integers(0, 200), st.integers(0, 40))
sequences = st.lists(st.sampled_from([-1, 0, 1]), min_size=1, max_size=60)


def wealth(drawn: tuple[int, ...], mean: float) -> float:
    return float(np.exp(log_wealth(np.asarray([drawn]), mean)[0]))


@given(counts, st.floats(-0.9, 0.9), st.floats(0.0, 1.0))
@settings(max_examples=60, deadline=None)
def test_at_the_true_mean_the_next_item_is_expected_to_change_no_wealth(
    drawn: tuple[int, int, int], mean: float, spread: float
) -> None:
    discordance = abs(mean) + spread * (1 - abs(mean))
    shares = ((discordance - mean) / 2, 1 - discordance, (discordance + mean) / 2)
    after = [
        wealth(tuple(c + (i == score) for i, c in enumerate(drawn)), mean) for score in range(3)
    ]
    expected = math.fsum(share * value for share, value in zip(shares, after, strict=True))
    assert expected == pytest.approx(wealth(drawn, mean), rel=1e-9)
    assert wealth((0, 0, 0), mean) == pytest.approx(1.0)


@given(counts, st.floats(-0.9, 0.85), st.floats(0.001, 0.05))
@settings(max_examples=40, deadline=None)
def test_betting_on_more_earns_less_the_more_there_is_supposed(
    drawn: tuple[int, int, int], mean: float, step: float
) -> None:
    assert wealth(drawn, mean + step) <= wealth(drawn, mean) * (1 + 1e-12)


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 200))
@settings(max_examples=40, deadline=None)
def test_at_zero_it_is_a_bet_on_the_coin_of_the_discordant_items(
    losses: int, wins: int, ties: int
) -> None:
    # The even spread over all bets has a closed form: an incomplete beta function.
    exact = (wins + losses + 1) * math.log(2) + float(betaln(wins + 1, losses + 1))
    exact += math.log(float(betainc(losses + 1, wins + 1, 0.5)))
    assert math.log(wealth((losses, ties, wins), 0.0)) == pytest.approx(exact, abs=0.02)


def test_equal_cells_are_told_apart_at_most_one_time_in_twenty_however_often_one_looks() -> None:
    for discordance in (0.05, 0.3):
        drawn = drawn_scores(discordance, 0.0, (500, 400), seed=1)
        wrong = np.mean([decide(row)[0] is not Decision.UNDECIDED for row in drawn])
        assert wrong <= 0.05


def test_looking_at_every_item_with_a_plain_test_errs_far_more_often() -> None:
    # What the rule is for: the same items, the same looks, exact McNemar each time.
    drawn = drawn_scores(0.3, 0.0, (300, 400), seed=1)
    wins, losses = (drawn == 1).cumsum(axis=1), (drawn == -1).cumsum(axis=1)
    p_values = 2 * binom.cdf(np.minimum(wins, losses), wins + losses, 0.5)
    assert (p_values < 0.05).any(axis=1).mean() > 0.15


def test_cells_that_differ_by_the_margin_are_called_equivalent_at_most_one_time_in_twenty() -> None:
    drawn = drawn_scores(0.1, 0.05, (300, 600), seed=2)
    found = [decide(row, margin=0.05)[0] for row in drawn]
    assert found.count(Decision.EQUIVALENT) / 300 <= 0.05
    assert found.count(Decision.B_BETTER) / 300 <= 0.025
    assert found.count(Decision.A_BETTER) / 300 > 0.5


def test_the_interval_holds_the_truth_at_every_look_together() -> None:
    drawn = drawn_scores(0.2, 0.06, (300, 300), seed=3)
    missed = 0
    for row in drawn:
        wins = np.stack([(row == s).cumsum() for s in (-1, 0, 1)], axis=1)
        above = log_wealth(wins, 0.06).max()
        below = log_wealth(wins[:, ::-1], -0.06).max()
        missed += max(above, below) >= math.log(40)
    assert missed / 300 <= 0.05


def test_a_clear_difference_is_seen_early_and_the_rest_saved() -> None:
    drawn = drawn_scores(0.3, 0.2, (300,), seed=4)
    result = watch(drawn, margin=0.02)
    assert result.decision is Decision.A_BETTER
    assert result.looked_at < 150
    assert result.saved == 300 - result.looked_at
    assert result.low > 0
    assert result.low <= result.difference <= result.high


def test_cells_without_a_discordant_item_are_equivalent_after_enough_of_them() -> None:
    result = watch([0] * 300, margin=0.05)
    assert result.decision is Decision.EQUIVALENT
    assert result.looked_at < 200
    assert watch([0] * 30, margin=0.05).decision is Decision.UNDECIDED


@given(sequences, st.one_of(st.none(), st.floats(0.05, 0.9)))
@settings(max_examples=40, deadline=None)
def test_swapping_the_cells_swaps_the_decision(drawn: list[int], margin: float | None) -> None:
    there, back = watch(drawn, margin=margin), watch([-s for s in drawn], margin=margin)
    other = {Decision.A_BETTER: Decision.B_BETTER, Decision.B_BETTER: Decision.A_BETTER}
    assert back.decision is other.get(there.decision, there.decision)
    assert back.looked_at == there.looked_at
    assert (back.low, back.high) == pytest.approx((-there.high, -there.low), abs=1e-6)


@given(sequences, st.floats(0.05, 0.9))
@settings(max_examples=40, deadline=None)
def test_a_decision_is_what_the_interval_says(drawn: list[int], margin: float) -> None:
    result = watch(drawn, margin=margin)
    says = {
        Decision.A_BETTER: result.low > 0,
        Decision.B_BETTER: result.high < 0,
        Decision.EQUIVALENT: -margin < result.low and result.high < margin,
        Decision.UNDECIDED: result.low <= 1e-8
        and result.high >= -1e-8
        and (result.low <= 1e-8 - margin or result.high >= margin - 1e-8),
    }
    assert says[result.decision]


@given(sequences, sequences)
@settings(max_examples=40, deadline=None)
def test_more_items_change_no_decision_and_only_narrow_the_interval(
    first: list[int], more: list[int]
) -> None:
    early, late = decide(first, margin=0.3), decide(first + more, margin=0.3)
    if early[0] is not Decision.UNDECIDED:
        assert late == early
    (low, high), (lower, higher) = interval(first), interval(first + more)
    assert lower >= low - 1e-8
    assert higher <= high + 1e-8


def test_items_still_to_come_are_planned_not_looked_at() -> None:
    result = watch([1] * 12, planned=300)
    assert (result.decision, result.planned) == (Decision.A_BETTER, 300)
    assert result.saved == 300 - result.looked_at
    assert watch([0], planned=300).saved == 0


def test_a_score_is_who_is_right_alone() -> None:
    a, b = np.asarray([True, True, False, False]), np.asarray([True, False, True, False])
    assert scores(a, b).tolist() == [0, 1, -1, 0]


def test_the_order_is_the_seed_s_and_not_the_file_s() -> None:
    ids = [f"{i:03}" for i in range(50)]
    assert seeded_order(ids, 1) == seeded_order(reversed(ids), 1)
    assert seeded_order(ids, 1) != seeded_order(ids, 2)
    assert seeded_order(ids, 1) != ids


@pytest.mark.parametrize("margin", [0.0, -0.1, 1.0, math.nan])
def test_a_margin_that_is_no_share_is_refused(margin: float) -> None:
    with pytest.raises(ConfigError, match="margin"):
        watch([1, 0], margin=margin)


@pytest.mark.parametrize("alpha", [0.0, 1.0, math.nan])
def test_an_error_rate_that_is_none_is_refused(alpha: float) -> None:
    with pytest.raises(ConfigError, match="error rate"):
        watch([1, 0], alpha=alpha)


@pytest.mark.parametrize("drawn", [[], [2], [0, 1, -2]])
def test_what_is_no_list_of_scores_is_refused(drawn: list[int]) -> None:
    with pytest.raises(DataError, match="-1, 0 and 1"):
        watch(drawn)
