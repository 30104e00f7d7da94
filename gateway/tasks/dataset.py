"""A table and a task -> items: columns found, values checked, ids unique.

Values are never repaired: what can not be used is an error with its line. Only line ends are
made one (CRLF and CR become LF), since they say nothing about the text.
"""

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from gateway.core.digests import digest_json
from gateway.core.errors import ConfigError, DataError
from gateway.core.types import Answer
from gateway.tasks.sampling import stratified_sample
from gateway.tasks.tables import Row, Table, read_table
from gateway.tasks.task import Dataset, Item, Task

ID = "id"
_MOST_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Problem:
    """A row that is no item."""

    line: int
    part: Literal["id", "input", "answer"]
    error: DataError


@dataclass(frozen=True, slots=True)
class Scan:
    """All rows of one source: those that are items, and what is wrong with the others."""

    path: str
    items: tuple[Item, ...]
    problems: tuple[Problem, ...]
    """In the order of the lines."""


def load_dataset(
    source: str,
    task: Task,
    *,
    labelled: bool = True,
    columns: Mapping[str, str] | None = None,
    limit: int | None = None,
    sample_seed: int = 0,
) -> Dataset:
    """Items of a CSV, TSV, JSONL or Parquet file, or of a dataset named `hf:NAME`.

    Args:
        labelled: whether every item must have an answer; otherwise none is read.
        columns: field (or answer, or "id") -> name of its column, where the task's own names fail.
        limit: keep so many items: a seeded sample, stratified by label, in the file's order. The
            sample for a smaller limit lies within the one for a larger, up to rounding.

    Raises:
        ConfigError: `columns` names no field of the task.
        DataError: the first thing wrong with the data, with file and line.
    """
    scan = scan_dataset(source, task, labelled=labelled, columns=columns)
    if scan.problems:
        raise scan.problems[0].error
    items = scan.items
    labels = tuple(sorted({item.gold for item in items if isinstance(item.gold, str)}))
    kept = list(items) if limit is None else stratified_sample(items, limit, sample_seed)
    digest = digest_json([[i.id, i.digest, i.gold, *filter(None, [i.rationale])] for i in kept])
    return Dataset(source, tuple(kept), digest, labels)


def scan_dataset(
    source: str,
    task: Task,
    *,
    labelled: bool = True,
    columns: Mapping[str, str] | None = None,
) -> Scan:
    """As `load_dataset`, with everything that is wrong with single rows instead of the first.

    Raises:
        ConfigError: `columns` names no field of the task.
        DataError: the source is no table, or a column is missing.
    """
    wanted = columns or {}
    known = {**task.columns, **task.answers, ID: (ID,)}
    for name in wanted:
        if name not in known:
            raise ConfigError(
                f"the task {task.name} has no field {name!r}", hint=f"fields: {', '.join(known)}"
            )
    table = read_table(source)
    fields = {name: _column(table, name, known[name], wanted) for name in task.fields}
    answers = (
        {name: _column(table, name, known[name], wanted) for name in task.answers}
        if labelled
        else {}
    )
    ids = wanted.get(ID) or (ID if ID in table.columns else "")
    if ids and ids not in table.columns:
        raise _no_column(table, ID, (ids,))
    rationale = next((name for name in task.rationale if labelled and name in table.columns), "")
    rows = _Rows(table, task, fields, answers, ids, rationale)
    read = [rows.read(row) for row in table.rows]
    items = tuple(each for each in read if isinstance(each, Item))
    problems = tuple(each for each in read if isinstance(each, Problem))
    return Scan(source, items, problems)


@dataclass(slots=True)
class _Rows:
    """Makes items of a table's rows."""

    table: Table
    task: Task
    fields: Mapping[str, str]
    answers: Mapping[str, str]
    ids: str
    rationale: str
    seen: dict[str, int] = field(default_factory=dict)
    """Id -> the line of its item."""

    def read(self, row: Row) -> Item | Problem:
        part: Literal["id", "input", "answer"] = "input"
        try:
            texts = {name: self._field(row, name) for name in self.fields}
            part = "id"
            name = self._id(row)
            part = "answer"
            gold = _gold(self.table, row, self.task, self.answers) if self.answers else None
            why = self._rationale(row)
        except DataError as error:
            return Problem(row.line, part, error)
        self.seen[name] = row.line
        return Item(name, texts, gold, row.line, digest_json(texts), why, self.task.lists)

    def _field(self, row: Row, name: str) -> str:
        column = self.fields[name]
        value = row.values.get(column)
        if name in self.task.lists and isinstance(value, list):
            return _listed(self.table, row, column, value)
        return _text(self.table, row, column)

    def _id(self, row: Row) -> str:
        name = _text(self.table, row, self.ids).strip() if self.ids else f"line-{row.line}"
        place = self.table.place(row.line)
        if not name:
            raise DataError(f"{place}: the id is empty; every item needs its own")
        if name in self.seen:
            raise DataError(
                f"{place}: the id {name!r} is also in line {self.seen[name]}; ids must differ"
            )
        return name

    def _rationale(self, row: Row) -> str:
        if not self.rationale or self.rationale not in row.values:
            return ""
        return _text(self.table, row, self.rationale).strip()


def _column(table: Table, name: str, accepted: Sequence[str], wanted: Mapping[str, str]) -> str:
    names = (wanted[name],) if name in wanted else accepted
    for column in names:
        if column in table.columns:
            return column
    raise _no_column(table, name, names)


def _no_column(table: Table, name: str, names: Sequence[str]) -> DataError:
    shown = ", ".join(table.columns[:_MOST_SHOWN])
    return DataError(
        f"{table.place(1)}: no column for {name!r}; expected {' or '.join(names)}, found {shown}",
        hint=f"--column {name}=NAME if it is called otherwise",
    )


def _text(table: Table, row: Row, column: str) -> str:
    """A value as text: nothing is empty text, a number is how it is written."""
    if column not in row.values:
        raise DataError(f"{table.place(row.line)}: no {column!r}, which other rows have")
    value = row.values[column]
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise DataError(
            f"{table.place(row.line)}: {column!r} is a {type(value).__name__}; text is expected"
        )
    text = str(value)
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise DataError(
            f"{table.place(row.line)}: {column!r} holds half a surrogate pair, which is no text"
        )
    if "\0" in text:
        raise DataError(f"{table.place(row.line)}: {column!r} holds a NUL character")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _listed(table: Table, row: Row, column: str, values: Sequence[object]) -> str:
    """A list as text, an empty line between its entries: a text as it is, an object as one line
    `name: value` for each of its members."""
    entries = []
    for number, value in enumerate(values, start=1):
        members = value if isinstance(value, dict) else {"": value}
        where = f"{column} {number}"
        texts = {n: _text(table, Row(row.line, {where: v}), where) for n, v in members.items()}
        entries.append("\n".join(f"{n}: {text}" if n else text for n, text in texts.items()))
    return "\n\n".join(entries)


def _gold(table: Table, row: Row, task: Task, answers: Mapping[str, str]) -> Answer:
    if task.kind == "extraction":
        return {
            name: _one_of(table, row, column, task.answer_values[name])
            for name, column in answers.items()
        }
    column = next(iter(answers.values()))
    if task.kind == "number":
        return _number(table, row, column, task)
    return _one_of(table, row, column, [label.name for label in task.labels])


def _one_of(table: Table, row: Row, column: str, allowed: Sequence[str]) -> str:
    """A label of the set; any text where the set is empty, since the data makes it."""
    label = _text(table, row, column).strip()
    if not label:
        raise DataError(f"{table.place(row.line)}: {column!r} is empty; a label is expected")
    if allowed and label not in allowed:
        near = difflib.get_close_matches(label.lower(), allowed, n=1)
        raise DataError(
            f"{table.place(row.line)}: {column!r} is {label!r}; "
            f"expected one of {', '.join(allowed[:_MOST_SHOWN])}",
            hint=f"did you mean {near[0]!r}?" if near else "",
        )
    return label


def _number(table: Table, row: Row, column: str, task: Task) -> float:
    text = _text(table, row, column).strip()
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not task.minimum <= value <= task.maximum:
        raise DataError(
            f"{table.place(row.line)}: {column!r} is {text!r}; "
            f"expected a number from {task.minimum:g} to {task.maximum:g}"
        )
    return value
