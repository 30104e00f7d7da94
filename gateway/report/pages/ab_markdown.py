"""The comparison as Markdown."""

from collections.abc import Sequence

from gateway.evaluation.ab.outcome import Outcome
from gateway.report import format as fmt
from gateway.report.markdown import bullets, escape, table
from gateway.report.sections import Section, in_markdown


def render_markdown(outcome: Outcome, parts: Sequence[Section]) -> str:
    """Every section; ab.html has the plot beside them."""
    report = outcome.report
    said = [
        f"# {escape(report.task)}: cells against {escape(outcome.reference)}",
        f"{fmt.plural(report.n, 'item')}, {report.kind}. Seconds are in timings.md.",
    ]
    for part in parts:
        said += in_markdown(part)
    if report.warnings:
        said += ["## Warnings", bullets(report.warnings)]
    rows = [(escape(key), escape(report.settings[key])) for key in sorted(report.settings)]
    said += ["## Settings", table(("setting", "value"), rows)]
    return "\n\n".join(said) + "\n"
