"""Tables on a terminal of any width: no heading, label or number is cut, or broken in the middle.

Where the columns do not fit, their texts are wrapped between words. Where that is not enough, each
row is printed as a list of its cells, named.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from rich.cells import cell_len
from rich.console import Console, JustifyMethod
from rich.text import Text

from gateway.report.grid import GAP, encoded, plain_table
from gateway.report.wrapping import widest_word, wrapped

_NARROWEST_PROSE = 16
"""Columns of the terminal below which no longer text is squeezed: it would be all height."""
_INDENT = 2

Cell = str | Text
"""A text, or one with a style. What came from outside needs no escape."""


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a column."""

    name: str
    right: bool = False
    """It holds numbers, which are not parted from their units."""
    breaks: bool = False
    """It holds paths and the like, which may be broken behind their separators."""


Heads = Iterable[Head | str]
"""A name alone is a column of texts."""


def numbers(*names: str) -> tuple[Head, ...]:
    """Heads of columns of numbers."""
    return tuple(Head(name, right=True) for name in names)


def print_rows(
    heads: Heads, rows: Iterable[Sequence[Cell]], console: Console, title: str = ""
) -> None:
    """A table under its title; a row may be shorter than the heads."""
    columns = [Head(head) if isinstance(head, str) else head for head in heads]
    cells = [[_text(cell, console) for cell in row] for row in rows]
    if title:
        say(console, title, "bold")
    if widths := _widths(columns, cells, console.width):
        _print_table(columns, cells, widths, console)
    else:
        _print_stacked(columns, cells, console)


def print_facts(facts: Iterable[tuple[str, str]], console: Console, title: str = "") -> None:
    """A name and its value a line. A value that does not fit beside its name stands below it."""
    shown = [(encoded(console, name), encoded(console, value)) for name, value in facts]
    if title:
        say(console, title, "bold")
    names = [cell_len(name) for name, _ in shown]
    left = max((name for name in names if name <= console.width // 3), default=0) + GAP
    for name, value in shown:
        _print_fact(name, value, left, console)


def say(console: Console, text: str, style: str = "") -> None:
    """A sentence. On a terminal it is broken between words, in a pipe it stays one line."""
    shown = encoded(console, text)
    if console.is_terminal:
        shown = wrapped(shown, console.width, _INDENT)
    console.print(Text(shown, style), soft_wrap=True)


def _print_fact(name: str, value: str, left: int, console: Console) -> None:
    room = console.width - left
    if cell_len(name) + GAP > left or widest_word(value) > room:
        _print_line(name, console)
        _print_line(" " * _INDENT + value, console)
        return
    first, *more = wrapped(value, room).split("\n")
    lines = [name + " " * (left - cell_len(name)) + first, *(" " * left + line for line in more)]
    console.print(Text("\n".join(lines)), soft_wrap=True)


def _widths(heads: Sequence[Head], rows: Sequence[Sequence[Text]], width: int) -> list[int]:
    """Columns of the terminal for each column of the table; none where they do not fit."""
    room = width - GAP * (len(heads) - 1)
    columns = list(zip_longest(*([cell.plain for cell in row] for row in rows), fillvalue=""))
    columns += [()] * (len(heads) - len(columns))
    least = [_least(head, column) for head, column in zip(heads, columns, strict=True)]
    if sum(least) > room:
        return []
    widths = [
        min(max(map(cell_len, (head.name, *column))), room)
        for head, column in zip(heads, columns, strict=True)
    ]
    while sum(widths) > room:
        _, widest = max((w, i) for i, w in enumerate(widths) if w > least[i])
        widths[widest] -= 1
    return widths


def _least(head: Head, column: Sequence[str]) -> int:
    whole = max(map(cell_len, column), default=0)
    if head.right:
        return max(widest_word(head.name), whole)
    words = [widest_word(head.name), *(widest_word(text, breaks=head.breaks) for text in column)]
    return max(*words, min(_NARROWEST_PROSE, whole))


def _print_table(
    heads: Sequence[Head],
    rows: Sequence[Sequence[Text]],
    widths: Sequence[int],
    console: Console,
) -> None:
    names = [wrapped(head.name, width) for head, width in zip(heads, widths, strict=True)]
    height = max(name.count("\n") for name in names)
    table = plain_table()
    for head, name, width in zip(heads, names, widths, strict=True):
        # The last line of each head stands right above its column.
        below = "\n" * (height - name.count("\n")) + name
        justify: JustifyMethod = "right" if head.right else "left"
        table.add_column(Text(below), justify=justify, width=width, no_wrap=True)
    for row in rows:
        table.add_row(*map(_wrapped, row, widths))
    console.print(table)


def _wrapped(cell: Text, width: int) -> Text:
    return Text(wrapped(cell.plain, width), cell.style)


def _print_stacked(heads: Sequence[Head], rows: Sequence[Sequence[Text]], console: Console) -> None:
    """The first cell of each row as a line, the others below it, as many a line as fit."""
    for row in rows:
        first, *others = [
            f"{head.name}: {cell.plain}" if head.name else cell.plain
            for head, cell in zip(heads, row, strict=False)
            if cell.plain
        ] or [""]
        _print_line(first, console, str(row[0].style) or "bold")
        for line in _packed(others, console.width - _INDENT):
            _print_line(" " * _INDENT + line, console)


def _packed(parts: Sequence[str], width: int) -> Iterator[str]:
    line = ""
    for part in parts:
        if line and cell_len(f"{line}; {part}") > width:
            yield line
            line = part
        else:
            line += f"; {part}" if line else part
    if line:
        yield line


def _print_line(text: str, console: Console, style: str = "") -> None:
    console.print(Text(wrapped(text, console.width, _INDENT), style), soft_wrap=True)


def _text(cell: Cell, console: Console) -> Text:
    if isinstance(cell, Text):
        return Text(encoded(console, cell.plain), cell.style)
    return Text(encoded(console, cell))
