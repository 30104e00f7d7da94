"""What `gateway run` comes to: the report as a document, and its files."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from gateway.evaluation.predictions import PREDICTIONS, predictions_jsonl
from gateway.evaluation.summary import RunResult
from gateway.report import format as fmt
from gateway.report import view
from gateway.report.files import TIMINGS, names_of, write_document, write_files
from gateway.report.jsonfile import values_of
from gateway.report.pages import timings as seconds
from gateway.report.sections import (
    Cell,
    Column,
    Document,
    Figure,
    Head,
    Kind,
    Section,
    Table,
    by_columns,
    by_rows,
    numbers,
    settings,
)
from gateway.report.sentences import baseline_sentence, summary_sentences
from gateway.scoring.contest import Comparison
from gateway.scoring.flips import Flip
from gateway.scoring.metrics import metric_name
from gateway.scoring.report import Report
from gateway.scoring.results import CellScore, CellTimings, Confusion

MOST_FLIPS = 200
"""Flips of one comparison that the page lists; report.json has all of them."""
FILES = (*names_of("report"), *TIMINGS)
"""What `write` writes."""

_FOOTER = (
    "Here are no seconds, so that the same run gives the same bytes: timings are in timings.md and "
    "timings.json. All the numbers behind this, unrounded, are in report.json."
)
_OVERCONFIDENT = "Dots below the dashed line are overconfident; larger dots hold more items."


def write(report: Report, timings: Sequence[CellTimings], out_dir: Path) -> None:
    """Write report.html, report.md, report.json, timings.json and timings.md.

    Raises:
        StoreError: the folder or a file in it can not be written.
        DataError: a number in the report is not finite.
    """
    write_document("report", document(report), values_of(report), out_dir, timings=timings)


def write_run(run: RunResult, out_dir: Path) -> None:
    """Write `FILES` and predictions.jsonl of a run. Raises as `write`."""
    lines = predictions_jsonl(run.record, run.predictions)
    write(run.report, run.timings, out_dir)
    write_files({PREDICTIONS: lines}, out_dir)


def brief(report: Report, timings: Sequence[CellTimings] = ()) -> Document:
    """What a terminal has room for: one row a cell, and what follows."""
    parts = [*cells_in_brief(report), Section(lines=summary_sentences(report))]
    if timings:
        parts.append(seconds.section(timings))
    title = f"{report.task} · n = {report.n} · run {report.run_id}"
    return Document(title, tuple(parts), warnings=report.warnings)


def cells_in_brief(report: Report) -> tuple[Section, Section]:
    """One row a cell with a few metrics, and what was not answered."""
    cells = view.ranked(report)
    if not cells:
        return Section("cells"), Section()
    primary = report.primary_metric
    notes = [f"{metric_name(primary)}: {fmt.direction(primary)}, 95% interval in brackets"]
    if view.best_cell(report) is not None:
        notes.insert(0, "* best")
    if not all(cell.exact for cell in cells):
        notes.append(view.BOUNDS_NOTE)
    names = tuple(map(view.shown_name, cells))
    columns = _columns_in_brief(report, cells)
    table = by_columns("; ".join(notes), "cell", names, columns, kinds=_kinds(report))
    missing = (f"{cell.name}: {_missing(cell)} of {cell.n}" for cell in cells if view.not_ok(cell))
    return Section("cells", tables=(table,)), Section(lines=tuple(missing), tone="warning")


def scores(report: Report, *, linked: bool = False) -> Table:
    """One row a cell with every metric.

    Args:
        linked: the page has a part about each cell.
    """
    cells = view.ranked(report)
    primary = report.primary_metric
    names = tuple(
        Cell(view.shown_name(cell), below=_missing(cell), link=f"cell-{i}" if linked else "")
        for i, cell in enumerate(cells, start=1)
    )
    columns = [
        Column(metric_name(name), tuple(fmt.estimate(cell.metrics.get(name)) for cell in cells))
        for name in view.metric_names(report)
    ]
    columns.append(
        Column("tok/correct", tuple(fmt.count(cell.tokens_per_correct) for cell in cells))
    )
    caption = (
        f"Each cell on the same {fmt.plural(report.n, 'item')}, ordered by {metric_name(primary)} "
        f"({fmt.direction(primary)}), baselines last; 95% intervals in brackets."
    )
    return by_columns(caption, "cell", names, columns, kinds=_kinds(report))


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
    if report.against_best:
        yield _comparisons(report)
    if report.cells:
        best = view.best_cell(report)
        cells = enumerate(view.ranked(report), start=1)
        parts = tuple(_cell(cell, i, opened=cell is best) for i, cell in cells)
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
        f"{name} with 95% intervals. Open squares are baselines; the dotted line is the best of "
        "them.",
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
    items = {item.item_id: item for item in report.disagreements}
    return Section(
        "comparisons",
        "The best cell against the others",
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
        fmt.difference(contest.difference),
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


def said_cell(item: Flip, cell: str) -> Cell:
    """What a cell said to an item, whether that is right, and how sure it was."""
    found = item.said[cell]
    below = ""
    if found.probability is not None:
        below = f"p {fmt.number(found.probability)}, lead {fmt.number(found.lead)}"
    return Cell(found.answer, mark=found.right, below=below)


def _cell(cell: CellScore, number: int, *, opened: bool) -> Section:
    bounds = "Some log-probabilities of this cell are bounds or approximations."
    return Section(
        f"cell-{number}",
        view.shown_name(cell),
        tuple(map(baseline_sentence, cell.verdicts)),
        tuple(_tables(cell)),
        facts=tuple(_facts(cell)),
        lines=() if cell.exact else (bounds,),
        figures=tuple(_reliability(cell, number)),
        opened=opened,
    )


def _facts(cell: CellScore) -> Iterator[tuple[str, str]]:
    yield from view.details(cell)
    answered = f"{cell.statuses.get('ok', 0):,} of {cell.n:,}"
    missing = _missing(cell)
    yield "answered", f"{answered}, {missing}" if missing else answered
    if cell.kind == "model":
        yield (
            "tokens",
            f"{cell.prompt_tokens:,} prompt, {cell.completion_tokens:,} completion, "
            f"{cell.tokens_evaluated:,} evaluated",
        )


def _tables(cell: CellScore) -> Iterator[Table]:
    if cell.per_class:
        rows = [
            (row.label, *map(fmt.number, (row.precision, row.recall, row.f1)), f"{row.support:,}")
            for row in cell.per_class
        ]
        heads = ("label", *numbers("precision", "recall", "F1", "support"))
        yield by_rows(heads, rows, "Scores per class")
    if cell.confusion is not None:
        whole = view.is_matrix(cell.confusion)
        yield _matrix(cell.confusion) if whole else _commonest(cell.confusion)
    if cell.reliability:
        bins = [
            (
                f"({fmt.number(b.low)}, {fmt.number(b.high)}]",
                f"{b.count:,}",
                fmt.number(b.mean_confidence),
                fmt.number(b.accuracy),
            )
            for b in cell.reliability
        ]
        heads = ("confidence in", *numbers("items", "mean", "accuracy"))
        yield replace(by_rows(heads, bins, "Reliability, the bins as numbers"), folded=True)


def _matrix(confusion: Confusion) -> Table:
    rows: list[tuple[Cell | str, ...]] = [
        (label, *(_count(count, sum(counts), right=i == j) for j, count in enumerate(counts)))
        for i, (label, counts) in enumerate(zip(confusion.labels, confusion.counts, strict=True))
    ]
    heads = ("gold", *numbers(*confusion.labels, "no answer"))
    return by_rows(heads, rows, "Confusion: rows gold, columns answers")


def _count(count: int, total: int, *, right: bool) -> Cell:
    shade = (count / total) ** 0.5 if total else 0.0
    return Cell(f"{count:,}", "" if right else "bad" if count else "faint", shade=shade)


def _commonest(confusion: Confusion) -> Table:
    rows = [
        (c.gold, "no answer" if c.answer is None else c.answer, f"{c.count:,}")
        for c in view.confusions(confusion)
    ]
    caption = (
        f"The commonest confusions of {len(confusion.labels)} labels; report.json has the whole "
        "matrix"
    )
    return by_rows(("gold", "answer", *numbers("count")), rows, caption)


def _reliability(cell: CellScore, number: int) -> Iterator[Figure]:
    if cell.reliability:
        count = fmt.plural(sum(b.count for b in cell.reliability), "item")
        ece = cell.metrics.get("ece")
        yield Figure(
            lambda: reliability(cell, f"cell-{number}"),
            "Reliability diagram: accuracy against mean confidence. The table has the numbers.",
            f"Reliability, {count}, ECE {fmt.number(ece.value if ece else None)}. {_OVERCONFIDENT}",
        )


def reliability(cell: CellScore, salt: str) -> str:
    """The diagram of a cell that has probabilities."""
    from gateway.report.plots import reliability_diagram

    return reliability_diagram(cell.reliability, salt)


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
    yield (
        "Brackets hold 95% bootstrap intervals over items; those of differences resample both "
        "cells on the same items. An interval of a difference that excludes zero tells two cells "
        "apart."
    )
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
        "dropped.",
        "ECE has no interval: resampling biases it upwards.",
    ),
    "number": (
        "An answer counts as right where it is at most one away from the gold value. MAE and the "
        "median error are over answered items alone, so read them beside coverage.",
    ),
    "extraction": (
        "Exact match asks for every field that the gold value names; “x exact” for the field x "
        "alone.",
    ),
}


def _kinds(report: Report) -> tuple[Kind, ...]:
    best = view.best_cell(report)
    return tuple(
        "best" if cell is best else "" if cell.kind == "model" else "baseline"
        for cell in view.ranked(report)
    )


def _missing(cell: CellScore) -> str:
    return ", ".join(f"{count:,} {status}" for status, count in view.not_ok(cell))


def _columns_in_brief(report: Report, cells: Sequence[CellScore]) -> list[Column]:
    """The primary metric, then the others, the first to give way on a narrow terminal last."""
    primary = report.primary_metric
    second = {
        "classification": "macro_f1" if primary == "accuracy" else "accuracy",
        "number": "mae" if primary == "within_one" else "within_one",
        "extraction": "coverage",
    }[report.kind]
    estimates = tuple(fmt.estimate(cell.metrics.get(primary)) for cell in cells)
    tokens = tuple(fmt.count(cell.tokens_per_correct) for cell in cells)
    others = ["log_loss", "ece"]
    if second != "coverage" and any(view.not_ok(cell) for cell in cells):
        others.insert(0, "coverage")
    return [
        Column(metric_name(primary), estimates),
        _metric_column(second, cells),
        Column("tok/correct", tokens),
        *(_metric_column(name, cells) for name in others if any(name in c.metrics for c in cells)),
    ]


def _metric_column(name: str, cells: Sequence[CellScore]) -> Column:
    metrics = [cell.metrics.get(name) for cell in cells]
    shown = tuple(fmt.number(metric.value if metric else None) for metric in metrics)
    return Column(metric_name(name), shown)
