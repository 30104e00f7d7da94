"""The report as one HTML file that asks for nothing from anywhere."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import FileSystemLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from gateway.core.types import TaskKind
from gateway.report import format as fmt
from gateway.report import view
from gateway.report.plots import forest_plot, reliability_diagram
from gateway.scoring.metrics import metric_name
from gateway.scoring.results import CellScore, Comparison, Flip, Report

MOST_FLIPS = 200
"""Flips of one comparison that the page lists; report.json has all of them."""


@dataclass(frozen=True, slots=True)
class _Reliability:
    plot: Markup
    ece: str
    count: int


@dataclass(frozen=True, slots=True)
class _Cell:
    """A cell and what the template can not work out for itself."""

    anchor: str
    score: CellScore
    name: str
    is_best: bool
    details: list[tuple[str, str]]
    not_ok: list[tuple[str, int]]
    confusions: list[view.Confused]
    """Listed in place of a matrix that would be too large; empty where there is a matrix."""
    reliability: _Reliability | None


@dataclass(frozen=True, slots=True)
class _FlipRow:
    flip: Flip
    a_right: bool
    b_right: bool


@dataclass(frozen=True, slots=True)
class _Compared:
    comparison: Comparison
    flips: list[_FlipRow]
    unlisted: int


def render_html(report: Report) -> str:
    """The whole report. The same report gives the same bytes."""
    order = [cell.name for cell in report.cells]
    best = view.best_cell(report)
    cells = [_cell(cell, i, best) for i, cell in enumerate(view.ranked(report), start=1)]
    template = templates().get_template("report.html.j2")
    return template.render(
        report=report,
        cells=cells,
        metrics=view.metric_names(report),
        forest=inline(forest_plot(report)),
        compared=[_compared(report.kind, comparison) for comparison in report.comparisons],
        test_note=view.test_note(report.comparisons),
        bounds_note="" if all(cell.exact for cell in report.cells) else view.BOUNDS_NOTE,
        disagreements=[
            (item, view.answer_groups(report.kind, item, order)) for item in report.disagreements
        ],
        anchors={cell.score.name: cell.anchor for cell in cells},
    )


def templates() -> ImmutableSandboxedEnvironment:
    """The page templates of this folder; whatever they put out is cleaned and escaped."""
    made = ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_cleaned,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.globals["fmt"] = {
        "absent": fmt.ABSENT,
        "count": fmt.count,
        "difference": fmt.difference,
        "direction": fmt.direction,
        "interval": fmt.interval,
        "metric_name": metric_name,
        "number": fmt.number,
        "p_statement": fmt.p_statement,
        "p_value": fmt.p_value,
        "plural": fmt.plural,
        "signed": fmt.signed,
        "signed_interval": fmt.signed_interval,
    }
    return made


def _cleaned(value: Any) -> Any:
    """Applied to every value that the template puts out, so that none can be forgotten."""
    return fmt.clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _cell(cell: CellScore, number: int, best: CellScore | None) -> _Cell:
    large = cell.confusion is not None and not view.is_matrix(cell.confusion)
    return _Cell(
        anchor=f"cell-{number}",
        score=cell,
        name=view.shown_name(cell),
        is_best=cell is best,
        details=view.details(cell),
        not_ok=view.not_ok(cell),
        confusions=view.confusions(cell.confusion) if cell.confusion and large else [],
        reliability=_reliability(cell, number),
    )


def _reliability(cell: CellScore, number: int) -> _Reliability | None:
    if not cell.reliability:
        return None
    ece = cell.metrics.get("ece")
    return _Reliability(
        plot=inline(reliability_diagram(cell.reliability, salt=f"cell-{number}")),
        ece=fmt.number(ece.value if ece else None),
        count=sum(b.count for b in cell.reliability),
    )


def _compared(kind: TaskKind, comparison: Comparison) -> _Compared:
    rows = [
        _FlipRow(
            flip,
            a_right=view.is_right_text(kind, flip.gold, flip.a),
            b_right=view.is_right_text(kind, flip.gold, flip.b),
        )
        for flip in comparison.flips[:MOST_FLIPS]
    ]
    return _Compared(comparison, rows, len(comparison.flips) - len(rows))


def inline(text: str) -> Markup:
    """A plot of `gateway.report.plots`, as it stands in the page."""
    # matplotlib escapes the texts it draws; nothing else of this comes from outside.
    return Markup(text)
