"""Quotes that are plain text: two of them, lines apart, would make one row of several.

A row of several lines is right where a quoted field holds line ends. It is none where each of its
lines is a row by itself: has as many fields as the header, and values that other rows have too.
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.core.errors import DataError
from gateway.tasks.tables.options import Quoting

_MOST_QUOTES = 16
"""In one line; more are not tried out."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How fields are written."""

    delimiter: str
    quoting: Quoting = ""

    def reader(self, lines: Iterable[str]) -> "Any":
        """A reader of the csv module."""
        if self.quoting == "none":
            return csv.reader(lines, delimiter=self.delimiter, quoting=csv.QUOTE_NONE, strict=True)
        if self.quoting == "backslash":
            return csv.reader(
                lines, delimiter=self.delimiter, escapechar="\\", doublequote=False, strict=True
            )
        return csv.reader(lines, delimiter=self.delimiter, strict=True)

    @property
    def unquoted(self) -> "Dialect":
        """The same where quotes are plain text."""
        return Dialect(self.delimiter, "none")

    def cells(self, line: str) -> list[str]:
        """Of one line by itself; none where it is no row."""
        try:
            return next(self.reader([line]), [])
        except csv.Error:
            return []


@dataclass(frozen=True, slots=True)
class Record:
    """The cells of one row, and the lines from the first to the last."""

    line: int
    last: int
    cells: list[str]


def unquoted_fits(lines: Sequence[str], dialect: Dialect) -> bool:
    """Whether every line is a row of one width when quotes are plain text."""
    plain = dialect.unquoted
    widths = {len(plain.cells(line)) for line in lines if line.strip("\r\n")}
    return len(widths) == 1 and max(widths) > 1


def check_quotes(
    source: str,
    lines: Sequence[str],
    header: Record,
    records: Sequence[Record],
    dialect: Dialect,
) -> Iterator[str]:
    """Doubts about rows of several lines whose quotes may be plain text.

    Raises:
        DataError: they are.
    """
    if dialect.quoting or all(record.line == record.last for record in records):
        return
    tall = [record for record in records if record.line < record.last]
    looking = {
        record.line: rows
        for record in tall
        if (rows := _rows_within(lines, len(header.cells), record, dialect))
    }
    if not looking:
        return
    others = [record.cells for record in records if record.line not in looking]
    for record in tall:
        within = looking.get(record.line)
        if within and (dialect.delimiter == "\t" or _known(within, others)):
            raise DataError(
                f"{source}:{record.line}: a quote opens here and closes in line {record.last}, and "
                "each line between is a row by itself",
                hint="--quoting none if quotes are plain text in this file, --quoting double if "
                "this is one row",
            )
    if len(looking) == len(tall):
        first = tall[0]
        yield (
            f"{source}:{first.line}: a quote opens here and closes in line {first.last}: read as "
            "one row, but each of the lines could be one; --quoting none or double decides"
        )


def _rows_within(
    lines: Sequence[str], width: int, record: Record, dialect: Dialect
) -> list[list[str]]:
    """The cells of each line of a record, if each is a row of its own; else none."""
    rows = []
    for line in lines[record.line - 1 : record.last]:
        cells = next((c for c in _readings(line, dialect) if len(c) == width), None)
        if cells is None:
            return []
        rows.append(cells)
    return rows


def _readings(line: str, dialect: Dialect) -> Iterator[list[str]]:
    """A line as a row: with quotes as plain text, or without one of them."""
    yield dialect.unquoted.cells(line)
    places = [at for at, character in enumerate(line) if character == '"'][:_MOST_QUOTES]
    for at in places:
        yield dialect.cells(line[:at] + line[at + 1 :])


def _known(rows: Sequence[Sequence[str]], others: Sequence[Sequence[str]]) -> bool:
    """Whether there is a column in which all of these rows have values that others have too."""
    for at in range(len(rows[0])):
        values = {row[at].strip() for row in rows}
        if "" not in values and values <= {other[at].strip() for other in others}:
            return True
    return False
