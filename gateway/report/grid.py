"""A table of cells on a terminal that gives up columns before it gives up names."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.report import format as fmt
from gateway.report.wrapping import wrapped

_NARROWEST_NAME = 20
GAP = 2
"""Columns of the terminal between two columns of a table."""


@dataclass(frozen=True, slots=True)
class Row:
    """The beginning of a row. `mark` is one character, for where style does not show."""

    name: str
    mark: str = ""
    style: str = ""
    ends_section: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """A header and one short text a row."""

    header: str
    cells: tuple[str, ...]

    @property
    def width(self) -> int:
        """Columns of the terminal that it needs."""
        return max(map(fmt.display_width, (self.header, *self.cells)))


def print_grid(rows: Sequence[Row], columns: Sequence[Column], console: Console) -> list[str]:
    """Print what fits, the first column always; return the headers of what did not."""
    marks = 1 + GAP if any(row.mark for row in rows) else 0
    longest = max(fmt.display_width(encoded(console, row.name)) for row in rows)
    kept = _fitting(columns, longest, console.width - marks)
    room = console.width - marks - sum(column.width + GAP for column in kept)
    table = plain_table()
    if marks:
        table.add_column("", no_wrap=True)
    table.add_column("cell", overflow="fold")
    for column in kept:
        table.add_column(encoded(console, column.header), justify="right", no_wrap=True)
    for i, row in enumerate(rows):
        name = Text(wrapped(encoded(console, row.name), room))
        texts = [encoded(console, column.cells[i]) for column in kept]
        first = [row.mark] if marks else []
        table.add_row(*first, name, *texts, style=row.style, end_section=row.ends_section)
    console.print(table)
    return [column.header for column in columns[len(kept) :]]


def plain_table() -> Table:
    """The look of every table: a rule under the header, space between columns."""
    return Table(box=box.SIMPLE, pad_edge=False, show_edge=False, padding=(0, GAP - 1, 0, 0))


def encoded(console: Console, text: str) -> str:
    """Untrusted text, cleaned, in the characters that the console's stream has."""
    return fmt.clean(text).encode(console.encoding, errors="replace").decode(console.encoding)


def _fitting(columns: Sequence[Column], longest_name: int, width: int) -> list[Column]:
    """The first columns that leave the names room; the very first in any case."""
    left = width - min(longest_name, max(_NARROWEST_NAME, width // 3))
    kept: list[Column] = []
    for column in columns:
        left -= column.width + GAP
        if left < 0 and kept:
            break
        kept.append(column)
    return kept
