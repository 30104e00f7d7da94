"""The report as JSON, and back again without loss."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from gateway.core.errors import DataError
from gateway.core.json import Strictness, from_plain, plain
from gateway.report.sentences import summary_sentences
from gateway.scoring.report import Report
from gateway.scoring.results import CellTimings

_NAME = "report.json"
_FINITE = Strictness(finite=True)
_HINT = "it has to be a report.json as gateway wrote it"


def render_json(report: Report) -> str:
    """Indented JSON with sorted keys; lone surrogates stay what they are, as escapes.

    Raises:
        DataError: a number is not finite; JSON has no word for that.
    """
    return dumped(values_of(report))


def values_of(report: Report) -> dict[str, object]:
    """All of a report as plain values, with the sentences that sum it up."""
    return {**asdict(report), "summary": summary_sentences(report)}


def render_timings_json(timings: Sequence[CellTimings]) -> str:
    """The measured seconds, one object a cell.

    Raises:
        DataError: a number is not finite.
    """
    return dumped([asdict(cell) for cell in timings])


def load_report(text: str) -> Report:
    """The inverse of `render_json`.

    Of a report that was written when there was another comparison, the cells alone are read: what
    compares them is made again from its predictions, or by `gateway report` from the store.

    Raises:
        DataError: the text is no report; the message names the value that is wrong.
    """
    raw = plain(text, _NAME, hint=_HINT, reading=_FINITE)
    if isinstance(raw, dict):
        raw.pop("summary", None)
        if "conclusion" not in raw:
            raw |= {"comparisons": [], "disagreements": [], "conclusion": None}
            raw["cells"] = [
                {**cell, "verdicts": []} if isinstance(cell, dict) else cell
                for cell in raw.get("cells", ())
            ]
    return from_plain(Report, raw, _NAME, hint=_HINT, reading=_FINITE)


def dumped(value: Any) -> str:
    """Indented JSON with sorted keys.

    Raises:
        DataError: a number is not finite.
    """
    try:
        text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=True, allow_nan=False)
    except ValueError as exc:
        raise DataError(f"the report cannot be written as JSON: {exc}") from exc
    return text + "\n"
