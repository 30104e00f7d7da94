"""The cells of a grid, one row each, and one of their answers."""

from collections.abc import Sequence

from gateway.report import format as fmt
from gateway.report import view
from gateway.report.sections import Cell, Column, Kind, Section, Table, by_columns
from gateway.scoring.flips import Flip
from gateway.scoring.metrics import metric_name, rewards_silence
from gateway.scoring.report import Report
from gateway.scoring.results import CellScore


def cells_in_brief(report: Report) -> tuple[Section, Section]:
    """One row a cell with a few metrics, and what was not answered."""
    cells = view.ranked(report)
    if not cells:
        return Section("cells"), Section()
    primary = report.primary_metric
    notes = [f"{metric_name(primary)}: {fmt.direction(primary)}, 95% interval in brackets"]
    if report.best is not None:
        notes.insert(0, "* first")
    if not all(cell.exact for cell in cells):
        notes.append(view.BOUNDS_NOTE)
    names = tuple(map(view.shown_name, cells))
    columns = _columns_in_brief(report, cells)
    table = by_columns("; ".join(notes), "cell", names, columns, kinds=kinds(report))
    lines = (f"{cell.name}: {missing(cell)} of {cell.n}" for cell in cells if view.not_ok(cell))
    return Section("cells", tables=(table,)), Section(lines=tuple(lines), tone="warning")


def scores(report: Report, *, linked: bool = False) -> Table:
    """One row a cell with every metric.

    Args:
        linked: the page has a part about each cell.
    """
    cells = view.ranked(report)
    primary = report.primary_metric
    names = tuple(
        Cell(view.shown_name(cell), below=missing(cell), link=f"cell-{i}" if linked else "")
        for i, cell in enumerate(cells, start=1)
    )
    columns = [
        Column(metric_name(name), tuple(fmt.estimate(cell.metrics.get(name)) for cell in cells))
        for name in view.metric_names(report)
    ]
    columns.append(
        Column("tok/correct", tuple(fmt.count(cell.tokens_per_correct) for cell in cells))
    )
    last = "; those that left items out come later" if rewards_silence(primary) else ""
    caption = (
        f"Each cell on the same {fmt.plural(report.n, 'item')}, ordered by {metric_name(primary)} "
        f"({fmt.direction(primary)}{last}), baselines last; 95% intervals in brackets."
    )
    return by_columns(caption, "cell", names, columns, kinds=kinds(report))


def said_cell(item: Flip, cell: str) -> Cell:
    """What a cell said to an item, whether that is right, and how sure it was."""
    found = item.said[cell]
    below = ""
    if found.probability is not None:
        below = f"p {fmt.number(found.probability)}, lead {fmt.number(found.lead)}"
    return Cell(found.answer, mark=found.right, below=below)


def kinds(report: Report) -> tuple[Kind, ...]:
    """What each row of a table of all cells is about."""
    best = report.best
    return tuple(
        "best" if cell is best else "" if cell.kind == "model" else "baseline"
        for cell in view.ranked(report)
    )


def missing(cell: CellScore) -> str:
    """How many items have no answer, by status."""
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
