"""What `gateway run` comes to: the report as a document, and its files."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from gateway.core.collecting import uncollected
from gateway.evaluation.predictions import PREDICTIONS, predictions_lines
from gateway.evaluation.summary import RunResult
from gateway.report import format as fmt
from gateway.report import view
from gateway.report.claims import INTERVALS_AGREE
from gateway.report.files import TIMINGS, names_of, write_document, write_files
from gateway.report.json import values_of
from gateway.report.pages import groups
from gateway.report.pages import timings as seconds
from gateway.report.pages.cell import part
from gateway.report.pages.cells import cells_in_brief, said_cell, scores
from gateway.report.sections import (
    Cell,
    Document,
    Figure,
    Head,
    Section,
    by_rows,
    numbers,
    settings,
)
from gateway.report.sentences import summary_sentences
from gateway.scoring.contest import Comparison
from gateway.scoring.flips import Flip, of_items
from gateway.scoring.metrics import metric_name
from gateway.scoring.report import Report
from gateway.scoring.results import CellTimings

MOST_FLIPS = 200
"""Flips of one comparison that the page lists; report.json has all of them."""
FILES = (*names_of("report"), *TIMINGS)
"""What `write` writes."""

_FOOTER = (
    "Here are no seconds, so that the same run gives the same bytes: timings are in timings.md and "
    "timings.json. All the numbers behind this, unrounded, are in report.json."
)


def write(report: Report, timings: Sequence[CellTimings], out_dir: Path) -> None:
    """Write report.html, report.md, report.json, timings.json and timings.md.

    Raises:
        StoreError: the folder or a file in it cannot be written.
        DataError: a number in the report is not finite.
    """
    write_document("report", document(report), values_of(report), out_dir, timings=timings)


@uncollected()
def write_run(run: RunResult, out_dir: Path) -> None:
    """Write `FILES` and predictions.jsonl of a run. Raises as `write`."""
    lines = predictions_lines(run.record, run.predictions)
    write(run.report, run.timings, out_dir)
    write_files({PREDICTIONS: lines}, out_dir)


def brief(report: Report, timings: Sequence[CellTimings] = ()) -> Document:
    """What a terminal has room for: one row a cell, and what follows."""
    parts = [*cells_in_brief(report), *groups.of_report(report, brief=True)]
    parts.append(Section(lines=summary_sentences(report)))
    if timings:
        parts.append(seconds.section(timings))
    title = f"{report.task} · n = {report.n} · run {report.run_id}"
    return Document(title, tuple(parts), warnings=report.warnings)


def document(report: Report) -> Document:
    """All of it, without seconds."""
    labels = f" into {fmt.plural(len(report.labels), 'label')}" if report.labels else ""
    return Document(
        report.task,
        tuple(_sections(report)),
        about=(f"{fmt.plural(report.n, 'item')} · {report.kind}{labels} · run {report.run_id}"),
        summary=summary_sentences(report),
        warnings=report.warnings,
        footer=_FOOTER,
    )


def _sections(report: Report) -> Iterator[Section]:
    yield _results(report)
    yield from groups.of_report(report)
    if report.against_best:
        yield _comparisons(report)
    if report.cells:
        best = report.best
        ranked = enumerate(view.ranked(report), start=1)
        parts = tuple(part(cell, i, opened=cell is best) for i, cell in ranked)
        yield Section("cells", "Cell by cell", parts=parts)
    if report.disagreements:
        yield _disagreements(report)
    yield from settings(report.settings)
    yield Section("reading", "How to read this", tuple(_reading(report)))


def _results(report: Report) -> Section:
    if not report.cells:
        return Section("results", "Results", lines=("No cell was scored.",))
    name = metric_name(report.primary_metric)
    figure = Figure(
        lambda: _forest(report),
        f"{name} of every cell with its 95% interval; the table above has the numbers.",
        f"{name} with 95% intervals. Open squares are baselines; the dotted line is the "
        "first of them.",
    )
    plotted = any(report.primary_metric in cell.metrics for cell in report.cells)
    return Section(
        "results",
        "Results",
        tables=(scores(report, linked=True),),
        figures=(figure,) if plotted else (),
    )


def _forest(report: Report) -> str:
    from gateway.report.plots import forest_plot

    return forest_plot(report)


def _comparisons(report: Report) -> Section:
    first = report.against_best[0].contest
    heads = (
        Head("a", breaks=True),
        *numbers("n", "a minus b", "p", "both right", "only a", "only b", "both wrong"),
    )
    caption = (
        f"{first.b} is b, each row is a. Differences are {metric_name(first.metric)} of a minus "
        f"that of b ({fmt.direction(first.metric)})."
    )
    shown = {item_id for each in report.against_best for item_id in each.flips[:MOST_FLIPS]}
    items = of_items(report.disagreements, shown)
    return Section(
        "comparisons",
        "The first cell against the others",
        tables=(by_rows(heads, map(_comparison, report.against_best), caption),),
        lines=(view.TESTED,),
        parts=tuple(_flips(each, items) for each in report.against_best if each.flips),
    )


def _comparison(found: Comparison) -> tuple[str, ...]:
    contest, counts = found.contest, found.contest.mcnemar
    rights = (counts.both_right, counts.only_a, counts.only_b, counts.both_wrong)
    return (
        contest.a,
        fmt.count(contest.n),
        fmt.difference(found.difference),
        fmt.p_value(found.permutation_p),
        *map(fmt.count, rights),
    )


def _flips(found: Comparison, items: Mapping[str, Flip]) -> Section:
    listed = [items[item_id] for item_id in found.flips[:MOST_FLIPS]]
    a, b = found.contest.a, found.contest.b
    rows = [(x.item_id, x.gold, said_cell(x, a), said_cell(x, b)) for x in listed]
    caption = f"a is {a}, b is {b}"
    if more := len(found.flips) - len(listed):
        caption += f"; {more:,} more are in report.json"
    count = fmt.plural(len(found.flips), "item")
    return Section(
        title=f"{count} right in exactly one: {a}",
        tables=(by_rows(("item", "gold", "a", "b"), rows, f"{caption}."),),
        long=True,
    )


def _disagreements(report: Report) -> Section:
    """One row an answer, those of an item below each other."""
    order = [cell.name for cell in view.ranked(report)]
    rows: list[tuple[Cell | str, ...]] = []
    listed = report.disagreements[: view.MOST_DISAGREEMENTS]
    for item in listed:
        begin = (item.item_id, item.excerpt, item.gold)
        for group in view.answer_groups(item, order):
            answer = Cell(group.answer or fmt.ABSENT, mark=group.right)
            rows.append((*begin, answer, ", ".join(group.cells)))
            begin = ("", "", "")
    count = f"{len(listed):,} of {fmt.plural(len(report.disagreements), 'item')}"
    return Section(
        "disagreements",
        "Where the cells disagree",
        tables=(by_rows(("item", "text", "gold", "answer", "cells"), rows),),
        lines=(f"{count} listed; predictions.jsonl has every answer to every item.",),
    )


def _reading(report: Report) -> Iterator[str]:
    yield f"Brackets hold 95% intervals over items. {INTERVALS_AGREE}"
    yield from _READING[report.kind]
    yield (
        "Coverage is the share of items with an answer; conformance leaves out those that failed "
        "or were truncated."
    )
    yield (
        "Of items without an answer, unparsed was answered but not readable, truncated ran out of "
        "room, failed got no answer from the backend."
    )
    yield f"{fmt.ABSENT} stands for what could not be computed, never for zero."
    if not all(cell.exact for cell in report.cells):
        yield f"{view.BOUNDS_NOTE}."


_READING = {
    "classification": (
        "An item without an answer is never right and lowers the recall of its class; it is not "
        "dropped. Macro-F1 is over the classes that gold values have; another answer is an error.",
        "ECE has no interval: resampling biases it upwards. Beside it stand what a perfectly "
        "calibrated model would show on these items, and the ECE less what chance adds. The "
        "calibration slope is 1 and the intercept 0 where confidence is right; a slope below 1 is "
        "too sure.",
    ),
    "number": (
        "An answer counts as right where it is at most one away from the gold value. In MAE and "
        "the median error an item without an answer is charged the error of the median of the "
        "training answers (without those, of the gold values here). Those of answered items alone "
        "stand beside them, and two cells are compared on the items that both answered.",
    ),
    "extraction": (
        "Exact match asks for every field that the gold value names; “x exact” for the field x "
        "alone.",
    ),
}
