"""Facts about metrics as functions of sums over items."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from gateway.scoring.scores import statistics
from gateway.scoring.statistic import (
    Counting,
    ItemStatistic,
    mean,
    median,
    of_features,
    resample_indices,
    resample_weights,
    resampled,
    share,
)
from tests.scoring.cells import LABELS, Rows, rows, two_cells


@given(rows(), st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_weights_and_indices_are_the_same_resample(drawn: Rows, seed: int) -> None:
    table = statistics("classification", LABELS, two_cells(drawn)[0])
    n = len(drawn)
    indices = np.concatenate(list(resample_indices(n, 7, seed=seed)))
    weights = np.concatenate(list(resample_weights(n, 7, seed=seed)), axis=1)
    for statistic in table.values():
        assert np.allclose(statistic(indices), statistic.weighted(weights), equal_nan=True)


@given(st.lists(st.floats(-9, 9), min_size=1, max_size=12), st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_mean_and_median_are_those_of_numpy(values: list[float], seed: int) -> None:
    found = np.asarray(values)
    (indices,) = resample_indices(len(found), 5, seed=seed)
    assert mean(found)(indices) == pytest.approx(found[indices].mean(axis=1))
    assert median(found)(indices) == pytest.approx(np.median(found[indices], axis=1))


def test_of_items_that_do_not_count_there_is_no_value() -> None:
    none = np.zeros(3, dtype=np.bool_)
    assert np.isnan(mean(np.ones(3), among=none).estimate())
    assert np.isnan(median(np.ones(3), among=none).estimate())


def test_each_item_left_out_gives_the_values_without_it() -> None:
    drawn: Rows = [(LABELS[i % 3], LABELS[i % 2], None) for i in range(9)]
    statistic = statistics("classification", LABELS, two_cells(drawn)[0])["macro_f1"]
    without = [float(statistic(np.asarray([[j for j in range(9) if j != i]]))[0]) for i in range(9)]
    assert statistic.without_each() == pytest.approx(without)


def test_clusters_are_drawn_with_all_their_items() -> None:
    clusters = np.asarray([5, 5, 9, 9, 9, 2])
    (weights,) = resample_weights(6, 20, seed=1, clusters=clusters)
    assert (weights[0] == weights[1]).all()
    assert (weights[2] == weights[4]).all()
    counted = weights[[0, 2, 5]].sum(axis=0)
    assert (counted == 3).all()


def test_what_was_drawn_once_is_kept() -> None:
    table = {"x": mean(np.arange(9.0))}
    first = resampled(table, 9, 50, seed=1)["x"]
    assert resampled(table, 9, 50, seed=1)["x"] is first
    assert resampled(table, 9, 50, seed=2)["x"] is not first


def test_codes_counted_together_are_those_counted_alone() -> None:
    chance = np.random.default_rng(0)
    weights = chance.integers(9, size=(50, 70), dtype=np.uint8)
    # Several of few codes, one of more than are counted as one, and one that has only some.
    widths = (9, 9, 300, 2, 9, 9, 9, 40, 40)
    codes = [chance.integers(width, size=50) for width in widths]
    codes[3][:] = 1
    rows = [csr_array(np.ones((width, 1))) for width in widths]
    sides = [ItemStatistic(*each, share) for each in zip(codes, rows, strict=True)]
    for side, width, found in zip(sides, widths, Counting(sides).counted(weights), strict=True):
        alone = [weights[side.codes == code].sum(axis=0) for code in range(width)]
        assert np.array_equal(found, alone)
    assert Counting([]).counted(weights) == []


@pytest.mark.parametrize("rounded", [0, 1, 9])
def test_equal_rows_of_features_are_kept_once_in_ascending_order(rounded: int) -> None:
    features = np.random.default_rng(0).normal(size=(60, 2)).round(rounded)
    found = of_features(features, share)
    distinct, codes = np.unique(features, axis=0, return_inverse=True)
    assert np.array_equal(found.rows.toarray(), distinct)
    assert np.array_equal(found.codes, codes.reshape(-1))
