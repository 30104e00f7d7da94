"""An experiment class by class, and confidence beside accuracy."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import starmap

from gateway.evaluation.experiment.outcome import ExperimentOutcome
from gateway.report import format as fmt
from gateway.report import view
from gateway.report.pages.cell import reliability
from gateway.report.sections import Column, Figure, Section, by_columns
from gateway.scoring.results import CellScore, Metric

_CLASSES = (
    "F1 from 0 to 1 with 95% intervals, one panel a class, the cells in the order of the "
    "leaderboard. Open squares are baselines; the first cell is coloured. Names leave out what all "
    "cells share."
)
_DIAGRAMS = (
    "Accuracy against mean confidence, a dot a bin; dots below the dashed line are overconfident, "
    "larger dots hold more items."
)


def _order(outcome: ExperimentOutcome) -> tuple[CellScore, ...]:
    """Cells as on the leaderboard, baselines after them, as the first seed scored them."""
    scored = {cell.name: cell for cell in outcome.report.cells}
    baselines = (cell for cell in view.ranked(outcome.report) if cell.kind == "baseline")
    return (*(scored[each.cell] for each in outcome.spreads), *baselines)


def by_class(outcome: ExperimentOutcome) -> Section:
    """F1 of each class in every cell."""
    cells = _order(outcome)
    labels = outcome.report.labels
    columns = [Column("items", tuple(f"{n:,}" for n in _support(cells)))]
    columns += [
        Column(
            view.shown_name(cell),
            tuple(fmt.estimate(outcome.classes[cell.name].get(label)) for label in labels),
        )
        for cell in cells
    ]
    caption = (
        f"F1 of each class with its 95% interval over items, of seed {outcome.seeds[0]}; "
        f"{fmt.ABSENT} where a class was neither asked for nor answered."
    )
    table = by_columns(caption, "label", labels, tuple(columns), folded=True)
    return Section(
        "classes",
        "Class by class",
        tables=(table,),
        figures=tuple(_panels(outcome, cells)),
        legend=_CLASSES,
    )


def _panels(outcome: ExperimentOutcome, cells: Sequence[CellScore]) -> Iterator[Figure]:
    short = without_shared_parts([cell.name for cell in cells if cell.kind == "model"])
    for number, label in enumerate(outcome.report.labels, start=1):
        values = {cell.name: outcome.classes[cell.name].get(label) for cell in cells}
        said = "; ".join(f"{name} {fmt.estimate(value)}" for name, value in values.items())
        support = next(row.support for row in cells[0].per_class if row.label == label)
        yield Figure(
            partial(_panel, cells, short, values, number),
            f"F1 of {label}: {said}",
            fmt.plural(support, "item"),
            title=label,
        )


def _panel(
    cells: Sequence[CellScore],
    short: Mapping[str, str],
    values: Mapping[str, Metric | None],
    number: int,
) -> str:
    from gateway.report.plots import ClassRow, class_panel

    rows = [
        ClassRow(
            name=short.get(cell.name, view.shown_name(cell)),
            f1=values[cell.name],
            is_best=cell is cells[0],
            baseline=cell.kind == "baseline",
        )
        for cell in cells
    ]
    return class_panel(rows, salt=f"class-{number}")


def without_shared_parts(names: Sequence[str]) -> dict[str, str]:
    """Names of cells without the parts, between slashes, with which all begin or all end."""
    parts = {name: name.split("/") for name in names}
    for end in (0, -1) if len(names) > 1 else ():
        while len({each[end] for each in parts.values()}) == 1 and all(
            len(each) > 1 for each in parts.values()
        ):
            parts = {name: each[1:] if end == 0 else each[:-1] for name, each in parts.items()}
    return {name: "/".join(each) for name, each in parts.items()}


def _support(cells: Sequence[CellScore]) -> list[int]:
    """Items of each label, which are the same in all cells."""
    return [row.support for row in cells[0].per_class] if cells else []


def confidence(outcome: ExperimentOutcome) -> Section:
    """Of the cells that have probabilities."""
    cells = [cell for cell in _order(outcome) if cell.reliability]
    counts = [sum(b.count for b in cell.reliability) for cell in cells]
    columns = (
        Column("items", tuple(f"{n:,}" for n in counts)),
        Column("mean confidence", tuple(fmt.number(_mean_confidence(cell)) for cell in cells)),
        Column("accuracy", tuple(fmt.number(_accuracy(cell)) for cell in cells)),
        Column("ECE", tuple(fmt.number(_ece(cell)) for cell in cells)),
    )
    caption = (
        f"Confidence beside accuracy on the items with probabilities, of seed {outcome.seeds[0]}. "
        "ECE is the mean gap between the two over bins of confidence; it has no interval, because "
        "resampling biases it upwards."
    )
    names = tuple(view.shown_name(cell) for cell in cells)
    without = _without_probabilities(outcome)
    if not cells:
        return Section("reliability", "Confidence", without)
    return Section(
        "reliability",
        "Confidence",
        without,
        (by_columns(caption, "cell", names, columns),),
        figures=tuple(starmap(_diagram, enumerate(cells, start=1))),
        legend=_DIAGRAMS,
    )


def _diagram(number: int, cell: CellScore) -> Figure:
    ece = fmt.number(_ece(cell))
    count = fmt.plural(sum(b.count for b in cell.reliability), "item")
    bins = "; ".join(
        f"{fmt.number(b.mean_confidence, 2)} confident, {fmt.number(b.accuracy, 2)} right, "
        f"{fmt.plural(b.count, 'item')}"
        for b in cell.reliability
    )
    name = view.shown_name(cell)
    return Figure(
        lambda: reliability(cell, f"reliability-{number}"),
        f"Reliability of {name}, ECE {ece}, {count}: {bins}",
        f"ECE {ece}, {count}",
        title=name,
    )


def _without_probabilities(outcome: ExperimentOutcome) -> tuple[str, ...]:
    names = [view.shown_name(cell) for cell in _order(outcome) if not cell.reliability]
    if not names:
        return ()
    return (f"No probabilities, so nothing to show here: {', '.join(names)}.",)


def _mean_confidence(cell: CellScore) -> float:
    count = sum(b.count for b in cell.reliability)
    return sum(b.mean_confidence * b.count for b in cell.reliability) / count


def _accuracy(cell: CellScore) -> float:
    count = sum(b.count for b in cell.reliability)
    return sum(b.accuracy * b.count for b in cell.reliability) / count


def _ece(cell: CellScore) -> float | None:
    return cell.metrics["ece"].value if "ece" in cell.metrics else None
