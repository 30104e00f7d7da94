"""The comparison on a terminal."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from gateway.ab.outcome import Outcome
from gateway.report import format as fmt
from gateway.report.ab.document import Section, Table
from gateway.report.grid import Row, encoded, print_grid
from gateway.report.terminal import line, print_cells, print_warnings, say_dropped


def print_ab(outcome: Outcome, parts: Sequence[Section], console: Console) -> None:
    """Section by section, each table before its sentences; what is folded is left out."""
    report = outcome.report
    heading = f"{report.task} · n = {report.n} · reference {outcome.reference}"
    line(console, heading, style="bold")
    for part in parts:
        if part.folded:
            continue
        line(console, "")
        line(console, part.title, style="bold")
        if part.anchor == "cells":
            print_cells(report, console)
        else:
            for table in part.tables:
                _print_table(table, console)
        style = "red" if part.anchor == "noise" and outcome.noise.broken else ""
        _print_sentences(part.sentences, console, style)
    differing = sum(len(pair.differing) for pair in outcome.pairs)
    if differing:
        console.line()
        line(console, f"{fmt.plural(differing, 'differing answer')}: --out lists them", style="dim")
    print_warnings(report, console)


def _print_sentences(sentences: Sequence[str], console: Console, style: str) -> None:
    listed = RichTable.grid(padding=(0, 1, 0, 0))
    for sentence in sentences:
        listed.add_row("-", Text(encoded(console, sentence), style=style, overflow="fold"))
    console.print(listed)


def _print_table(table: Table, console: Console) -> None:
    if table.side != "cell":
        return
    line(console, table.caption, style="dim")
    say_dropped(
        print_grid([Row(name) for name in table.names], table.columns, console), [], console
    )
