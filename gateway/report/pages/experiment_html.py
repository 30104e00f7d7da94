"""The experiment as one HTML file that asks for nothing from anywhere."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from gateway.evaluation.experiment.flips import FlippedItem
from gateway.evaluation.experiment.outcome import ExperimentOutcome, Pairing
from gateway.report import format as fmt
from gateway.report import view
from gateway.report.html import inline, templates
from gateway.report.pages.experiment import flips_a_pair, order, title
from gateway.report.plots import ClassRow, class_panel, reliability_diagram
from gateway.report.sections import Section
from gateway.report.sentences import at_margin
from gateway.scoring.results import CellScore

_FOOTER = (
    "This page holds no seconds. All the numbers behind it, unrounded, are in experiment.json."
)


@dataclass(frozen=True, slots=True)
class _Pair:
    """Two cells and what the template can not work out for itself."""

    anchor: str
    pairing: Pairing
    at_margin: str
    told_apart: bool
    listed: list[FlippedItem]
    unlisted: int


@dataclass(frozen=True, slots=True)
class _Panel:
    """A small plot with what stands above it and instead of it."""

    title: str
    note: str
    said: str
    """What it shows, for who can not see it."""
    plot: Markup


def render_html(outcome: ExperimentOutcome, parts: Sequence[Section]) -> str:
    """The whole experiment. The same outcome gives the same bytes."""
    headline = next(iter(parts[0].sentences), "One exemplar seed: no variation to report.")
    return (
        templates()
        .get_template("experiment.html.j2")
        .render(
            report=outcome.report,
            title=title(outcome),
            headline=headline,
            parts=parts,
            names=[each.cell for each in outcome.spreads],
            pairs={(p.pairing.contest.a, p.pairing.contest.b): p for p in _pairs(outcome)},
            class_panels=_class_panels(outcome),
            reliability_panels=_reliability_panels(outcome),
            footer=_FOOTER,
        )
    )


def _pairs(outcome: ExperimentOutcome) -> list[_Pair]:
    items = {item.item_id: item for item in outcome.items}
    most = flips_a_pair(len(outcome.pairs))
    return [
        _Pair(
            anchor=f"pair-{number}",
            pairing=pair,
            at_margin=at_margin(pair.contest.equivalence),
            told_apart=_excludes_zero(pair),
            listed=[items[item_id] for item_id in pair.flips[:most]],
            unlisted=max(0, len(pair.flips) - most),
        )
        for number, pair in enumerate(outcome.pairs, start=1)
    ]


def _excludes_zero(pair: Pairing) -> bool:
    low, high = pair.contest.difference.low, pair.contest.difference.high
    return low is not None and high is not None and (low > 0 or high < 0)


def _class_panels(outcome: ExperimentOutcome) -> list[_Panel]:
    if not outcome.classes:
        return []
    cells = order(outcome)
    short = without_shared_parts([cell.name for cell in cells if cell.kind == "model"])
    return [
        _class_panel(outcome, cells, short, label, number)
        for number, label in enumerate(outcome.report.labels, start=1)
    ]


def _class_panel(
    outcome: ExperimentOutcome,
    cells: Sequence[CellScore],
    short: dict[str, str],
    label: str,
    number: int,
) -> _Panel:
    values = {cell.name: outcome.classes[cell.name].get(label) for cell in cells}
    rows = [
        ClassRow(
            name=short.get(cell.name, view.shown_name(cell)),
            f1=values[cell.name],
            is_best=cell is cells[0],
            baseline=cell.kind == "baseline",
        )
        for cell in cells
    ]
    said = "; ".join(f"{name} {fmt.estimate(value)}" for name, value in values.items())
    support = next(row.support for row in cells[0].per_class if row.label == label)
    return _Panel(
        title=label,
        note=fmt.plural(support, "item"),
        said=f"F1 of {label}: {said}",
        plot=inline(class_panel(rows, salt=f"class-{number}")),
    )


def _reliability_panels(outcome: ExperimentOutcome) -> list[_Panel]:
    cells = [cell for cell in order(outcome) if cell.reliability]
    return [_reliability_panel(cell, number) for number, cell in enumerate(cells, start=1)]


def _reliability_panel(cell: CellScore, number: int) -> _Panel:
    ece = fmt.number(cell.metrics["ece"].value if "ece" in cell.metrics else None)
    count = fmt.plural(sum(b.count for b in cell.reliability), "item")
    bins = "; ".join(
        f"{fmt.number(b.mean_confidence, 2)} confident, {fmt.number(b.accuracy, 2)} right, "
        f"{fmt.plural(b.count, 'item')}"
        for b in cell.reliability
    )
    name = view.shown_name(cell)
    return _Panel(
        title=name,
        note=f"ECE {ece}, {count}",
        said=f"Reliability of {name}, ECE {ece}, {count}: {bins}",
        plot=inline(reliability_diagram(cell.reliability, salt=f"reliability-{number}")),
    )


def without_shared_parts(names: Sequence[str]) -> dict[str, str]:
    """Names of cells without the parts, between slashes, with which all begin or all end."""
    parts = {name: name.split("/") for name in names}
    for end in (0, -1) if len(names) > 1 else ():
        while len({each[end] for each in parts.values()}) == 1 and all(
            len(each) > 1 for each in parts.values()
        ):
            parts = {name: each[1:] if end == 0 else each[:-1] for name, each in parts.items()}
    return {name: "/".join(each) for name, each in parts.items()}
