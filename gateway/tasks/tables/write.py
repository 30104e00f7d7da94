"""Rows -> a file, as the reader reads it again."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

from gateway.core.errors import DataError
from gateway.core.files import write_atomically
from gateway.tasks.tables.source import DELIMITERS, JSON_LINES, WRITTEN
from gateway.tasks.tables.table import Row, Table, Unreadable
from gateway.tasks.tables.values import as_text, is_nothing

_LINE_END = "\r\n"


def write_table(table: Table, rows: Sequence[Row], path: Path) -> None:
    """Some rows of a table as a file, CSV, TSV or JSONL by its suffix; the same rows, same bytes.

    Raises:
        DataError: another suffix, or a value that the format has no place for.
    """
    suffix = path.suffix.lower()
    made = io.StringIO(newline="")
    if suffix in DELIMITERS:
        written = [list(_cells(table, row, table.columns)) for row in rows]
        made.write(_delimited(DELIMITERS[suffix], [table.names, *written]))
    elif suffix in JSON_LINES:
        for row in rows:
            made.write(_json_line(table, row))
    else:
        raise DataError(
            f"{path}: rows cannot be written as {suffix!r}", hint=f"known: {', '.join(WRITTEN)}"
        )
    write_atomically(path, made.getvalue())


def with_columns(table: Table, names: Sequence[str], values: Sequence[Sequence[str]]) -> str:
    """A table as CSV with columns more; one of such a name that it has already is left out.

    Args:
        values: of each row, in their order, those of the columns.

    Raises:
        DataError: CSV has no place for a value of the table.
    """
    pairs = zip(table.columns, table.names, strict=True)
    kept = [(column, name) for column, name in pairs if name not in names]
    columns = [column for column, _ in kept]
    rows = [
        [*_cells(table, row, columns), *added]
        for row, added in zip(table.rows, values, strict=True)
    ]
    return _delimited(",", [[*(name for _, name in kept), *names], *rows])


def _delimited(delimiter: str, rows: Iterable[Sequence[Any]]) -> str:
    made = _Lines()
    # With this line end the writer quotes fields that hold a carriage return, too.
    csv.writer(made, delimiter=delimiter, lineterminator=_LINE_END).writerows(rows)
    return "".join(made)


class _Lines(list[str]):
    """Lines of a file, each with its own end."""

    def write(self, line: str) -> None:
        """Called by the writer once a row."""
        self.append(line.removesuffix(_LINE_END) + "\n")


def _cells(table: Table, row: Row, columns: Iterable[str]) -> Iterator[Any]:
    for name in columns:
        try:
            yield _cell(row.values.get(name))
        except TypeError as exc:
            raise _no_place(table, row, name, "CSV", exc) from exc


def _json_line(table: Table, row: Row) -> str:
    try:
        return json_lines([row.values])
    except (TypeError, ValueError) as exc:
        name = next(name for name, value in row.values.items() if not _fits(value))
        raise _no_place(table, row, name, "JSON", exc) from exc


def _no_place(table: Table, row: Row, name: str, where: str, exc: Exception) -> DataError:
    return DataError(f"{table.place(row.line)}: {name!r} has no place in {where}: {exc}")


def _fits(value: Any) -> bool:
    try:
        json_lines([{"": value}])
    except (TypeError, ValueError):
        return False
    return True


def json_lines(rows: Iterable[Mapping[str, Any]]) -> str:
    """One JSON object a line; a date is text as ISO 8601 has it, a decimal number the text of it.

    Raises:
        TypeError, ValueError: a value has no place in JSON, or a text none in UTF-8.
    """
    text = "".join(json.dumps(dict(row), ensure_ascii=False, default=_plain) + "\n" for row in rows)
    text.encode()
    return text


def _cell(value: Any) -> Any:
    """A value as a cell of CSV; of a list or an object its JSON."""
    if is_nothing(value):
        return None
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False, default=_plain)
    if isinstance(value, bool):
        return as_text(value)
    return value if isinstance(value, str | int | float) else _plain(value)


def _plain(value: Any) -> str | int:
    """A value that JSON does not have as the text that the reader makes of it."""
    if isinstance(value, Unreadable) and value.raw is not None:
        return value.raw
    if isinstance(value, date | datetime | time | Decimal):
        return as_text(value)
    if isinstance(value, bytes):
        return _text(value)
    what = value.reason if isinstance(value, Unreadable) else f"a {type(value).__name__}"
    raise TypeError(f"it is {what}")


def _text(value: bytes) -> str:
    try:
        return as_text(value)
    except DataError as exc:
        raise TypeError(f"it {exc.message}") from exc
