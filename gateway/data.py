"""A table and a task -> items: columns found, values checked, ids unique.

Values are never repaired: what can not be used is an error with its line. Only line ends are
made one (CRLF and CR become LF), since they say nothing about the text.
"""

import difflib
import math
from collections.abc import Mapping, Sequence

from gateway.draws import stratified_sample
from gateway.errors import ConfigError, DataError
from gateway.identity import digest_json
from gateway.tables import Row, Table, read_table
from gateway.tasks import Dataset, Item, Task
from gateway.types import Answer

ID = "id"
_MOST_SHOWN = 12


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
    items = [_item(table, row, task, fields, answers, ids) for row in table.rows]
    _check_ids(table, items)
    labels = tuple(sorted({item.gold for item in items if isinstance(item.gold, str)}))
    kept = list(items) if limit is None else stratified_sample(items, limit, sample_seed)
    digest = digest_json([[item.id, item.digest, item.gold] for item in kept])
    return Dataset(source, tuple(kept), digest, labels)


def _column(table: Table, field: str, accepted: Sequence[str], wanted: Mapping[str, str]) -> str:
    names = (wanted[field],) if field in wanted else accepted
    for name in names:
        if name in table.columns:
            return name
    raise _no_column(table, field, names)


def _no_column(table: Table, field: str, names: Sequence[str]) -> DataError:
    shown = ", ".join(table.columns[:_MOST_SHOWN])
    return DataError(
        f"{table.place(1)}: no column for {field!r}; expected {' or '.join(names)}, found {shown}",
        hint=f"--column {field}=NAME if it is called otherwise",
    )


def _item(
    table: Table,
    row: Row,
    task: Task,
    fields: Mapping[str, str],
    answers: Mapping[str, str],
    ids: str,
) -> Item:
    texts = {field: _text(table, row, column) for field, column in fields.items()}
    name = _text(table, row, ids).strip() if ids else f"line-{row.line}"
    if not name:
        raise DataError(f"{table.place(row.line)}: the id is empty; every item needs its own")
    gold = _gold(table, row, task, answers) if answers else None
    return Item(name, texts, gold, row.line, digest_json(texts))


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


def _check_ids(table: Table, items: Sequence[Item]) -> None:
    seen: dict[str, Item] = {}
    for item in items:
        if item.id in seen:
            raise DataError(
                f"{table.source}:{item.line}: the id {item.id!r} is also in line "
                f"{seen[item.id].line}; ids must differ"
            )
        seen[item.id] = item
