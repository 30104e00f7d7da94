"""Measured seconds, apart from what is the same every time."""

from collections.abc import Sequence

from gateway.report import format as fmt
from gateway.report.sections import Column, Document, Section, by_columns
from gateway.scoring.results import CellTimings


def document(timings: Sequence[CellTimings]) -> Document:
    """One row a cell."""
    said = "Measured on one machine, once: another run gives other seconds."
    return Document("Timings", (section(timings),), about=said)


def section(timings: Sequence[CellTimings]) -> Section:
    """One row a cell; an answer's median, its 95th percentile, and what a right one takes."""
    columns = (
        Column("p50 s", tuple(fmt.seconds(cell.p50_s) for cell in timings)),
        Column("p95 s", tuple(fmt.seconds(cell.p95_s) for cell in timings)),
        Column("total s", tuple(fmt.seconds(cell.total_s) for cell in timings)),
        Column("s/correct", tuple(fmt.seconds(cell.seconds_per_correct) for cell in timings)),
        Column("tokens read", tuple(fmt.count(cell.tokens_read) for cell in timings)),
        Column("forwarded", tuple(fmt.count(cell.tokens_forwarded) for cell in timings)),
        Column("cached", tuple(fmt.count(cell.tokens_cached) for cell in timings)),
        Column("forwarded/s", tuple(fmt.count(cell.tokens_per_s) for cell in timings)),
        Column("n", tuple(fmt.count(cell.n) for cell in timings)),
    )
    table = by_columns("", "cell", tuple(cell.name for cell in timings), columns)
    return Section("timings", "Timings, as measured here", tables=(table,))
