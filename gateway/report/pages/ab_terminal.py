"""The comparison on a terminal."""

from collections.abc import Sequence

from rich.console import Console

from gateway.evaluation.ab.outcome import Outcome
from gateway.report import format as fmt
from gateway.report.sections import Section, print_sentences, print_table
from gateway.report.terminal import line, print_cells, print_warnings


def print_ab(outcome: Outcome, parts: Sequence[Section], console: Console) -> None:
    """Section by section, each table before its sentences; what is folded is left out."""
    report = outcome.report
    heading = f"{report.task} · n = {report.n} · run {report.run_id}"
    line(console, heading, style="bold")
    line(console, f"reference: {outcome.reference}")
    for part in parts:
        if part.folded:
            continue
        line(console, "")
        line(console, part.title, style="bold")
        if part.anchor == "cells":
            print_cells(report, console)
        else:
            for table in part.tables:
                # Classes are for a page: the sentences have the one that suffers most.
                if table.side == "cell":
                    print_table(table, console)
        style = "red" if part.anchor == "noise" and outcome.noise.broken else ""
        print_sentences(part.sentences, console, style)
    differing = sum(len(pair.differing) for pair in outcome.pairs)
    if differing:
        console.line()
        line(console, f"{fmt.plural(differing, 'differing answer')}: --out lists them", style="dim")
    print_warnings(report, console)
