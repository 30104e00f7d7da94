"""The next token: greedy exactly, sampled as its own seed and position say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import logsumexp

from gateway.core.errors import InvalidRequest
from gateway.core.types import Sampling
from gateway.engine.sampling import adjusted, choose, log_normalizer, log_sum

logits = arrays(
    np.float32, st.integers(2, 40), elements=st.floats(-30, 30, width=32, allow_nan=False)
)


@given(logits)
def test_zero_temperature_takes_the_highest_logit_and_the_lowest_id_of_equals(
    row: np.ndarray[tuple[int], np.dtype[np.float32]],
) -> None:
    chosen = choose(row, Sampling(), 0)
    assert row[chosen] == row.max()
    assert not (row[:chosen] == row.max()).any()


@given(logits, st.integers(0, 2**64 - 1), st.integers(0, 10_000))
def test_a_draw_depends_on_seed_and_position_only(
    row: np.ndarray[tuple[int], np.dtype[np.float32]], seed: int, position: int
) -> None:
    sampling = Sampling(temperature=0.7, seed=seed)
    assert choose(row, sampling, position) == choose(row.copy(), sampling, position)


@given(logits, st.integers(0, 99))
def test_forbidden_tokens_are_never_drawn(
    row: np.ndarray[tuple[int], np.dtype[np.float32]], position: int
) -> None:
    row[1:] = -np.inf
    assert choose(row, Sampling(temperature=5.0), position) == 0


@given(logits, st.integers(0, 99), st.integers(1, 5))
def test_top_k_draws_among_the_k_best(
    row: np.ndarray[tuple[int], np.dtype[np.float32]], position: int, k: int
) -> None:
    chosen = choose(row, Sampling(temperature=2.0, top_k=k), position)
    assert (row > row[chosen]).sum() < k


def test_top_p_and_min_p_keep_the_likely_ones() -> None:
    row = np.log(np.array([0.5, 0.3, 0.15, 0.05], dtype=np.float32))
    nucleus = {choose(row, Sampling(temperature=1.0, top_p=0.75), n) for n in range(200)}
    floor = {choose(row, Sampling(temperature=1.0, min_p=0.2), n) for n in range(200)}
    assert nucleus == {0, 1}
    assert floor == {0, 1, 2}


def test_draws_follow_the_probabilities() -> None:
    shares = np.array([0.6, 0.3, 0.1])
    row = np.log(shares).astype(np.float32)
    drawn = [choose(row, Sampling(temperature=1.0, seed=3), n) for n in range(4000)]
    counts = np.bincount(drawn, minlength=3) / 4000
    assert counts == pytest.approx(shares, abs=0.03)


@given(logits)
def test_normalizers_agree_with_scipy(row: np.ndarray[tuple[int], np.dtype[np.float32]]) -> None:
    expected = logsumexp(row.astype(np.float64))
    assert log_normalizer(row) == pytest.approx(expected, abs=1e-9)
    assert log_sum(row) == pytest.approx(expected, abs=1e-9)


def test_the_log_sum_of_impossible_values_is_impossible() -> None:
    assert log_sum(np.full(3, -np.inf)) == -np.inf


ROW = np.array([2.0, -2.0, 1.0, 0.0], dtype=np.float32)


def test_without_penalties_the_row_itself_comes_back() -> None:
    assert adjusted(ROW, Sampling(temperature=0.5), [0, 1], [2]) is ROW


def test_repetition_counts_prompt_and_answer_once_each() -> None:
    found = adjusted(ROW, Sampling(repetition_penalty=2.0), [0, 0, 1], [2, 2])
    assert found.tolist() == [1.0, -4.0, 0.5, 0.0]


def test_presence_and_frequency_count_the_answer_alone() -> None:
    sampling = Sampling(presence_penalty=0.5, frequency_penalty=0.25)
    assert adjusted(ROW, sampling, [0, 1], [2, 2, 3]).tolist() == [2.0, -2.0, 0.0, -0.75]
    assert adjusted(ROW, sampling, [0, 1], []).tolist() == ROW.tolist()


def test_a_bias_can_force_and_forbid() -> None:
    assert choose(adjusted(ROW, Sampling(logit_bias=((3, 100.0),)), [], []), Sampling(), 0) == 3
    assert choose(adjusted(ROW, Sampling(logit_bias=((0, -100.0),)), [], []), Sampling(), 0) == 2
    assert ROW.tolist() == [2.0, -2.0, 1.0, 0.0]


def test_a_bias_for_no_token_is_an_error() -> None:
    with pytest.raises(InvalidRequest, match="the vocabulary has 4"):
        adjusted(ROW, Sampling(logit_bias=((4, 1.0),)), [], [])
