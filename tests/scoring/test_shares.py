"""A table of the labels' probabilities is the mappings that it stands for."""

from dataclasses import replace

import numpy as np
import pytest

from gateway.scoring.columns import Columns
from gateway.scoring.flips import differing
from gateway.scoring.items import Items
from gateway.scoring.results import Prediction, Status
from gateway.scoring.shares import Given, Shares, table_of, unlike

LABELS = ("bug", "a % b")
ROWS: list[Given] = [{"bug": 0.25, "a % b": 0.75}, None, {"bug": 1.0, "a % b": 0.0}]


def shares(rows: list[Given] = ROWS) -> Shares:
    places = [at for at, row in enumerate(rows) if row is not None]
    table = np.asarray([[row[label] for label in LABELS] for row in rows if row is not None])
    return Shares.of_some(LABELS, table, places, len(rows))


def test_it_is_the_mappings() -> None:
    found = shares()
    assert found == ROWS
    assert [found[at] for at in range(3)] == ROWS
    assert found[1:] == ROWS[1:]
    assert found.taken([2, 1]) == [ROWS[2], None]
    assert [list(row) for row in found if row is not None] == [list(LABELS)] * 2


@pytest.mark.parametrize("labels", [LABELS, LABELS[::-1]])
def test_it_is_read_in_any_order_of_the_labels(labels: tuple[str, ...]) -> None:
    which = np.asarray([2, 0])
    assert (table_of(labels, shares(), which) == table_of(labels, ROWS, which)).all()


def test_cells_are_unlike_where_their_mappings_are() -> None:
    others: list[list[Given]] = [ROWS, [None, *ROWS[1:]], [ROWS[2], ROWS[0], ROWS[2]]]
    for other in others:
        expected = unlike(ROWS, other).tolist()
        assert unlike(shares(), shares(other)).tolist() == expected
        assert unlike(shares(), other).tolist() == expected


def _best(row: Given) -> str | None:
    return max(row, key=row.__getitem__) if row else None


def predictions(cell: str, rows: list[Given]) -> list[Prediction]:
    return [
        Prediction(cell, str(at), Status.OK if row else Status.FAILED, _best(row), "bug", row)
        for at, row in enumerate(rows)
    ]


@pytest.mark.parametrize("whole", [True, False])
def test_what_is_asked_of_items_is_the_same(whole: bool) -> None:
    rows = [row for row in ROWS if row or not whole]
    made, others = predictions("a", rows), predictions("b", rows[::-1])
    by_table = Items(replace(Columns.of(made), probabilities=shares(rows)))
    assert by_table == made
    assert (by_table.of_probabilities == Items(made).of_probabilities).all()
    expected_table = Items(made).shares(LABELS)
    assert np.array_equal(by_table.shares(LABELS), expected_table, equal_nan=True)
    found, expected = (differing([items, others], "classification") for items in (by_table, made))
    assert found == expected
    assert len(found) == 2
