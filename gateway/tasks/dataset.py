"""A table and a task -> items: columns found, values checked, ids unique.

Values are never repaired: what cannot be used is an error with its line. Only line ends are
made one (CRLF and CR become LF), since they say nothing about the text, and labels have one
spelling (`labels`), which is told.
"""

import difflib
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from gateway.core.digests import digest_json
from gateway.core.errors import ConfigError, DataError
from gateway.core.lists import plural
from gateway.core.types import Answer
from gateway.tasks.columns import Column, find_column
from gateway.tasks.labels import changes_note, clean
from gateway.tasks.sampling import stratified_sample
from gateway.tasks.tables import Columns, Row, Table, options_of, read_table
from gateway.tasks.tables.rejected import rejected
from gateway.tasks.tables.values import number, trimmed
from gateway.tasks.task import Dataset, Item, Task, dataset_of

ID = "id"
CLUSTER = "cluster"
GROUP = "group"
_MOST_SHOWN = 12
_OTHER_IDS = "--column id=NAME takes another column, --column id= the number of the line"


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
    notes: tuple[str, ...] = ()
    """As `Dataset.notes`."""
    doubts: tuple[str, ...] = ()
    """As `Table.doubts`."""
    remarks: tuple[str, ...] = ()
    """As `Table.remarks`."""


def load_dataset(
    source: str,
    task: Task,
    *,
    labelled: bool = True,
    columns: Columns = None,
    limit: int | None = None,
    sample_seed: int = 0,
) -> Dataset:
    """Items of a CSV, TSV, JSONL, JSON or Parquet file, of standard input, or of `hf:NAME`.

    Args:
        labelled: whether every item must have an answer; otherwise none is read.
        columns: field (or answer, or "id") -> name of its column, where the task's own names fail;
            or `ReadOptions`, which also say delimiter, encoding and quoting.
        limit: keep so many items: a seeded sample, stratified by label, in the file's order. The
            sample for a smaller limit lies within the one for a larger, up to rounding.

    Raises:
        ConfigError: `columns` names no field of the task.
        DataError: the first thing wrong with the data, with file and line.
    """
    options = options_of(columns)
    scan = scan_dataset(source, task, labelled=labelled, columns=options)
    if scan.problems:
        raise scan.problems[0].error
    labels = {item.gold for item in scan.items if isinstance(item.gold, str)}
    items = scan.items
    kept = list(items) if limit is None else stratified_sample(items, limit, sample_seed)
    for said in (*scan.notes, *scan.doubts, *_silent(source, items)):
        options.tell(said)
    return dataset_of(source, kept, labels, scan.notes)


def _silent(source: str, items: Sequence[Item]) -> Iterator[str]:
    """That items ask nothing."""
    empty = [item for item in items if not any(text.strip() for text in item.fields.values())]
    if empty:
        yield f"{source}:{empty[0].line}: {plural(len(empty), 'item')} with no text at all"


def scan_dataset(
    source: str, task: Task, *, labelled: bool = True, columns: Columns = None
) -> Scan:
    """As `load_dataset`, with everything that is wrong with single rows instead of the first.

    Raises:
        ConfigError: `columns` names no field of the task.
        DataError: the source is no table, or a column is missing.
    """
    options = options_of(columns)
    wanted = options.columns
    known = {**task.columns, **task.answers, ID: (ID,)}
    for name in wanted:
        if name not in known:
            raise ConfigError(
                f"the task {task.name} has no field {name!r}", hint=f"fields: {', '.join(known)}"
            )
    table = read_table(source, options)
    answers = task.answers if labelled else ()
    rows = _Rows(
        table,
        task,
        {name: find_column(table, name, known[name], wanted) for name in task.fields},
        {name: find_column(table, name, known[name], wanted) for name in answers},
        _ids(table, wanted),
        _rationale(table, task) if labelled else None,
        _named(table, CLUSTER, options.cluster, "--cluster"),
        _named(table, GROUP, options.group, "--per"),
    )
    read = [rows.read(row) for row in table.rows]
    items = tuple(each for each in read if isinstance(each, Item))
    problems = tuple(each for each in read if isinstance(each, Problem))
    notes = (*table.notes, *rows.notes())
    return Scan(source, items, problems, notes, (*table.doubts, *rejected(table)), table.remarks)


def _ids(table: Table, wanted: Mapping[str, str]) -> Column | None:
    """The column of ids; None where the line is the id."""
    if wanted.get(ID) == "" or (ID not in wanted and not table.called(ID)):
        return None
    return find_column(table, ID, (ID,), wanted)


def _named(table: Table, what: str, name: str, option: str) -> Column | None:
    """The column that an option names; None where it names none."""
    if not name:
        return None
    try:
        return find_column(table, what, (name,), {})
    except DataError as error:
        raise DataError(error.message, hint=f"{option} names a column of the data") from error


def _rationale(table: Table, task: Task) -> Column | None:
    return next((Column(name, name) for name in task.rationale if name in table.columns), None)


@dataclass(slots=True)
class _Rows:
    """Makes items of a table's rows."""

    table: Table
    task: Task
    fields: Mapping[str, Column]
    answers: Mapping[str, Column]
    ids: Column | None
    rationale: Column | None
    clusters: Column | None = None
    groups: Column | None = None
    seen: dict[str, int] = field(default_factory=dict)
    """Id -> the line of its item."""
    changed: dict[str, Counter[tuple[str, str]]] = field(default_factory=dict)
    """Column -> (label as written, as read) -> rows."""
    left: Counter[str] = field(default_factory=Counter)
    """Column -> rows in which it takes one entry of a list that has several."""

    def read(self, row: Row) -> Item | Problem:
        part: Literal["id", "input", "answer"] = "input"
        try:
            texts = {name: self._field(row, name) for name in self.fields}
            part = "id"
            name = self._id(row)
            part = "answer"
            gold = self._gold(row) if self.answers else None
            why = self._why(row)
            cluster = self._cluster(row)
            group = self._group(row)
        except DataError as error:
            return Problem(row.line, part, error)
        self.seen[name] = row.line
        digest, lists = digest_json(texts), self.task.lists
        return Item(name, texts, gold, row.line, digest, why, lists, cluster, group)

    def notes(self) -> Iterator[str]:
        """What was decided while reading the rows."""
        for column, changed in self.changed.items():
            yield changes_note(self.table.source, column, changed)
        for column, count in self.left.items():
            yield (
                f"{self.table.source}: {column!r} takes one of several entries in "
                f"{plural(count, 'row')}"
            )

    def _field(self, row: Row, name: str) -> str:
        column = self.fields[name]
        value = column.value(self.table, row) if name in self.task.lists else None
        if isinstance(value, list):
            return _listed(self.table, row, column, value)
        return column.text(self.table, row)

    def _id(self, row: Row) -> str:
        name = trimmed(self.ids.text(self.table, row)) if self.ids else f"line-{row.line}"
        place = self.table.place(row.line)
        if not name:
            raise DataError(f"{place}: the id is empty; every item needs its own", hint=_OTHER_IDS)
        if name in self.seen:
            raise DataError(
                f"{place}: the id {name!r} is also in line {self.seen[name]}; ids must differ",
                hint=_OTHER_IDS,
            )
        return name

    def _why(self, row: Row) -> str:
        if self.rationale is None or self.rationale.key not in row.values:
            return ""
        return self.rationale.text(self.table, row).strip()

    def _cluster(self, row: Row) -> str:
        if self.clusters is None or self.clusters.key not in row.values:
            return ""
        return self.clusters.text(self.table, row).strip()

    def _group(self, row: Row) -> str:
        if self.groups is None:
            return ""
        group = self.groups.text(self.table, row).strip()
        if not group:
            raise self.groups.wrong(self.table, row, "is empty; --per needs a group of every item")
        return group

    def _gold(self, row: Row) -> Answer:
        if self.task.kind == "extraction":
            return {
                name: self._one_of(row, column, self.task.answer_values[name])
                for name, column in self.answers.items()
            }
        column = next(iter(self.answers.values()))
        if self.task.kind == "number":
            return self._number(row, column)
        return self._one_of(row, column, [label.name for label in self.task.labels])

    def _one_of(self, row: Row, column: Column, allowed: Sequence[str]) -> str:
        """A label of the set; any text where the set is empty, since the data makes it."""
        text = column.text(self.table, row)
        label = next((a for a in allowed if a == text.strip()), "") or clean(text)
        if allowed and label not in allowed:
            label = next((a for a in allowed if clean(a) == label), label)
        if not label:
            raise column.wrong(self.table, row, "is empty; a label is expected")
        if allowed and label not in allowed:
            near = difflib.get_close_matches(label.lower(), allowed, n=1)
            raise column.wrong(
                self.table,
                row,
                f"is {label!r}; expected one of {', '.join(allowed[:_MOST_SHOWN])}",
                f"did you mean {near[0]!r}?" if near else "",
            )
        if label != text:
            self.changed.setdefault(column.name, Counter())[text, label] += 1
        if column.leaves_some(self.table, row):
            self.left[column.name] += 1
        return label

    def _number(self, row: Row, column: Column) -> float:
        text = trimmed(column.text(self.table, row))
        value = number(text)
        if not self.task.minimum <= value <= self.task.maximum:
            wanted = f"a number from {self.task.minimum:g} to {self.task.maximum:g}"
            what = f"is {text!r}; expected {wanted}" if text else f"is empty; expected {wanted}"
            raise column.wrong(self.table, row, what, _meant_number(text))
        return value


def _meant_number(text: str) -> str:
    """What a text may mean that is no number; which one, nobody can know."""
    if text[-1:] == "%" and not math.isnan(number(text[:-1])):
        return f"{text[:-1].strip()} if it is counted in percent, or a hundredth of it"
    point, thousands = text.replace(",", "."), text.replace(",", "")
    if point != text and not math.isnan(number(point)):
        grouped = re.fullmatch(r"[+-]?[0-9]{1,3}(,[0-9]{3})+", text)
        return f"{point}, if that is a decimal comma" + f"; else {thousands}" * bool(grouped)
    return ""


def _listed(table: Table, row: Row, column: Column, values: Sequence[object]) -> str:
    """A list as text, an empty line between its entries: a text as it is, an object as one line
    `name: value` for each of its members."""
    entries = []
    for place, value in enumerate(values, start=1):
        members = value if isinstance(value, dict) else {"": value}
        where = Column(f"{column.name} {place}", "")
        texts = {n: where.text(table, Row(row.line, {"": v})) for n, v in members.items()}
        entries.append("\n".join(f"{n}: {text}" if n else text for n, text in texts.items()))
    return "\n\n".join(entries)
