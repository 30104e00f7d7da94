"""The comparison as Markdown."""

from collections.abc import Iterator, Sequence

from gateway.ab.outcome import Outcome
from gateway.report import format as fmt
from gateway.report.ab.document import Section, Table
from gateway.report.markdown import bullets, escape, table


def render_markdown(outcome: Outcome, parts: Sequence[Section]) -> str:
    """Every section; ab.html has the plot beside them."""
    report = outcome.report
    said = [
        f"# {escape(report.task)}: cells against {escape(outcome.reference)}",
        f"{fmt.plural(report.n, 'item')}, {report.kind}. Seconds are in timings.md.",
    ]
    for part in parts:
        said += _section(part)
    if report.warnings:
        said += ["## Warnings", bullets(report.warnings)]
    rows = [(escape(key), escape(report.settings[key])) for key in sorted(report.settings)]
    said += ["## Settings", table(("setting", "value"), rows)]
    return "\n\n".join(said) + "\n"


def _section(part: Section) -> Iterator[str]:
    yield f"## {escape(part.title)}"
    for each in part.tables:
        yield f"{escape(each.caption)}"
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
