"""Plots as inline SVG that takes its colours and its font from the page.

The same values give the same bytes in every process: ids come from a fixed salt, no date is
written, and text stays text, so that nothing depends on the fonts of the machine.
"""

import io
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gateway.report import format as fmt
from gateway.report import view
from gateway.scoring.metrics import metric_name
from gateway.scoring.report import Report
from gateway.scoring.results import CellScore, Metric, ReliabilityBin

# Stand-ins that matplotlib writes and `_themed` turns into the variables of report.css.
_INK, _MUTED, _RULE = "#010101", "#020202", "#030303"
_BEST, _MODEL, _BASELINE = "#040404", "#050505", "#060606"
_VARIABLES = {
    _INK: "--ink",
    _MUTED: "--muted",
    _RULE: "--rule",
    _BEST: "--accent",
    _MODEL: "--ink",
    _BASELINE: "--muted",
}

_SETTINGS: dict[str, Any] = {
    "svg.fonttype": "none",
    "font.family": ["DejaVu Sans"],
    "font.size": 9.0,
    "text.color": _INK,
    "text.parse_math": False,
    "axes.labelcolor": _MUTED,
    "axes.edgecolor": _RULE,
    "xtick.color": _RULE,
    "ytick.color": _RULE,
    "xtick.labelcolor": _MUTED,
    "ytick.labelcolor": _MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.solid_capstyle": "butt",
}
_COLOURS = re.compile(r":root \{.*?\}\s*@media.*?\}\s*\}", re.DOTALL)
_NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}

_LONGEST_NAME = 44
_CHARACTER_INCHES = 0.077
_ROW_INCHES = 0.27
_PANEL_ROW_INCHES = 0.21
_SQUARE = (3.3, 3.1)
"""Inches of a reliability diagram."""


@dataclass(frozen=True, slots=True)
class ClassRow:
    """One cell's line in the panel of a class."""

    name: str
    f1: Metric | None
    """None where the class was neither asked for nor answered: the line stays empty."""
    is_best: bool
    baseline: bool


def forest_plot(report: Report) -> str:
    """The primary metric of every cell that has it, with its interval; "" where none has."""
    name = report.primary_metric
    cells = [cell for cell in view.ranked(report) if name in cell.metrics]
    if not cells:
        return ""
    names = [fmt.shorten(fmt.clean(view.shown_name(cell)), _LONGEST_NAME) for cell in cells]
    margin = 0.25 + _CHARACTER_INCHES * max(map(fmt.display_width, names))
    size = (margin + 4.4, 0.62 + _ROW_INCHES * len(cells))

    def draw(figure: Figure) -> None:
        bottom = 0.5 / size[1]
        axes = figure.add_axes(
            (margin / size[0], bottom, 4.2 / size[0], 1.0 - bottom - 0.08 / size[1])
        )
        best = report.best
        for row, cell in enumerate(cells):
            baseline = cell.kind == "baseline"
            _draw_interval(axes, row, cell.metrics[name], is_best=cell is best, baseline=baseline)
        _mark_best_baseline(axes, cells, name)
        axes.set_ylim(len(cells) - 0.4, -0.6)
        axes.set_yticks(range(len(cells)), names, color=_INK)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x", color=_RULE, linewidth=0.6)
        axes.set_axisbelow(True)
        label = f"{fmt.clean(metric_name(name))} ({fmt.direction(name)})"
        axes.set_xlabel(label)

    return _svg(draw, size, salt="forest")


def reliability_diagram(bins: Sequence[ReliabilityBin], salt: str) -> str:
    """Accuracy against mean confidence; a dot's area grows with the number of its items.

    Args:
        bins: at least one.
        salt: makes the ids of this plot differ from those of others on the page.
    """

    with _steadily(salt):
        figure, axes = _unit_square()
        with _drawn_into(axes):
            _draw_bins(axes, bins)
            return _themed(_saved(figure), _SQUARE)


@cache
def _unit_square() -> tuple[Figure, Axes]:
    """What all reliability diagrams have in common. A page may have dozens, and to make it takes
    longer than what is drawn into it."""
    figure = _bare(_SQUARE)
    axes = figure.add_axes((0.17, 0.15, 0.8, 0.82))
    axes.patch.set_visible(False)
    axes.plot([0, 1], [0, 1], color=_MUTED, linewidth=0.8, dashes=(4, 3))
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xlabel("mean confidence")
    axes.set_ylabel("accuracy")
    axes.grid(color=_RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    return figure, axes


@contextmanager
def _drawn_into(axes: Axes) -> Iterator[None]:
    """Whatever the block draws is gone behind it."""
    before = {*axes.lines, *axes.collections}
    try:
        yield
    finally:
        for each in (*axes.lines, *axes.collections):
            if each not in before:
                each.remove()


def _draw_bins(axes: Axes, bins: Sequence[ReliabilityBin]) -> None:
    most = max(b.count for b in bins)
    for b in bins:
        x = [b.mean_confidence, b.mean_confidence]
        axes.plot(x, [b.mean_confidence, b.accuracy], color=_BEST, linewidth=1.0, alpha=0.5)
    axes.scatter(
        [b.mean_confidence for b in bins],
        [b.accuracy for b in bins],
        s=[12 + 70 * b.count / most for b in bins],
        color=_BEST,
        linewidths=0,
        zorder=3,
        clip_on=False,
    )


def class_panel(rows: Sequence[ClassRow], salt: str) -> str:
    """F1 of one class in every cell, with its interval, on an axis from 0 to 1.

    Args:
        rows: at least one.
        salt: makes the ids of this plot differ from those of others on the page.
    """
    names = [fmt.shorten(fmt.clean(row.name), _LONGEST_NAME) for row in rows]
    margin = 0.2 + _CHARACTER_INCHES * max(map(fmt.display_width, names))
    size = (margin + 2.1, 0.36 + _PANEL_ROW_INCHES * len(rows))

    def draw(figure: Figure) -> None:
        bottom = 0.28 / size[1]
        axes = figure.add_axes(
            (margin / size[0], bottom, 1.95 / size[0], 1.0 - bottom - 0.06 / size[1])
        )
        for y, row in enumerate(rows):
            if row.f1 is not None:
                _draw_interval(axes, y, row.f1, is_best=row.is_best, baseline=row.baseline)
        axes.set_xlim(-0.02, 1.02)
        axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_yticks(range(len(rows)), names, color=_INK)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x", color=_RULE, linewidth=0.6)
        axes.set_axisbelow(True)

    return _svg(draw, size, salt=salt)


def frontier_plot(
    metric: str,
    cells: Sequence[tuple[str, int | None, Metric]],
    frontier: Sequence[str],
    chosen: str,
) -> str:
    """Quality against the size of the weights, a numbered dot a cell; "" where no size is known.

    Args:
        cells: name, bytes and quality, in the order of the numbers; without bytes there is no dot.
        frontier: names of the cells that no other one beats in both, smallest first.
        chosen: name of the cell that is recommended.
    """
    numbered = enumerate(cells, start=1)
    sized = [(n, name, size, quality) for n, (name, size, quality) in numbered if size]
    if not sized:
        return ""
    places = {name: (size / 1e6, quality.value) for _, name, size, quality in sized}

    def draw(figure: Figure) -> None:
        axes = figure.add_axes((0.12, 0.15, 0.84, 0.8))
        axes.plot(
            [places[name][0] for name in frontier],
            [places[name][1] for name in frontier],
            color=_MUTED,
            linewidth=0.8,
            dashes=(4, 3),
        )
        for number, name, size, quality in sized:
            color = _BEST if name == chosen else _MODEL
            x = size / 1e6
            if quality.low is not None and quality.high is not None:
                axes.plot([x, x], [quality.low, quality.high], color=color, linewidth=1.2)
            axes.plot([x], [quality.value], marker="o", markersize=6, color=color)
            # To either side in turn, so that two cells of one model do not cover each other.
            aside = 7 if number % 2 else -7
            axes.annotate(
                str(number),
                (x, quality.value),
                xytext=(aside, 4),
                textcoords="offset points",
                ha="left" if number % 2 else "right",
            )
        axes.margins(x=0.15)
        axes.set_xlabel("size of the weights in MB")
        axes.set_ylabel(f"{fmt.clean(metric_name(metric))} ({fmt.direction(metric)})")
        axes.grid(color=_RULE, linewidth=0.6)
        axes.set_axisbelow(True)

    return _svg(draw, (5.6, 3.4), salt="frontier")


def _draw_interval(axes: Axes, row: int, metric: Metric, *, is_best: bool, baseline: bool) -> None:
    color = _BEST if is_best else _BASELINE if baseline else _MODEL
    if metric.low is not None and metric.high is not None:
        axes.plot([metric.low, metric.high], [row, row], color=color, linewidth=1.6)
    axes.plot(
        [metric.value],
        [row],
        marker="s" if baseline else "o",
        markersize=5 if baseline else 6,
        markerfacecolor="none" if baseline else color,
        markeredgecolor=color,
    )


def _mark_best_baseline(axes: Axes, cells: Sequence[CellScore], name: str) -> None:
    """A line down from the value to beat. Cells come best first, so the first baseline has it."""
    baselines = [cell.metrics[name].value for cell in cells if cell.kind == "baseline"]
    if baselines:
        axes.axvline(baselines[0], color=_BASELINE, linewidth=0.8, dashes=(2, 3), zorder=0)


def as_file(svg: str) -> str:
    """A plot as an SVG file of its own, on the page's paper and in its colours, dark ones too."""
    colours = _COLOURS.search(files("gateway.report").joinpath("report.css").read_text("utf-8"))
    assert colours, "report.css begins with its colours"
    sheet = colours.group().replace(":root", "svg")
    font = "svg { background: var(--paper); font-family: system-ui, sans-serif; }"
    named = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    start, rest = svg.split(">", maxsplit=1)
    start = start.replace("<svg", f"<svg {named}", 1)
    return f"{start}><style>{sheet}{font}</style>{rest}\n"


def _svg(draw: Callable[[Figure], None], size: tuple[float, float], salt: str) -> str:
    with _steadily(salt):
        figure = _bare(size)
        draw(figure)
        for axes in figure.axes:
            axes.patch.set_visible(False)
        return _themed(_saved(figure), size)


@contextmanager
def _steadily(salt: str) -> Iterator[None]:
    """Settings of matplotlib while the block runs, whatever is set on this machine."""
    with matplotlib.rc_context(), warnings.catch_warnings():
        # Not through `update`, which checks each of them every time.
        parameters: Any = matplotlib.rcParams
        dict.update(parameters, _settings())
        matplotlib.rcParams["svg.hashsalt"] = f"gateway-{salt}"
        # A name in a script that DejaVu lacks is set by the browser, not by matplotlib.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


@cache
def _settings() -> dict[str, Any]:
    """Of every plot. "default" first: a matplotlibrc on this machine must not change the report."""
    defaults: Any = matplotlib.rcParamsDefault
    settings: Any = {**defaults, **_SETTINGS}
    settings.pop("backend", None)
    with matplotlib.rc_context(settings):
        checked: dict[str, Any] = {name: matplotlib.rcParams[name] for name in settings}
    return checked


def _bare(size: tuple[float, float]) -> Figure:
    figure = Figure(figsize=size)
    figure.patch.set_visible(False)
    return figure


def _saved(figure: Figure) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata=_NO_METADATA)
    return buffer.getvalue()


def _themed(svg: str, size: tuple[float, float]) -> str:
    """The bare `<svg>` element, without namespaces, idle ids, and colours of its own."""
    body = svg[svg.index("<svg") :].strip()
    body = re.sub(r"<(defs)>\s*<style.*?</style>\s*</defs>", "", body, count=1, flags=re.DOTALL)
    body = re.sub(r"<metadata>.*?</metadata>", "", body, count=1, flags=re.DOTALL)
    body = re.sub(r'<g id="[^"]*"', "<g", body)
    width, height = (round(72 * inches, 1) for inches in size)
    start = f'<svg class="plot" viewBox="0 0 {width} {height}" style="--width: {width}px">'
    body = re.sub(r"<svg[^>]*>", start, body, count=1)
    # Text has no "<", so that only matplotlib's own tags are changed, never a label.
    return re.sub(r"<[^>]*>", lambda tag: _recoloured(tag.group()), body)


def _recoloured(tag: str) -> str:
    for color, variable in _VARIABLES.items():
        tag = tag.replace(color, f"var({variable})")
    return re.sub(r"'DejaVu Sans'[^;\"]*", "inherit", tag)
