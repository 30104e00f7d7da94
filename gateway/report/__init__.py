"""A report in the forms that people and programs read."""

from collections.abc import Sequence
from pathlib import Path

from gateway.report.files import write_files
from gateway.report.jsonfile import render_json, render_timings_json
from gateway.report.markdown import render_markdown, render_timings
from gateway.scoring.results import CellTimings, Report

FILES = ("report.html", "report.md", "report.json", "timings.json", "timings.md")
"""What `write_report` writes."""


def write_report(report: Report, timings: Sequence[CellTimings], out_dir: Path) -> None:
    """Write report.html, report.md, report.json, timings.json and timings.md, each atomically.

    Everything is rendered before the first file is written, so that a report that can not be
    rendered leaves an older one whole.

    Raises:
        StoreError: the folder or a file in it can not be written.
        DataError: a number in the report is not finite.
    """
    # Drawing loads matplotlib, which printing a report has no need of.
    from gateway.report.html import render_html

    files = {
        "report.html": render_html(report),
        "report.md": render_markdown(report),
        "report.json": render_json(report),
        "timings.json": render_timings_json(timings),
        "timings.md": render_timings(timings),
    }
    write_files(files, out_dir)
