"""Columns of a table, and paths into what stands in them: `fields.summary`, `labels[0].name`."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from gateway.core.errors import DataError
from gateway.tasks.chat_shapes import named_shape
from gateway.tasks.tables import Row, Table, Unreadable
from gateway.tasks.tables.delimited import other_delimiter, shown
from gateway.tasks.tables.values import as_text, kind_of, trimmed

_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")
_MOST_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Column:
    """A column, or a part of what stands in it."""

    name: str
    """As it was asked for."""
    key: str
    """The column of the table."""
    steps: tuple[str | int, ...] = ()
    """Names of members and places in lists that lead to the part."""
    field: str = ""
    """Which it is of the task's fields."""

    def value(self, table: Table, row: Row) -> object:
        """What a row has there; None behind the end of a list, or within what is None.

        Raises:
            DataError: the row has nothing of that name.
        """
        if self.key not in row.values:
            raise DataError(f"{table.place(row.line)}: no {self.key!r}, which other rows have")
        found = row.values[self.key]
        steps = list(self.steps)
        while steps:
            steps = _joined(found, steps)
            found = self._step(table, row, found, steps.pop(0))
        return found

    def text(self, table: Table, row: Row) -> str:
        """The value as text.

        Raises:
            DataError: it is none, with file and line.
        """
        try:
            return as_text(self.value(table, row))
        except DataError as error:
            if error.message.startswith(table.place(row.line)):
                raise
            hint = error.hint.replace("FIELD=COLUMN", f"{self.field}={self.name}")
            raise self.wrong(table, row, error.message, hint) from error

    def leaves_some(self, table: Table, row: Row) -> bool:
        """Whether it takes one entry of a list that has several."""
        places = [at for at, step in enumerate(self.steps) if isinstance(step, int)]
        found = [Column(self.name, self.key, self.steps[:at]).value(table, row) for at in places]
        lists = [value for value in map(_parsed, found) if isinstance(value, list)]
        return any(len(value) > 1 for value in lists)

    def wrong(self, table: Table, row: Row, what: str, hint: str = "") -> DataError:
        """The error of a value: file, line, column, and what is wrong."""
        return DataError(f"{table.place(row.line)}: {self.name!r} {what}", hint=hint)

    def _step(self, table: Table, row: Row, value: object, step: str | int) -> object:
        value = _parsed(value)
        if value is None:
            return None
        if isinstance(step, int) and isinstance(value, Sequence) and not isinstance(value, str):
            return value[step] if step < len(value) else None
        if isinstance(step, str) and isinstance(value, Mapping) and step in value:
            return value[step]
        if isinstance(value, Unreadable):
            raise self.wrong(table, row, f"leads into {value.reason}", value.hint)
        raise self.wrong(
            table, row, f"leads to {step!r} of {kind_of(value)}, which does not have it"
        )


def _joined(value: object, steps: list[str | int]) -> list[str | int]:
    """The same steps, the first ones as one where a member has such a name: `System.Title`."""
    members = _parsed(value)
    if not isinstance(members, Mapping) or not steps or steps[0] in members:
        return steps
    for end in range(2, len(steps) + 1):
        if not all(isinstance(step, str) for step in steps[:end]):
            break
        if (name := ".".join(map(str, steps[:end]))) in members:
            return [name, *steps[end:]]
    return steps


def _parsed(value: object) -> object:
    """Lists and objects that stand as JSON in a cell of text."""
    if not isinstance(value, str) or value[:1] not in ("{", "["):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def find_column(
    table: Table, field: str, accepted: Sequence[str], wanted: Mapping[str, str]
) -> Column:
    """The column of a field: the one that is wanted, else the first accepted that is there.

    Raises:
        DataError: there is none, or there are several of that name.
    """
    names = (wanted[field],) if field in wanted else accepted
    for name in names:
        if (count := table.called(name)) > 1:
            raise DataError(
                f"{table.place(1)}: {count} columns are called {name!r}",
                hint=f"--column {field}={name}[0] for the first of them",
            )
        if (found := _resolved(table, name)) is not None:
            return replace(found, field=field)
    raise no_column(table, field, names)


def _resolved(table: Table, name: str) -> Column | None:
    if name in table.columns:
        return Column(name, name)
    heads = [key for key in table.columns if key and name.startswith((f"{key}.", f"{key}["))]
    for key in sorted(heads, key=len, reverse=True):
        rest = name[len(key) :]
        if re.fullmatch(f"({_STEP.pattern})+", rest):
            steps = (m[1] if m[1] is not None else int(m[2]) for m in _STEP.finditer(rest))
            return Column(name, key, tuple(steps))
    return None


def no_column(table: Table, field: str, names: Sequence[str]) -> DataError:
    """The error where no column of these names is there."""
    if (shape := named_shape(table.columns)) is not None:
        return DataError(
            f"{table.place(1)}: no table of labelled items but {shape.name}: no column for "
            f"{field!r}",
            hint=f"gateway data import {table.source} -t TASK --out items.jsonl makes items of it",
        )
    found = ", ".join(table.columns[:_MOST_SHOWN])
    meant = _meant(table, names) or "NAME"
    hint = f'--column "{field}={meant}" if it is called otherwise'
    if row := _header_below(table, names):
        hint = f"the header is in line {row.line}: remove what stands before it; else {hint}"
    elif other := other_delimiter(table.columns):
        hint = f"--delimiter {shown(other)} if that separates the columns; else {hint}"
    return DataError(
        f"{table.place(1)}: no column for {field!r}; expected {' or '.join(names)}, found {found}",
        hint=hint,
    )


def _header_below(table: Table, names: Sequence[str]) -> Row | None:
    """One of the first rows that has such a name where others have a value."""
    for row in table.rows[:_MOST_SHOWN]:
        texts = [trimmed(value) for value in row.values.values() if isinstance(value, str)]
        if set(texts) & set(names) and len(set(texts)) == len(texts) > 1:
            return row
    return None


def _meant(table: Table, names: Sequence[str]) -> str:
    """A column, or a member of what stands in one, that is called as one of the names but for case;
    empty if there is none."""
    wanted = {name.casefold() for name in names}
    for column in table.columns:
        if column.casefold() in wanted:
            return column
    for column, value in table.rows[0].values.items() if table.rows else ():
        for member in value if isinstance(value, Mapping) else ():
            if str(member).casefold() in wanted:
                return f"{column}.{member}"
    return ""
