from dataclasses import replace

import numpy as np
import pytest

from gateway.core.errors import DataError
from gateway.scoring.items import Items, ordered
from gateway.scoring.results import Status
from tests.scoring.cells import LABELS, cell


def test_an_array_is_read_once() -> None:
    items = ordered(cell("a", ["bug", "feature"], ["bug", None]))
    assert items.codes(LABELS)[0] is items.codes(LABELS)[0]
    assert items.right("classification") is items.right("classification")
    assert items.codes(LABELS[::-1])[0].tolist() != items.codes(LABELS)[0].tolist()


def test_what_is_in_order_already_is_kept_as_it_is() -> None:
    items = ordered(cell("a", ["bug", "feature"], ["bug", None]))
    assert ordered(items) is items
    assert isinstance(items, Items)
    assert list(ordered(items[::-1])) == list(items)


def test_an_item_that_occurs_twice_is_refused_in_whatever_order() -> None:
    first, second = cell("a", ["bug", "feature"], ["bug", None])
    for given in ([first, first, second], [second, first, first]):
        with pytest.raises(DataError, match="predicted 2 times"):
            ordered(given)


def test_no_answer_is_told_from_another_status_and_from_a_label() -> None:
    one, other = cell("a", ["bug", "bug"], [None, "bug"])
    items = Items([one, replace(one, status=Status.FAILED), other])
    assert items.seen[0] != items.seen[1]
    assert items.seen[0] != items.seen[2]
    assert np.array_equal(items.answered, [False, False, True])


def test_the_first_value_that_is_no_label_is_named() -> None:
    items = Items(cell("a", ["bug", "bogus"], ["fiction", "bug"]))
    with pytest.raises(DataError, match="the gold value 'bogus' of item '0001'"):
        items.codes(LABELS)
