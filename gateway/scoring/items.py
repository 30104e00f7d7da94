"""The predictions of one cell in order of item id, and the arrays that are read of them.

A report asks for the same few arrays again and again: which items are right, the codes of gold
values and answers, the labels' probabilities. Each is read once and kept with the items.
"""

import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import compress, islice, repeat
from operator import eq, is_, is_not, lt
from typing import Any, TypeVar, cast, overload

import numpy as np
import numpy.typing as npt

from gateway.core.errors import ConfigError, DataError
from gateway.core.types import Answer, TaskKind
from gateway.scoring.arrays import BoolArray, FloatArray, IntArray
from gateway.scoring.columns import Columns
from gateway.scoring.results import Prediction, Status
from gateway.scoring.shares import Given, Shares, table_of

Made = TypeVar("Made")

_ONE = 1.0 + 1e-9
"""Within one, with room for the rounding of 3.1 - 2.1."""


class Items(Sequence[Prediction]):
    """Predictions, and what was read of them; every array is of shape (items,) or (items, ...).

    They are given as objects or as columns. What is lacking is made of what is there when it is
    first asked for.
    """

    def __init__(self, given: Sequence[Prediction] | Columns) -> None:
        if isinstance(given, Columns):
            self.columns = given
        else:
            self.predictions = tuple(given)

    @cached_property
    def columns(self) -> Columns:
        """One list a field."""
        return Columns.of(self.predictions)

    @cached_property
    def predictions(self) -> tuple[Prediction, ...]:
        """One object an item."""
        return self.columns.predictions()

    def __len__(self) -> int:
        return len(self.columns.item_id)

    @overload
    def __getitem__(self, at: int) -> Prediction: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[Prediction, ...]: ...
    def __getitem__(self, at: int | slice) -> Prediction | tuple[Prediction, ...]:
        return self.predictions[at]

    def __iter__(self) -> Iterator[Prediction]:
        return iter(self.predictions)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(map(eq, self, other))

    __hash__ = None  # type: ignore[assignment]

    @cached_property
    def ids(self) -> npt.NDArray[np.object_]:
        """Their item ids."""
        return _objects(self.columns.item_id)

    @cached_property
    def seen(self) -> npt.NDArray[np.object_]:
        """What tells one answer from another."""
        statuses, answers = self.columns.status, self.columns.answer
        if self.answered.all() and set(map(type, answers)) == {str}:
            return _objects(answers)
        return _objects(list(map(_seen, statuses, answers)))

    @cached_property
    def answered(self) -> BoolArray:
        """Whether there is an answer."""
        return self.of_status(Status.OK)

    def of_status(self, status: Status) -> BoolArray:
        """Whether each has that status."""
        found = map(is_, self.columns.status, repeat(status))
        return np.fromiter(found, dtype=np.bool_, count=len(self))

    @cached_property
    def of_probabilities(self) -> BoolArray:
        """Whether there is an answer with probabilities of the labels."""
        shares = self.columns.probabilities
        if isinstance(shares, Shares):
            return self.answered & shares.known
        given = map(is_not, shares, repeat(None))
        return self.answered & np.fromiter(given, dtype=np.bool_, count=len(self))

    @cached_property
    def inexact(self) -> int:
        """Items that rest on log-probabilities that are bounds."""
        return len(self) - sum(self.columns.exact)

    @cached_property
    def in_order(self) -> bool:
        """Whether ids ascend, each once, and every item has a gold value."""
        return _ascend(self.columns.item_id) and None not in self.columns.gold

    @cached_property
    def gold_numbers(self) -> FloatArray:
        """The gold values of a number task; raises DataError where one is no finite number."""
        return self._numbers("gold value", self.columns.gold, np.ones(len(self), dtype=np.bool_))

    @cached_property
    def errors(self) -> FloatArray:
        """|answer - gold| of a number task; NaN where nothing was answered.

        Raises:
            DataError: a gold value or an answer is not a finite number.
        """
        golds = self.gold_numbers
        return np.abs(self._numbers("answer", self.columns.answer, self.answered) - golds)

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

    def _numbers(self, what: str, values: Sequence[Answer | None], which: BoolArray) -> FloatArray:
        """Values that are to be finite numbers; NaN for those that are not asked for."""
        found = np.full(len(self), math.nan)
        ids = self.columns.item_id
        found[which] = [_finite(ids[at], what, values[at]) for at in np.flatnonzero(which).tolist()]
        return found

    def _once(self, key: tuple[str, ...], make: Callable[[], Made]) -> Made:
        if key not in self._kept:
            self._kept[key] = make()
        return cast(Made, self._kept[key])

    @cached_property
    def _kept(self) -> dict[tuple[str, ...], Any]:
        return {}


def items_of(predictions: Sequence[Prediction]) -> Items:
    """The predictions with what is read of them, in their order."""
    return predictions if isinstance(predictions, Items) else Items(predictions)


def ordered(predictions: Sequence[Prediction]) -> Items:
    """The predictions by item id, so that the order of arrival changes nothing.

    Raises:
        DataError: there are none, an item occurs twice, or one has no gold value.
    """
    if not predictions:
        raise DataError("there are no predictions to score", hint="run the cell first")
    items = items_of(predictions)
    if items.in_order:
        return items
    ids = items.columns.item_id
    if not _ascend(ids):
        items = Items(items.columns.taken(sorted(range(len(ids)), key=ids.__getitem__)))
    if not items.in_order:
        _require_each_once(ids)
        _require_golds(items.columns)
    return items


def _ascend(ids: Sequence[str]) -> bool:
    return all(map(lt, ids, islice(ids, 1, None)))


def _require_each_once(ids: Sequence[str]) -> None:
    for item_id, count in sorted(Counter(ids).items()):
        if count > 1:
            raise DataError(f"item {item_id!r} was predicted {count} times by one cell")


def _require_golds(columns: Columns) -> None:
    for item_id, gold in zip(columns.item_id, columns.gold, strict=True):
        if gold is None:
            raise DataError(
                f"item {item_id!r} has no gold value, so nothing can be scored",
                hint="give the column of the labels, or use `gateway classify`",
            )


def is_right(prediction: Prediction, task_kind: TaskKind) -> bool | None:
    """Whether the answer is right; None where nothing was answered or the gold value is unknown.

    Classification: the gold label. Extraction: every field that the gold value names; fields that
    it does not name are not judged. Number: at most one away, as the metric within_one, because
    equality of an estimate with its gold value is mostly luck.
    """
    if prediction.status is not Status.OK or prediction.gold is None:
        return None
    item_id, gold, answer = prediction.item_id, prediction.gold, prediction.answer
    if task_kind == "number":
        away = _finite(item_id, "answer", answer) - _finite(item_id, "gold value", gold)
        return abs(away) <= _ONE
    if task_kind == "extraction":
        found = answered_fields(item_id, answer)
        return all(found.get(key) == value for key, value in gold_fields(item_id, gold).items())
    return answer == gold


def gold_fields(item_id: str, gold: object) -> Mapping[str, str]:
    """The gold value of an extraction; raises DataError where it names no field."""
    fields = _mapping(item_id, "gold value", gold)
    if not fields:
        raise DataError(f"the gold value of item {item_id!r} names no field")
    return fields


def answered_fields(item_id: str, answer: object) -> Mapping[str, str]:
    """The answer of an extraction; raises DataError where it is no set of fields."""
    return _mapping(item_id, "answer", answer)


def _objects(values: Sequence[object]) -> npt.NDArray[np.object_]:
    return np.fromiter(values, dtype=np.object_, count=len(values))


def _seen(status: Status, answer: Answer | None) -> object:
    if status is not Status.OK:
        return (status,)
    if isinstance(answer, Mapping):
        return tuple(sorted(answer.items()))
    return answer


def _right(items: Items, kind: TaskKind) -> BoolArray:
    if kind == "extraction" or None in items.columns.gold:
        return np.asarray([is_right(item, kind) is True for item in items], dtype=np.bool_)
    if kind == "number":
        return np.asarray(items.errors <= _ONE)
    equal = map(eq, items.columns.answer, items.columns.gold)
    return items.answered & np.fromiter(equal, dtype=np.bool_, count=len(items))


def _codes(labels: Sequence[str], items: Items) -> tuple[IntArray, IntArray]:
    if len(labels) < 2 or len(set(labels)) != len(labels):
        raise ConfigError(
            f"a classification needs at least two distinct labels, not {tuple(labels)!r}",
            hint="name the labels in task.toml",
        )
    code = {label: position for position, label in enumerate(labels)}
    at: Callable[[Any], int] = code.__getitem__
    answers = np.full(len(items), len(labels), dtype=np.int64)
    try:
        golds = np.fromiter(map(at, items.columns.gold), dtype=np.int64, count=len(items))
        answers[items.answered] = [*map(at, compress(items.columns.answer, items.answered))]
    except (KeyError, TypeError):
        _require_labels(code, items)
        raise
    return golds, answers


def _require_labels(code: Mapping[str, int], items: Items) -> None:
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


def _shares(labels: Sequence[str], items: Items) -> FloatArray:
    table = np.full((len(items), len(labels)), np.nan)
    known = np.flatnonzero(items.of_probabilities)
    if not len(known):
        return table
    given = items.columns.probabilities
    shares = table_of(labels, given, known)
    totals = shares.sum(axis=1)
    whole = _lengths(given, known) == len(labels)
    # Written so that a NaN fails too.
    sound = whole & (shares >= 0).all(axis=1) & (np.abs(totals - 1.0) <= 1e-6)
    if not sound.all():
        item_id = items.columns.item_id[int(known[sound.argmin()])]
        raise DataError(
            f"the probabilities of item {item_id!r} are not a distribution over the labels",
            hint="they need one entry a label, none negative, and the sum 1",
        )
    table[known] = shares / totals[:, np.newaxis]
    return table


def _lengths(given: Sequence[Given], which: IntArray) -> IntArray:
    """How many labels have a probability, of each of some items that have any."""
    if isinstance(given, Shares):
        return np.full(len(which), len(given.labels))
    lengths = (len(given[at] or ()) for at in which.tolist())
    return np.fromiter(lengths, dtype=np.int64, count=len(which))


def _finite(item_id: str, what: str, value: object) -> float:
    # Written so that a NaN and a whole number beyond all floats fail too.
    if not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
        raise DataError(f"the {what} {value!r} of item {item_id!r} is not a finite number")
    return float(value)


def _mapping(item_id: str, what: str, value: object) -> Mapping[str, str]:
    if not isinstance(value, Mapping):
        raise DataError(f"the {what} {value!r} of item {item_id!r} is not a set of fields")
    return value
