"""The report on a terminal or in a pipe: eighty columns are enough, fewer still make sense."""

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from gateway.report import format as fmt
from gateway.report import view
from gateway.report.grid import Column, Row, encoded, print_grid
from gateway.report.table import numbers, print_rows
from gateway.scoring.metrics import metric_name
from gateway.scoring.results import CellScore, CellTimings, Comparison, Report

MOST_FLIPS = 20


def print_report(report: Report, console: Console) -> None:
    """Title, one row a cell, what follows from it, and what to be careful about."""
    line(console, f"{report.task} · n = {report.n} · run {report.run_id}", style="bold")
    print_cells(report, console)
    for sentence in report.summary:
        line(console, sentence)
    print_warnings(report, console)


def print_cells(report: Report, console: Console) -> None:
    """One row a cell, and what was not answered."""
    cells = view.ranked(report)
    if cells:
        _print_cells(report, cells, console)
    for cell in cells:
        if missing := view.not_ok(cell):
            listed = ", ".join(f"{count} {status}" for status, count in missing)
            line(console, f"{cell.name}: {listed} of {cell.n}", style="yellow")


def print_warnings(report: Report, console: Console) -> None:
    """What to be careful about."""
    for warning in report.warnings:
        line(console, f"warning: {warning}", style="yellow")


def print_timings(timings: Sequence[CellTimings], console: Console) -> None:
    """Measured seconds, one row a cell; nothing where nothing was timed."""
    if not timings:
        return
    columns = [
        Column("p50 s", tuple(fmt.seconds(cell.p50_s) for cell in timings)),
        Column("p95 s", tuple(fmt.seconds(cell.p95_s) for cell in timings)),
        Column("total s", tuple(fmt.seconds(cell.total_s) for cell in timings)),
        Column("s/correct", tuple(fmt.seconds(cell.seconds_per_correct) for cell in timings)),
        Column("tokens/s", tuple(fmt.count(cell.tokens_per_s) for cell in timings)),
        Column("n", tuple(fmt.count(cell.n) for cell in timings)),
    ]
    line(console, "Timings, as measured here", style="bold")
    dropped = print_grid([Row(cell.name) for cell in timings], columns, console)
    say_dropped(dropped, [], console)


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Two cells: the difference with its interval, the test, the counts, the flips."""
    line(console, f"a: {comparison.a}", style="bold")
    line(console, f"b: {comparison.b}", style="bold")
    line(
        console,
        f"{metric_name(comparison.metric)}, a minus b: {fmt.difference(comparison.difference)} "
        f"(95% interval; n = {comparison.n}; {fmt.direction(comparison.metric)})",
    )
    line(console, f"{comparison.test or 'no test'}: {fmt.p_statement(comparison.p_value)}")
    if comparison.note:
        line(console, f"note: {comparison.note}", style="yellow")
    _print_counts(comparison, console)
    _print_flips(comparison, console)
    if note := view.test_note((comparison,)):
        line(console, note, style="dim")


def _print_cells(report: Report, cells: Sequence[CellScore], console: Console) -> None:
    best = view.best_cell(report)
    dropped = print_grid(
        [_row(cells, i, best) for i in range(len(cells))], _columns(report, cells), console
    )
    primary = report.primary_metric
    notes = [f"{metric_name(primary)}: {fmt.direction(primary)}, 95% interval in brackets"]
    if best is not None:
        notes.insert(0, "* best")
    if not all(cell.exact for cell in cells):
        notes.append(view.BOUNDS_NOTE)
    say_dropped(dropped, notes, console)


def _row(cells: Sequence[CellScore], i: int, best: CellScore | None) -> Row:
    cell = cells[i]
    if cell.kind == "baseline":
        return Row(view.shown_name(cell), style="dim")
    ends = i + 1 < len(cells) and cells[i + 1].kind == "baseline"
    if cell is best:
        return Row(view.shown_name(cell), mark="*", style="bold", ends_section=ends)
    return Row(view.shown_name(cell), ends_section=ends)


def _columns(report: Report, cells: Sequence[CellScore]) -> list[Column]:
    """The primary metric, then the others, the first to give way on a narrow terminal last."""
    primary = report.primary_metric
    second = {
        "classification": "macro_f1" if primary == "accuracy" else "accuracy",
        "number": "mae" if primary == "within_one" else "within_one",
        "extraction": "coverage",
    }[report.kind]
    estimates = tuple(fmt.estimate(cell.metrics.get(primary)) for cell in cells)
    tokens = tuple(fmt.count(cell.tokens_per_correct) for cell in cells)
    optional = ["log_loss", "ece"]
    if second != "coverage" and any(view.not_ok(cell) for cell in cells):
        optional.insert(0, "coverage")
    return [
        Column(metric_name(primary), estimates),
        _metric_column(second, cells),
        Column("tok/correct", tokens),
        *(
            _metric_column(name, cells)
            for name in optional
            if any(name in cell.metrics for cell in cells)
        ),
    ]


def _metric_column(name: str, cells: Sequence[CellScore]) -> Column:
    metrics = [cell.metrics.get(name) for cell in cells]
    shown = tuple(fmt.number(metric.value if metric else None) for metric in metrics)
    return Column(metric_name(name), shown)


def say_dropped(dropped: Sequence[str], notes: list[str], console: Console) -> None:
    """The notes below a table, and which columns had no room."""
    if dropped:
        notes = [*notes, f"too narrow to show {', '.join(dropped)}"]
    if notes:
        line(console, "; ".join(notes), style="dim")


def _print_counts(comparison: Comparison, console: Console) -> None:
    rows = [
        ("a right", str(comparison.both_right), str(comparison.only_a)),
        ("a wrong", str(comparison.only_b), str(comparison.both_wrong)),
    ]
    print_rows(("", *numbers("b right", "b wrong")), rows, console)


def _print_flips(comparison: Comparison, console: Console) -> None:
    if not comparison.flips:
        line(console, "No item is right in exactly one of the two.")
        return
    line(console, f"{fmt.plural(len(comparison.flips), 'item')} right in exactly one of the two:")
    first = comparison.flips[:MOST_FLIPS]
    rows = [(flip.item_id, flip.gold, flip.a, flip.b) for flip in first]
    print_rows(("item", "gold", "a", "b"), rows, console)
    if (more := len(comparison.flips) - MOST_FLIPS) > 0:
        line(console, f"and {more} more (--json lists all)", style="dim")


def line(console: Console, text: str, style: str = "") -> None:
    """Untrusted text. A `Text` is never read as markup."""
    console.print(Text(encoded(console, text), style=style, overflow="fold"))
