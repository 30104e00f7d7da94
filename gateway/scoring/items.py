"""The predictions of one cell in order of item id, and the arrays that are read of them.

A report asks for the same few arrays again and again: which items are right, the codes of gold
values and answers, the labels' probabilities. Each is read once and kept with the items.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from operator import attrgetter, itemgetter, lt
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt

from gateway.core.errors import ConfigError, DataError
from gateway.core.types import TaskKind
from gateway.scoring.results import Prediction, Status
from gateway.scoring.statistic import BoolArray, FloatArray, IntArray

Made = TypeVar("Made")

_ONE = 1.0 + 1e-9
"""Within one, with room for the rounding of 3.1 - 2.1."""


class Items(tuple[Prediction, ...]):
    """Predictions, and what was read of them; every array is of shape (items,) or (items, ...)."""

    @cached_property
    def ids(self) -> npt.NDArray[np.object_]:
        """Their item ids."""
        return np.fromiter((item.item_id for item in self), dtype=np.object_, count=len(self))

    @cached_property
    def seen(self) -> npt.NDArray[np.object_]:
        """What tells one answer from another."""
        return np.fromiter(map(_seen, self), dtype=np.object_, count=len(self))

    @cached_property
    def answered(self) -> BoolArray:
        """Whether there is an answer."""
        ok = Status.OK
        return np.asarray([item.status is ok for item in self], dtype=np.bool_)

    @cached_property
    def inexact(self) -> int:
        """Items that rest on log-probabilities that are bounds."""
        return sum(not item.exact for item in self)

    def right(self, kind: TaskKind) -> BoolArray:
        """Whether each was answered rightly; one without an answer is not (`is_right`)."""
        return self._once(("right", kind), lambda: _right(self, kind))

    def codes(self, labels: Sequence[str]) -> tuple[IntArray, IntArray]:
        """Gold and answer as positions in `labels`; len(labels) stands for an abstention.

        Raises:
            ConfigError: there are fewer than two labels.
            DataError: a gold value or an answer is none of them.
        """
        return self._once(("codes", *labels), lambda: _codes(labels, self))

    def shares(self, labels: Sequence[str]) -> FloatArray:
        """Probabilities in label order, shape (items, labels); NaN rows where there are none.

        Raises:
            DataError: some are no distribution over the labels.
        """
        return self._once(("shares", *labels), lambda: _shares(labels, self))

    def _once(self, key: tuple[str, ...], make: Callable[[], Made]) -> Made:
        if key not in self._kept:
            self._kept[key] = make()
        return cast(Made, self._kept[key])

    @cached_property
    def _kept(self) -> dict[tuple[str, ...], Any]:
        return {}


def ordered(predictions: Sequence[Prediction]) -> Items:
    """The predictions by item id, so that the order of arrival changes nothing.

    Raises:
        DataError: there are none, an item occurs twice, or one has no gold value.
    """
    if isinstance(predictions, Items):
        return predictions
    if not predictions:
        raise DataError("there are no predictions to score", hint="run the cell first")
    ids = [item.item_id for item in predictions]
    if all(map(lt, ids, ids[1:])):
        items = Items(predictions)
    else:
        items = Items(sorted(predictions, key=attrgetter("item_id")))
        _require_each_once(items)
    for item in items:
        if item.gold is None:
            raise DataError(
                f"item {item.item_id!r} has no gold value, so nothing can be scored",
                hint="give the column of the labels, or use `gateway classify`",
            )
    return items


def _require_each_once(items: Sequence[Prediction]) -> None:
    for item_id, count in Counter(item.item_id for item in items).items():
        if count > 1:
            raise DataError(f"item {item_id!r} was predicted {count} times by one cell")


def is_right(prediction: Prediction, task_kind: TaskKind) -> bool | None:
    """Whether the answer is right; None where nothing was answered or the gold value is unknown.

    Classification: the gold label. Extraction: every field that the gold value names; fields that
    it does not name are not judged. Number: at most one away, as the metric within_one, because
    equality of an estimate with its gold value is mostly luck.
    """
    if prediction.status is not Status.OK or prediction.gold is None:
        return None
    if task_kind == "number":
        return abs(number_of(prediction) - gold_number(prediction)) <= _ONE
    if task_kind == "extraction":
        answer = fields_of(prediction)
        return all(answer.get(key) == value for key, value in gold_fields(prediction).items())
    return prediction.answer == prediction.gold


def absolute_errors(items: Sequence[Prediction]) -> FloatArray:
    """|answer - gold| of a number task, shape (items,); NaN where nothing was answered.

    Raises:
        DataError: a gold value or an answer is not a finite number.
    """
    golds = [gold_number(item) for item in items]
    return np.asarray(
        [
            abs(number_of(item) - gold) if item.status is Status.OK else math.nan
            for item, gold in zip(items, golds, strict=True)
        ]
    )


def gold_number(item: Prediction) -> float:
    """The gold value of a number task; raises DataError where it is no finite number."""
    return _finite(item, "gold value", item.gold)


def number_of(item: Prediction) -> float:
    """The answer of a number task; raises DataError where it is no finite number."""
    return _finite(item, "answer", item.answer)


def gold_fields(item: Prediction) -> Mapping[str, str]:
    """The gold value of an extraction; raises DataError where it names no field."""
    fields = _mapping(item, "gold value", item.gold)
    if not fields:
        raise DataError(f"the gold value of item {item.item_id!r} names no field")
    return fields


def fields_of(item: Prediction) -> Mapping[str, str]:
    """The answer of an extraction; raises DataError where it is no set of fields."""
    return _mapping(item, "answer", item.answer)


def _seen(item: Prediction) -> object:
    if item.status is not Status.OK:
        return (item.status,)
    if isinstance(item.answer, Mapping):
        return tuple(sorted(item.answer.items()))
    return item.answer


def _right(items: Sequence[Prediction], kind: TaskKind) -> BoolArray:
    return np.asarray([is_right(item, kind) is True for item in items], dtype=np.bool_)


def _codes(labels: Sequence[str], items: Sequence[Prediction]) -> tuple[IntArray, IntArray]:
    if len(labels) < 2 or len(set(labels)) != len(labels):
        raise ConfigError(
            f"a classification needs at least two distinct labels, not {tuple(labels)!r}",
            hint="name the labels in task.toml",
        )
    code = {label: position for position, label in enumerate(labels)}
    try:
        gold = [code[cast(str, item.gold)] for item in items]
        answer = [
            code[cast(str, item.answer)] if item.status is Status.OK else len(labels)
            for item in items
        ]
    except (KeyError, TypeError):
        _require_labels(code, items)
        raise
    return np.asarray(gold, dtype=np.int64), np.asarray(answer, dtype=np.int64)


def _require_labels(code: Mapping[str, int], items: Sequence[Prediction]) -> None:
    """Raise for the first value that is no label: of gold values, then of answers."""
    found = [(item, "gold value", item.gold) for item in items]
    found += [(item, "answer", item.answer) for item in items if item.status is Status.OK]
    for item, what, value in found:
        if not isinstance(value, str) or value not in code:
            some = f"{', '.join(list(code)[:10])}{', ...' if len(code) > 10 else ''}"
            raise DataError(
                f"the {what} {value!r} of item {item.item_id!r} is none of the {len(code)} labels",
                hint=f"the labels are {some}",
            )


def _shares(labels: Sequence[str], items: Sequence[Prediction]) -> FloatArray:
    table = np.full((len(items), len(labels)), np.nan)
    given = {
        row: item.probabilities
        for row, item in enumerate(items)
        if item.status is Status.OK and item.probabilities is not None
    }
    if not given:
        return table
    shares = np.asarray(in_order(labels, list(given.values())))
    totals = shares.sum(axis=1)
    whole = np.asarray([len(p) == len(labels) for p in given.values()])
    # Written so that a NaN fails too.
    sound = whole & (shares >= 0).all(axis=1) & (np.abs(totals - 1.0) <= 1e-6)
    if not sound.all():
        item = items[list(given)[int(sound.argmin())]]
        raise DataError(
            f"the probabilities of item {item.item_id!r} are not a distribution over the labels",
            hint="they need one entry a label, none negative, and the sum 1",
        )
    table[list(given)] = shares / totals[:, np.newaxis]
    return table


def in_order(
    labels: Sequence[str], given: Sequence[Mapping[str, float]]
) -> list[tuple[float, ...]] | list[list[float]]:
    """Each item's probabilities in the order of at least two labels; NaN where one has none."""
    try:
        # Some tens of thousands of items have one for every label: read at once.
        return list(map(itemgetter(*labels), given))
    except KeyError:
        return [[p.get(label, math.nan) for label in labels] for p in given]


def _finite(item: Prediction, what: str, value: object) -> float:
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise DataError(f"the {what} {value!r} of item {item.item_id!r} is not a finite number")
    return float(value)


def _mapping(item: Prediction, what: str, value: object) -> Mapping[str, str]:
    if not isinstance(value, Mapping):
        raise DataError(f"the {what} {value!r} of item {item.item_id!r} is not a set of fields")
    return value
