"""The files of a document, written so that a reader never meets half of one."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from gateway.core.errors import StoreError
from gateway.core.files import write_atomically
from gateway.report.json import dumped, render_timings_json
from gateway.report.markdown import render_markdown
from gateway.report.pages import timings as seconds
from gateway.report.sections import Document
from gateway.scoring.results import CellTimings

TIMINGS = ("timings.json", "timings.md")


def names_of(stem: str) -> tuple[str, str, str]:
    """Names of the files that `write_document` writes, but for timings and more."""
    return f"{stem}.html", f"{stem}.md", f"{stem}.json"


def write_document(
    stem: str,
    document: Document,
    values: object,
    out_dir: Path,
    *,
    timings: Sequence[CellTimings] | None = None,
    more: Mapping[str, str] | None = None,
    option: str = "--out",
) -> None:
    """Write a document as HTML and Markdown, its values as JSON, and the seconds beside them.

    Everything is rendered before the first file is written, so that one that cannot be rendered
    leaves older files whole.

    Args:
        stem: name of the files, without what tells the form.
        values: all the numbers, unrounded.
        timings: None: there are none to be written.
        more: texts by name of their file.
        option: what names the folder, for the hint.

    Raises:
        StoreError: the folder or a file in it cannot be written.
        DataError: a number is not finite.
    """
    # Templates take a while to load, and drawing more; printing needs neither.
    from gateway.report.html import render_html

    forms = (render_html(document), render_markdown(document), dumped(values))
    files = {**dict(zip(names_of(stem), forms, strict=True)), **(more or {})}
    if timings is not None:
        measured = render_timings_json(timings)
        shown = render_markdown(seconds.document(timings))
        files |= dict(zip(TIMINGS, (measured, shown), strict=True))
    write_files(files, out_dir, option)


def write_files(
    files: Mapping[str, str | Sequence[str]], out_dir: Path, option: str = "--out"
) -> None:
    """Write texts by file name, each atomically, also where it is in parts.

    Args:
        option: what names the folder, for the hint.

    Raises:
        StoreError: the folder or a file in it cannot be written.
    """
    try:
        for name, text in files.items():
            write_atomically(out_dir / name, text)
    except OSError as exc:
        raise StoreError(
            f"{out_dir}: the report cannot be written: {exc.strerror or exc}",
            hint=f"give {option} a folder that you may write to",
        ) from exc
