"""Tables on a terminal of any width: no heading, label or number is cut, or broken in the middle.

Where the columns do not fit, their texts are wrapped between words. Where that is not enough, the
last columns are left out, if the table allows it; if not, or if that is not enough either, each row
is printed as a list of its cells, named.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import zip_longest

from rich import box
from rich.cells import cell_len
from rich.console import Console, JustifyMethod
from rich.table import Table as RichTable
from rich.text import Text

from gateway.report import format as fmt
from gateway.report.sections import Cell, Head, Kind, Table, Tone
from gateway.report.wrapping import widest_word, wrapped

GAP = 2
"""Columns of the terminal between two columns of a table."""
STYLES: dict[Tone | Kind, str] = {
    "": "",
    "strong": "bold",
    "good": "green",
    "warning": "yellow",
    "bad": "red",
    "faint": "dim",
    "best": "bold",
    "baseline": "dim",
}
_BEST = "*"
_NARROWEST_PROSE = 16
"""Columns of the terminal below which no longer text is squeezed: it would be all height."""
_NARROWEST_NAME = 20
"""Columns that names of rows keep before a column of numbers gets its place."""
_INDENT = 2


def print_table(table: Table, console: Console) -> None:
    """A table under its caption. Columns that had no room are named below it."""
    if table.caption:
        say(console, table.caption, "dim")
    marked, rows = _marked(table)
    heads = [replace(head, name=encoded(console, head.name)) for head in marked]
    cells = [[_text(cell, console) for cell in row] for row in rows]
    if not (widths := _fitting(table, heads, cells, console.width)):
        _print_stacked(heads, cells, console)
        return
    _print_columns(heads, cells, table.kinds, widths, console)
    if left_out := [head.name for head in heads[len(widths) :]]:
        say(console, f"too narrow to show {', '.join(left_out)}", "dim")


def print_facts(facts: Iterable[tuple[str, str]], console: Console) -> None:
    """A name and its value a line. A value that does not fit beside its name stands below it."""
    shown = [(encoded(console, name), encoded(console, value)) for name, value in facts]
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


def encoded(console: Console, text: str) -> str:
    """Untrusted text, cleaned, in the characters that the console's stream has."""
    return fmt.clean(text).encode(console.encoding, errors="replace").decode(console.encoding)


def _print_fact(name: str, value: str, left: int, console: Console) -> None:
    room = console.width - left
    if cell_len(name) + GAP > left or widest_word(value) > room:
        _print_line(name, console)
        _print_line(" " * _INDENT + value, console)
        return
    first, *more = wrapped(value, room).split("\n")
    lines = [name + " " * (left - cell_len(name)) + first, *(" " * left + line for line in more)]
    console.print(Text("\n".join(lines)), soft_wrap=True)


def _marked(table: Table) -> tuple[tuple[Head, ...], Sequence[tuple[Cell, ...]]]:
    """With a mark before the best row, where one is: style does not show everywhere."""
    if "best" not in table.kinds:
        return table.heads, table.rows
    marks = [Cell(_BEST if kind == "best" else "") for kind in table.kinds]
    rows = [(mark, *row) for mark, row in zip(marks, table.rows, strict=True)]
    return (Head(""), *table.heads), rows


def _fitting(
    table: Table, heads: Sequence[Head], rows: Sequence[Sequence[Text]], width: int
) -> list[int]:
    """Columns of the terminal for each column that is shown; none where too few of them fit."""
    names = len(heads) - len(table.heads)
    fewest = names + 2 if table.optional else len(heads)
    for count in range(len(heads), fewest - 1, -1):
        shown = [row[:count] for row in rows]
        if widths := _widths(heads[:count], shown, width, names if table.optional else None):
            return widths
    return []


def _widths(
    heads: Sequence[Head], rows: Sequence[Sequence[Text]], width: int, names: int | None
) -> list[int]:
    """Columns of the terminal for each column of the table; none where they do not fit.

    Args:
        names: column of names, which are broken for the sake of the others, but not beyond reason.
    """
    room = width - GAP * (len(heads) - 1)
    columns = list(zip_longest(*([cell.plain for cell in row] for row in rows), fillvalue=""))
    columns += [()] * (len(heads) - len(columns))
    most = [max(map(cell_len, (h.name, *c))) for h, c in zip(heads, columns, strict=True)]
    least = [_least(head, column) for head, column in zip(heads, columns, strict=True)]
    if names is not None:
        least[names] = min(most[names], max(_NARROWEST_NAME, width // 3))
    if sum(least) > room:
        return []
    widths = [min(wanted, room) for wanted in most]
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


def _print_columns(
    heads: Sequence[Head],
    rows: Sequence[Sequence[Text]],
    kinds: Sequence[Kind],
    widths: Sequence[int],
    console: Console,
) -> None:
    """A rule under the heads, space between columns, and between what is compared and baselines."""
    names = [wrapped(head.name, width) for head, width in zip(heads, widths, strict=False)]
    height = max(name.count("\n") for name in names)
    table = RichTable(box=box.SIMPLE, pad_edge=False, show_edge=False, padding=(0, GAP - 1, 0, 0))
    for head, name, width in zip(heads, names, widths, strict=False):
        # The last line of each head stands right above its column.
        below = "\n" * (height - name.count("\n")) + name
        justify: JustifyMethod = "right" if head.right else "left"
        table.add_column(Text(below), justify=justify, width=width, no_wrap=True)
    for row, kind, after in zip_longest(rows, kinds, kinds[1:]):
        ends = after == "baseline" and kind != after
        table.add_row(*map(_wrapped, row, widths), style=STYLES[kind or ""], end_section=ends)
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
        if first == _BEST and others:
            first = f"{_BEST} {others.pop(0)}"
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
    return Text(encoded(console, cell.plain), STYLES[cell.tone])
