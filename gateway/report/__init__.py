"""A report in the forms that people and programs read."""

from collections.abc import Sequence
from pathlib import Path

from gateway.errors import StoreError
from gateway.identity import write_atomically
from gateway.report.jsonfile import render_json, render_timings_json
from gateway.report.markdown import render_markdown, render_timings
from gateway.results import CellTimings, Report


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
    try:
        for name, text in files.items():
            write_atomically(out_dir / name, text)
    except OSError as exc:
        raise StoreError(
            f"{out_dir}: the report can not be written: {exc.strerror or exc}",
            hint="give --out a folder that you may write to",
        ) from exc
