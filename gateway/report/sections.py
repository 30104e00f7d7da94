"""A report as sections of sentences and tables, said once and shown in every form."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from gateway.report.grid import Column, Row, encoded, print_grid
from gateway.report.markdown import bullets, escape, table
from gateway.report.terminal import line, say_dropped


@dataclass(frozen=True, slots=True)
class Table:
    """Names down the side, one short text a column beside each."""

    caption: str
    side: str
    """What the names are."""
    names: tuple[str, ...]
    columns: tuple[Column, ...]
    words: bool = False
    """Whether the columns hold texts instead of numbers."""


@dataclass(frozen=True, slots=True)
class Section:
    """One part of the report."""

    anchor: str
    title: str
    sentences: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    folded: bool = False
    """Of interest item by item: folded on a page, left out on a terminal."""


def print_table(each: Table, console: Console) -> None:
    """On a terminal, with as many columns as fit."""
    line(console, each.caption, style="dim")
    rows = [Row(name) for name in each.names]
    say_dropped(print_grid(rows, each.columns, console), [], console)


def print_sentences(sentences: Sequence[str], console: Console, style: str = "") -> None:
    """On a terminal, as a list."""
    listed = RichTable.grid(padding=(0, 1, 0, 0))
    for sentence in sentences:
        listed.add_row("-", Text(encoded(console, sentence), style=style, overflow="fold"))
    console.print(listed)


def in_markdown(part: Section) -> Iterator[str]:
    """Its paragraphs, the tables before the sentences."""
    yield f"## {escape(part.title)}"
    for each in part.tables:
        yield escape(each.caption)
        yield _table(each)
    if part.sentences:
        yield bullets(part.sentences)


def _table(each: Table) -> str:
    header = (escape(each.side), *(escape(column.header) for column in each.columns))
    rows = [
        (escape(name), *(_text(column.cells[i], each) for column in each.columns))
        for i, name in enumerate(each.names)
    ]
    return table(header, rows)


def _text(text: str, each: Table) -> str:
    """A number needs no escape; "<0.001" and what came with the data do."""
    return escape(text) if each.words or "<" in text else text
