"""What a comparison of cells comes to, in the forms that people and programs read."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from gateway.evaluation.ab.outcome import Outcome
from gateway.report.files import write_files
from gateway.report.jsonfile import dumped, render_timings_json
from gateway.report.markdown import render_timings
from gateway.report.pages.ab import sections
from gateway.report.pages.ab_markdown import render_markdown
from gateway.scoring.results import CellTimings

FILES = ("ab.html", "ab.md", "ab.json", "timings.json", "timings.md", "frontier.svg")
"""What `write_ab` writes, the last where sizes are known."""


def write_ab(outcome: Outcome, timings: Sequence[CellTimings], out_dir: Path) -> None:
    """Write ab.html, ab.md and ab.json, which hold no clock, and timings.json and timings.md.

    Where sizes are known, also the plot of quality against size, as frontier.svg.
    Everything is rendered before the first file is written.

    Raises:
        StoreError: the folder or a file in it can not be written.
        DataError: a number is not finite.
    """
    # Drawing loads matplotlib, which printing a comparison has no need of.
    from gateway.report.pages.ab_html import frontier, render_html
    from gateway.report.plots import as_file

    parts = sections(outcome)
    files = {
        "ab.html": render_html(outcome, parts),
        "ab.md": render_markdown(outcome, parts),
        "ab.json": dumped(asdict(outcome)),
        "timings.json": render_timings_json(timings),
        "timings.md": render_timings(timings),
    }
    if plot := frontier(outcome):
        files["frontier.svg"] = as_file(plot)
    write_files(files, out_dir)
