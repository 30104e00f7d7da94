"""Facts about Holm's correction."""

import pytest

from gateway.scoring.family import holm


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
