"""An experiment on a terminal, as Markdown, JSON and one HTML page."""

from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from gateway.evaluation.experiment.outcome import ExperimentOutcome
from gateway.report.files import write_files
from gateway.report.jsonfile import dumped
from gateway.report.markdown import bullets, escape, table
from gateway.report.pages.experiment import leaderboard, sections, title
from gateway.report.sections import Section, in_markdown, print_sentences, print_table
from gateway.report.terminal import line, print_warnings

FILES = ("experiment.html", "experiment.md", "experiment.json")
"""What `write_experiment` writes."""


def print_experiment(outcome: ExperimentOutcome, console: Console) -> None:
    """The leaderboard and what it means; the rest is in the files."""
    line(console, title(outcome), style="bold")
    board = leaderboard(outcome)
    for each in board.tables:
        print_table(each, console)
    print_sentences(board.sentences, console)
    print_warnings(outcome.report, console)


def write_experiment(outcome: ExperimentOutcome, out_dir: Path) -> None:
    """Write experiment.html, experiment.md and experiment.json.

    Raises:
        StoreError: the folder or a file in it can not be written.
        DataError: a number is not finite.
    """
    # Drawing loads matplotlib, which printing an experiment has no need of.
    from gateway.report.pages.experiment_html import render_html

    parts = sections(outcome)
    files = {
        "experiment.html": render_html(outcome, parts),
        "experiment.md": _markdown(outcome, parts),
        "experiment.json": dumped(asdict(outcome)),
    }
    write_files(files, out_dir, option="out")


def _markdown(outcome: ExperimentOutcome, parts: tuple[Section, ...]) -> str:
    report = outcome.report
    said = [f"# {escape(title(outcome))}"]
    for part in parts:
        said += in_markdown(part)
    if report.warnings:
        said += ["## Warnings", bullets(report.warnings)]
    rows = [(escape(key), escape(report.settings[key])) for key in sorted(report.settings)]
    said += ["## Settings", table(("setting", "value"), rows)]
    return "\n\n".join(said) + "\n"
