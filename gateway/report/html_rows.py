"""The rows of a table as HTML.

A page has some tens of thousands of cells, and each look of a sandboxed template at a value is
checked: it takes longer than to score the cells. Here they are put together without it, and every
text is cleaned and escaped as the template's are.
"""

from itertools import zip_longest

from markupsafe import Markup, escape

from gateway.report import format as fmt
from gateway.report.sections import Cell, Head, Kind, Table


def rows(table: Table) -> Markup:
    """All rows, one a line of its own and each cell after the first."""
    found = zip_longest(table.rows, table.kinds)
    return Markup("".join(_row(table, row, kind or "") for row, kind in found))


def broken(name: str) -> Markup:
    """A long name, which may break after a slash."""
    return Markup("/<wbr>".join(map(_shown, name.split("/"))))


def _row(table: Table, row: tuple[Cell, ...], kind: Kind) -> str:
    side = "name" if table.heads[-1].right else "id"
    of, tag = (f' class="{kind}"', f' <span class="tag">{kind}</span>') if kind else ("", "")
    first = f'<tr{of}><th scope="row" class="{side}">{_content(row[0], table.heads[0])}{tag}</th>\n'
    others = map(_entry, row[1:], table.heads[1:])
    return f"{first}{''.join(others)}</tr>\n"


def _entry(cell: Cell, head: Head) -> str:
    of = ("num" if head.right else "answer") + (f" {cell.tone}" if cell.tone else "")
    style = ""
    if cell.shade is not None:
        of, style = f"{of} shaded", f' style="--share: {cell.shade:.3f}"'
    return f'<td class="{of}"{style}>{_content(cell, head)}</td>\n'


def _content(cell: Cell, head: Head) -> str:
    return "".join((_mark(cell), _text(cell, head), _below(cell)))


def _mark(cell: Cell) -> str:
    if cell.mark is None:
        return ""
    word, sign = ("right", "✓") if cell.mark else ("wrong", "✗")
    return f'<span class="{word}" title="{word}">{sign}</span> '


def _text(cell: Cell, head: Head) -> str:
    if cell.link:
        return f'<a href="#{_shown(cell.link)}">{broken(cell.text)}</a>'
    if head.right:
        return _figure(cell.text)
    return broken(cell.text) if head.breaks else _shown(cell.text)


def _figure(text: str) -> str:
    """A value, and below it the interval that comes with it."""
    value, bracket, rest = text.partition(" [")
    interval = f'<span class="interval">[{_shown(rest)}</span>' if bracket else ""
    return f"{_shown(value)}{interval}"


def _below(cell: Cell) -> str:
    return f'<span class="who">{_shown(cell.below)}</span>' if cell.below else ""


def _shown(text: str) -> str:
    """Any text, harmless in a page and between quotation marks."""
    return str(escape(fmt.clean(text)))
