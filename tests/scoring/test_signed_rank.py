"""Facts about the signed-rank test: exact where differences tie, and near scipy's where none do."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm, rankdata, wilcoxon

from gateway.scoring.signed_rank import signed_rank


@given(st.lists(st.integers(-4, 4), min_size=6, max_size=10))
@settings(max_examples=40, deadline=None)
def test_it_is_what_trying_all_signs_gives(differences: list[int]) -> None:
    values = np.asarray(differences, dtype=float)
    other = values != 0
    found = signed_rank(values)
    if other.sum() < 6:
        assert found.p_value is None
        assert "fewer than 6" in found.why_none or "no item" in found.why_none
        return
    ranks = rankdata(abs(values))[other]
    seen = ranks[values[other] > 0].sum()
    sums = np.asarray([np.dot(signs, ranks) for signs in product((0, 1), repeat=len(ranks))])
    tail = min((sums <= seen + 1e-9).mean(), (sums >= seen - 1e-9).mean())
    assert found.p_value == pytest.approx(min(1, 2 * tail))


def test_without_ties_it_is_scipy_s() -> None:
    values = np.random.default_rng(0).normal(0.3, 1, 30)
    assert signed_rank(values).p_value == pytest.approx(wilcoxon(values, method="exact").pvalue)


def test_of_very_many_it_is_normal_and_near_the_exact_one() -> None:
    values = np.random.default_rng(1).integers(-3, 5, 500).astype(float)
    many = signed_rank(values)
    assert not many.exact
    ranks = rankdata(abs(values))[values != 0]
    away = abs(ranks[values[values != 0] > 0].sum() - ranks.sum() / 2)
    expected = 2 * norm.sf(away / np.sqrt((ranks**2).sum() / 4))
    assert many.p_value == pytest.approx(expected, rel=1e-6)


def test_last_digits_part_no_differences_that_are_equal() -> None:
    values = np.asarray([3.1 - 2.1, 1.0, 1.0, -1.0, 1.0, 1.0, 1.0])
    assert signed_rank(values).p_value == signed_rank(values.round(3)).p_value
