"""The report as JSON; `gateway.evaluation.saved` reads it back without loss."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from gateway.core.errors import DataError
from gateway.core.indenting import indented
from gateway.core.json import plain_values
from gateway.report.sentences import summary_sentences
from gateway.scoring.report import Report
from gateway.scoring.results import CellTimings


def render_json(report: Report) -> str:
    """Indented JSON with sorted keys; lone surrogates stay what they are, as escapes.

    Raises:
        DataError: a number is not finite; JSON has no word for that.
    """
    return dumped(values_of(report))


def values_of(report: Report) -> dict[str, object]:
    """All of a report as values that `dumped` takes, with the sentences that sum it up."""
    # Of many items `dumped` writes them as they are in a fraction of the time.
    rest = plain_values(replace(report, disagreements=()))
    said = summary_sentences(report)
    return {**rest, "disagreements": report.disagreements, "summary": said}


def render_timings_json(timings: Sequence[CellTimings]) -> str:
    """The measured seconds, one object a cell.

    Raises:
        DataError: a number is not finite.
    """
    return dumped([asdict(cell) for cell in timings])


def dumped(value: Any) -> str:
    """Indented JSON with sorted keys.

    Raises:
        DataError: a number is not finite.
    """
    try:
        text = indented(value)
    except ValueError as exc:
        raise DataError(f"the report cannot be written as JSON: {exc}") from exc
    return text + "\n"
