"""A document as data: sections of facts, tables, figures and sentences, built once a command.

Each form shows all of it or less: `terminal`, `markdown`, `html`. Texts come from anywhere, and
each form makes them harmless.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Tone = Literal["", "strong", "good", "warning", "bad", "faint"]
Kind = Literal["", "best", "baseline"]
"""What a row is about."""
Facts = tuple[tuple[str, str], ...]
"""Names and values."""


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a column."""

    name: str
    right: bool = False
    """It holds numbers, which are not parted from their units."""
    breaks: bool = False
    """It holds paths and the like, which may be broken behind their separators."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A text in a table, and what a page shows with it."""

    text: str
    tone: Tone = ""
    mark: bool | None = None
    """Whether it is a right answer or a wrong one, where it is one."""
    below: str = ""
    """Said of it in smaller letters."""
    link: str = ""
    """Anchor of the part that has more about it."""
    shade: float | None = None
    """By how much a page colours it, from 0 to 1: as good, or as bad where that is its tone."""

    @property
    def plain(self) -> str:
        """All of it, where letters have one size and no colour."""
        text = self.text if self.mark is None else f"{'✓' if self.mark else '✗'} {self.text}"
        return f"{text}: {self.below}" if self.below else text


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under heads. A row may be shorter than the heads."""

    heads: tuple[Head, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""
    kinds: tuple[Kind, ...] = ()
    """Of each row, where they differ."""
    optional: bool = False
    """The last columns are left out where a terminal has no room for them, and named."""
    folded: bool = False
    """Of interest row by row: folded under its caption on a page, left out on a terminal."""


@dataclass(frozen=True, slots=True)
class Column:
    """A header and one short text a row."""

    header: str
    cells: tuple[str | Cell, ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """A plot for a page, with the words that stand in for it."""

    draw: Callable[[], str]
    """Gives an `<svg>` of `gateway.report.plots`; called by forms that can show it, since drawing
    loads matplotlib."""
    said: str
    """What it shows, for who cannot see it."""
    caption: str = ""
    title: str = ""
    """Of a small one, which stands beside others."""


@dataclass(frozen=True, slots=True)
class Section:
    """One part of a document, shown in the order of these fields."""

    anchor: str = ""
    title: str = ""
    sentences: tuple[str, ...] = ()
    """Shown last, as a list."""
    tables: tuple[Table, ...] = ()
    facts: Facts = ()
    """Before the tables."""
    lines: tuple[str, ...] = ()
    """Said one by one below the tables; what is indented stays indented."""
    figures: tuple[Figure, ...] = ()
    legend: str = ""
    """How a page's figures and parts are read."""
    parts: tuple["Section", ...] = ()
    """More about it, folded on a page, left out on a terminal."""
    opened: bool = False
    """A part that a page shows unfolded."""
    long: bool = False
    """A part that a page alone has room for."""
    tone: Tone = ""
    """Of its sentences and lines."""


@dataclass(frozen=True, slots=True)
class Document:
    """Everything that one command has to say."""

    title: str
    sections: tuple[Section, ...]
    about: str = ""
    """How much of what, in a line."""
    summary: tuple[str, ...] = ()
    """The first is the most telling."""
    warnings: tuple[str, ...] = ()
    footer: str = ""


def numbers(*names: str) -> tuple[Head | str, ...]:
    """Heads of columns of numbers."""
    return tuple(Head(name, right=True) for name in names)


def by_rows(
    heads: Iterable[Head | str], rows: Iterable[Sequence[Cell | str]], caption: str = ""
) -> Table:
    """A table of all its columns. A head that is a name alone is one of texts."""
    made = tuple(Head(head) if isinstance(head, str) else head for head in heads)
    return Table(made, tuple(tuple(map(_cell, row)) for row in rows), caption)


def by_columns(
    caption: str,
    side: str,
    names: Sequence[str | Cell],
    columns: Sequence[Column],
    *,
    words: bool = False,
    kinds: tuple[Kind, ...] = (),
    folded: bool = False,
) -> Table:
    """A table of names and as many columns as there is room for.

    Args:
        side: what the names are.
        words: the columns hold texts instead of numbers.
    """
    heads = (Head(side, breaks=True), *(Head(c.header, right=not words) for c in columns))
    cells = zip(names, *(column.cells for column in columns), strict=True)
    rows = tuple(tuple(map(_cell, row)) for row in cells)
    return Table(heads, rows, caption, kinds, optional=True, folded=folded)


def _cell(cell: Cell | str) -> Cell:
    return Cell(cell) if isinstance(cell, str) else cell


def settings(values: Mapping[str, str]) -> Iterator[Section]:
    """What made a report, by name; nothing where it does not say."""
    if values:
        rows = [(key, values[key]) for key in sorted(values)]
        table = by_rows(("setting", "value"), rows, "The same settings give the same bytes.")
        yield Section("settings", "Settings", tables=(table,))
