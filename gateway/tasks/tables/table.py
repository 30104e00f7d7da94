"""What every reader makes: a table."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.core.errors import DataError


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A value that is none: it is an error only where something reads it."""

    reason: str
    """What it is, as in "a timestamp that Python cannot hold"."""
    raw: str | int | None = None
    """How it is written again; None: it cannot be."""
    hint: str = ""
    """What to do about it."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: the line it begins in (where rows have no lines, its number), and its values."""

    line: int
    values: Mapping[str, Any]
    """By column. A column is absent where the row does not have it."""


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of one source."""

    source: str
    columns: tuple[str, ...]
    """Each another. Columns of one name are `name[0]`, `name[1]` and so on."""
    rows: tuple[Row, ...]
    header: tuple[str, ...] = ()
    """The names as they are written, where some repeat; else empty."""
    notes: tuple[str, ...] = ()
    """What the reader decided by itself: to be told, and recorded with what is computed."""
    doubts: tuple[str, ...] = ()
    """What may be damage, and was read as it stands: to be told."""
    remarks: tuple[str, ...] = ()
    """What one who checks the data wants to know, though nothing is wrong with it."""

    def place(self, line: int) -> str:
        """`file:line`, for messages."""
        return f"{self.source}:{line}"

    @property
    def names(self) -> tuple[str, ...]:
        """The columns as they are written."""
        return self.header or self.columns

    def called(self, name: str) -> int:
        """How many columns have this name."""
        return self.names.count(name)


def distinct(source: str, names: Sequence[str]) -> tuple[str, ...]:
    """Names of columns, those that repeat with their number: `Comment[0]`, `Comment[1]`.

    Raises:
        DataError: a numbered name is that of another column.
    """
    repeated = {name for name, count in Counter(names).items() if count > 1}
    seen: Counter[str] = Counter()
    made = []
    for name in names:
        made.append(f"{name}[{seen[name]}]" if name in repeated else name)
        seen[name] += 1
    if len(set(made)) != len(made):
        again = next(name for name, count in Counter(made).items() if count > 1)
        raise DataError(f"{source}:1: two columns are called {again!r}")
    return tuple(made)


def brief(exc: Exception) -> str:
    """The first line of what a library says, which may be several lines of its own insides."""
    return (str(exc).strip().splitlines() or [type(exc).__name__])[0].rstrip(".")
