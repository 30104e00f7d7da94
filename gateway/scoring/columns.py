"""The predictions of one cell field by field: what very many of them are read as.

An object for each of some hundreds of thousands of predictions takes longer to make than all that
is then asked of them. A column is a list, and what is asked of it is asked at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any

from gateway.core.types import Answer
from gateway.scoring.results import Prediction, Status
from gateway.scoring.shares import Shares


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """One column a field of `Prediction`, in the order of its fields; shape (items,) each."""

    cell: Sequence[str]
    item_id: Sequence[str]
    status: Sequence[Status]
    answer: Sequence[Answer | None]
    gold: Sequence[Answer | None]
    probabilities: Sequence[Mapping[str, float] | None]
    raw_text: Sequence[str]
    reason: Sequence[str]
    exact: Sequence[bool]
    prompt_tokens: Sequence[int]
    completion_tokens: Sequence[int]
    tokens_evaluated: Sequence[int]
    fingerprint: Sequence[str]
    prompt_digest: Sequence[str]
    off_by: Sequence[float]

    @classmethod
    def of(cls, predictions: Sequence[Prediction]) -> "Columns":
        """Those of predictions that are objects."""
        return cls(*(list(map(attrgetter(name), predictions)) for name in NAMES))

    def all(self) -> tuple[Sequence[Any], ...]:
        """Every column."""
        return tuple(getattr(self, name) for name in NAMES)

    def predictions(self) -> tuple[Prediction, ...]:
        """The same as objects."""
        return tuple(map(Prediction, *self.all()))

    def taken(self, positions: Sequence[int]) -> "Columns":
        """Some of them, in the order of the positions."""
        return Columns(*(_taken(column, positions) for column in self.all()))


def _taken(column: Sequence[Any], positions: Sequence[int]) -> Sequence[Any]:
    if isinstance(column, Shares):
        return column.taken(positions)
    return list(map(column.__getitem__, positions))


NAMES = tuple(each.name for each in fields(Columns))
"""Of the columns, which are those of the fields."""
