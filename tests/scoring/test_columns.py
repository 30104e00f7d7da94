"""Columns hold what the objects do."""

from dataclasses import fields

from gateway.scoring.columns import NAMES, Columns
from gateway.scoring.items import Items, ordered
from gateway.scoring.results import Prediction
from tests.scoring.cells import cell


def test_there_is_one_column_a_field_in_the_order_of_the_fields() -> None:
    assert tuple(each.name for each in fields(Prediction)) == NAMES


def test_columns_and_objects_are_made_of_each_other() -> None:
    made = cell("a", ["bug", "feature", "bug"], ["bug", None, "feature"])
    columns = Columns.of(made)
    assert columns.predictions() == tuple(made)
    assert Items(columns) == made
    assert Items(columns)[1] == made[1]
    assert columns.taken([2, 0]).predictions() == (made[2], made[0])


def test_columns_are_put_in_order_as_objects_are() -> None:
    made = cell("a", ["bug", "feature", "bug"], ["bug", None, "feature"])
    assert ordered(Items(Columns.of(made[::-1]))) == made
