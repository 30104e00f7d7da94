"""Facts about the differences of many pairs on the same resamples."""

import numpy as np
import pytest

from gateway.scoring.pairing import paired
from gateway.scoring.resampling import differences
from gateway.scoring.statistic import resample_indices
from tests.scoring.cells import Rows, cell, estimates_of, pairs_of


def test_a_pair_among_others_has_the_values_that_it_has_alone() -> None:
    drawn: Rows = [
        ("bug", "bug", "feature"),
        ("feature", None, "feature"),
        ("bug", "bug", "bug"),
    ] * 5
    family = [pairs_of(drawn), pairs_of([(g, b, a) for g, a, b in drawn])]
    (indices,) = resample_indices(15, 30, seed=2)
    found = differences(family, 30, seed=2)
    assert found[0] == pytest.approx(family[0].difference(indices))
    assert found[1] == pytest.approx(-found[0])


def test_errors_are_resampled_on_all_items_and_counted_on_common_ones() -> None:
    golds = [0.0] * 6
    pairs = estimates_of(golds, [1.0, 2.0, None, 4.0, 0.5, 1.0], [2.0, None, 1.0, 3.0, 0.0, 1.5])
    (indices,) = resample_indices(6, 40, seed=0)
    gaps = np.asarray([-1.0, np.nan, np.nan, 1.0, 0.5, -0.5])
    with np.errstate(invalid="ignore"):
        expected = np.asarray([np.nanmean(gaps[row]) for row in indices])
    assert differences([pairs], 40)[0] == pytest.approx(expected, nan_ok=True)


def test_a_median_is_resampled_in_units_of_both_cells() -> None:
    golds = [0.0] * 5
    cells = cell("a", golds, [1.0, 2.0, 7.0, 4.0, 5.0]), cell("b", golds, [3.0, 1.0, 2.0, 2.0, 9.0])
    pairs = paired(*cells, task_kind="number", labels=(), metric="median_ae")
    (indices,) = resample_indices(5, 20, seed=0)
    a, b = np.asarray([1.0, 2, 7, 4, 5]), np.asarray([3.0, 1, 2, 2, 9])
    expected = np.median(a[indices], axis=1) - np.median(b[indices], axis=1)
    assert differences([pairs], 20)[0] == pytest.approx(expected)
