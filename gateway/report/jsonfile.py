"""The report as JSON, and back again without loss."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from gateway.core.errors import DataError
from gateway.core.json import Reading, read_json
from gateway.scoring.results import CellTimings, Report

_HINT = "it has to be a report.json as gateway wrote it"


def render_json(report: Report) -> str:
    """Indented JSON with sorted keys; lone surrogates stay what they are, as escapes.

    Raises:
        DataError: a number is not finite; JSON has no word for that.
    """
    return dumped(asdict(report))


def render_timings_json(timings: Sequence[CellTimings]) -> str:
    """The measured seconds, one object a cell.

    Raises:
        DataError: a number is not finite.
    """
    return dumped([asdict(cell) for cell in timings])


def load_report(text: str) -> Report:
    """The inverse of `render_json`.

    Raises:
        DataError: the text is no report; the message names the value that is wrong.
    """
    finite = Reading(finite=True)
    return read_json(Report, text, "report.json", hint=_HINT, reading=finite)


def dumped(value: Any) -> str:
    """Indented JSON with sorted keys.

    Raises:
        DataError: a number is not finite.
    """
    try:
        text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=True, allow_nan=False)
    except ValueError as exc:
        raise DataError(f"the report can not be written as JSON: {exc}") from exc
    return text + "\n"
