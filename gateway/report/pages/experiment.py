"""An experiment as a document, and its files."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from itertools import groupby, starmap
from pathlib import Path

from gateway.evaluation.experiment.outcome import ExperimentOutcome
from gateway.evaluation.experiment.run import ExperimentResult
from gateway.evaluation.experiment.spread import Spread
from gateway.evaluation.predictions import PREDICTIONS
from gateway.report import format as fmt
from gateway.report import view
from gateway.report.files import names_of, write_document
from gateway.report.pages import run as single
from gateway.report.pages.cell import reliability
from gateway.report.pages.cells import said_cell
from gateway.report.sections import (
    Cell,
    Column,
    Document,
    Figure,
    Section,
    Table,
    Tone,
    by_columns,
    by_rows,
    settings,
)
from gateway.report.sentences import at_margin
from gateway.scoring.contest import Comparison
from gateway.scoring.flips import Flip
from gateway.scoring.metrics import metric_name
from gateway.scoring.results import CellScore, Metric

MOST_ROWS = 4000
"""Flips that the whole page lists, so that many cells make no page that a browser can not open."""
MOST_FLIPS, FEWEST_FLIPS = 100, 10
"""Of one pair, where pairs are few and where they are many; experiment.json has all of them."""
_FEW_PAIRS = 10
"""Pairs whose flips are shown unfolded."""


FILES = names_of("experiment")
"""What `write` writes."""

_FOOTER = "Here are no seconds. All the numbers behind this, unrounded, are in experiment.json."
_MARKS = (
    "✓ marks right answers, ✗ wrong or missing ones; p is the answer's probability over the label "
    "set, lead how far it is above the next label's."
)
_CLASSES = (
    "F1 from 0 to 1 with 95% intervals, one panel a class, the cells in the order of the "
    "leaderboard. Open squares are baselines; the best cell is coloured. Names leave out what all "
    "cells share."
)
_DIAGRAMS = (
    "Accuracy against mean confidence, a dot a bin; dots below the dashed line are overconfident, "
    "larger dots hold more items."
)


def files_of(seeds: Sequence[int]) -> dict[str, tuple[str, ...]]:
    """What `write` writes, by folder."""
    return {".": FILES, **{_of_seed(seed): (*single.FILES, PREDICTIONS) for seed in seeds}}


def write(result: ExperimentResult, out_dir: Path) -> None:
    """Write experiment.html, experiment.md and experiment.json, and each run in a folder.

    Raises:
        StoreError: a folder or a file in it can not be written.
        DataError: a number is not finite.
    """
    for seed, run in result.runs.items():
        single.write_run(run, out_dir / _of_seed(seed))
    values, whole = asdict(result.outcome), document(result.outcome)
    write_document("experiment", whole, values, out_dir, option="out")


def _of_seed(seed: int) -> str:
    return f"seed-{seed}"


def document(outcome: ExperimentOutcome) -> Document:
    """All of it."""
    parts = sections(outcome)
    headline = next(iter(parts[0].sentences), "One exemplar seed: no variation to report.")
    return Document(
        _title(outcome),
        (*parts, *settings(outcome.report.settings)),
        about=f"{fmt.plural(outcome.report.n, 'item')} · {outcome.report.kind}",
        summary=(headline,),
        warnings=outcome.report.warnings,
        footer=_FOOTER,
    )


def brief(outcome: ExperimentOutcome) -> Document:
    """The leaderboard and what it means; the rest is in the files."""
    board = replace(leaderboard(outcome), title="")
    return Document(_title(outcome), (board,), warnings=outcome.report.warnings)


def _title(outcome: ExperimentOutcome) -> str:
    seeds = fmt.plural(len(outcome.seeds), "exemplar seed")
    return f"{outcome.report.task} · n = {outcome.report.n} · {seeds}"


def sections(outcome: ExperimentOutcome) -> tuple[Section, ...]:
    """All parts, the leaderboard first; classes and confidence where there are any."""
    parts = [leaderboard(outcome), _pairs(outcome), _flips(outcome)]
    if outcome.classes:
        parts += [_classes(outcome), _reliability(outcome)]
    return (*parts, _runs(outcome))


def flips_a_pair(pairs: int) -> int:
    """How many flips of each of so many pairs the page lists."""
    return max(FEWEST_FLIPS, min(MOST_FLIPS, MOST_ROWS // max(pairs, 1)))


def order(outcome: ExperimentOutcome) -> tuple[CellScore, ...]:
    """Cells as on the leaderboard, baselines after them, as the first seed scored them."""
    scored = {cell.name: cell for cell in outcome.report.cells}
    baselines = (cell for cell in view.ranked(outcome.report) if cell.kind == "baseline")
    return (*(scored[each.cell] for each in outcome.spreads), *baselines)


def leaderboard(outcome: ExperimentOutcome) -> Section:
    """The cells over all seeds, and how far they depend on the seed."""
    rows = outcome.spreads
    baselines = [cell for cell in view.ranked(outcome.report) if cell.kind == "baseline"]
    names = (*(each.cell for each in rows), *map(view.shown_name, baselines))
    values = [cell.metrics.get(outcome.metric) for cell in baselines]
    rest = ("",) * len(baselines)
    name = metric_name(outcome.metric)
    means = (fmt.number(each.mean) for each in rows)
    columns = (
        Column(f"mean {name}", (*means, *(fmt.number(m.value if m else None) for m in values))),
        Column("sd", (*(fmt.number(each.deviation) for each in rows), *rest)),
        Column("min", (*(fmt.number(each.least) for each in rows), *rest)),
        Column("max", (*(fmt.number(each.most) for each in rows), *rest)),
        Column("seeds", (*(f"{len(each.values):,}" for each in rows), *rest)),
        Column("one seed, over items", (*(fmt.estimate(each.first) for each in rows), *rest)),
    )
    caption = (
        f"{name} ({fmt.direction(outcome.metric)}) over exemplar seeds, the best mean first. sd is "
        f"the standard deviation over seeds; the last column is seed {outcome.seeds[0]} with its "
        "95% interval over items."
    )
    return Section(
        "leaderboard",
        "Leaderboard",
        tuple(_sentences(outcome)),
        (by_columns(caption, "cell", names, columns),),
    )


def _sentences(outcome: ExperimentOutcome) -> list[str]:
    varied = [each for each in outcome.spreads if len(each.values) > 1]
    once = [each.cell for each in outcome.spreads if len(each.values) == 1]
    said = [_spread_sentence(each) for each in varied]
    if varied and once:
        said.append(
            f"One value alone, because seeds do not change what is shown: {', '.join(once)}."
        )
    return said


def _spread_sentence(each: Spread) -> str:
    return (
        f"{each.cell}: which exemplars are shown moves {metric_name(each.metric)} from "
        f"{fmt.number(each.least)} to {fmt.number(each.most)}, "
        f"{fmt.plural(len(each.values), 'seed')}, standard deviation {fmt.number(each.deviation)}."
    )


def _pairs(outcome: ExperimentOutcome) -> Section:
    name, seed = metric_name(outcome.metric), outcome.seeds[0]
    caption = (
        f"{name} of the row less that of the column, with its 95% interval, on the items of seed "
        f"{seed}; p-values of the permutation test, corrected for all pairs (Holm); and what is "
        f"shown at a margin of {outcome.margin:g}. Bold where the interval excludes zero."
    )
    return Section("pairs", "Every pair", tables=_matrix(outcome, caption, _difference))


def _matrix(
    outcome: ExperimentOutcome, caption: str, entry: Callable[[Comparison, str], Cell]
) -> tuple[Table, ...]:
    """A row and a column a cell, where there are two."""
    cells = list(dict.fromkeys(n for p in outcome.pairs for n in (p.contest.b, p.contest.a)))
    found = {
        (pair.contest.a, pair.contest.b): entry(pair, f"pair-{number}")
        for number, pair in enumerate(outcome.pairs, start=1)
    }
    columns = tuple(
        Column(column, tuple(found.get((row, column), "") for row in cells))
        for column in cells[:-1]
    )
    return (by_columns(caption, "cell", cells, columns),) if columns else ()


def _difference(pair: Comparison, _: str) -> Cell:
    result = pair.contest
    said = f"{fmt.p_statement(pair.permutation_p)}, {at_margin(result.equivalence)}"
    tone: Tone = "strong" if result.difference.excludes_zero else ""
    return Cell(fmt.difference(result.difference), tone, below=said)


def _counts(pair: Comparison, anchor: str) -> Cell:
    counts = pair.contest.mcnemar
    return Cell(f"{counts.only_a:,} / {counts.only_b:,}", link=anchor if pair.flips else "")


def _flips(outcome: ExperimentOutcome) -> Section:
    caption = (
        "Items that the row alone gets right / that the column alone gets right, of seed "
        f"{outcome.seeds[0]}."
    )
    tables = _matrix(outcome, caption, _counts)
    most = flips_a_pair(len(outcome.pairs))
    said = f"experiment.html lists up to {most} of them a pair; experiment.json has all."
    return Section(
        "flips",
        "Where cells part",
        (said,) if tables else (),
        tables,
        parts=tuple(_lists(outcome, most)),
    )


def _lists(outcome: ExperimentOutcome, most: int) -> Iterator[Section]:
    """A part for each cell that others are compared with, in it one for each of those."""
    items = {item.item_id: item for item in outcome.items}
    numbered = enumerate(outcome.pairs, start=1)
    parting = [(number, pair) for number, pair in numbered if pair.flips]
    for b, group in groupby(parting, key=lambda each: each[1].contest.b):
        lists = tuple(_listed(pair, number, items, most) for number, pair in group)
        few = len(outcome.pairs) <= _FEW_PAIRS
        yield Section(title=f"Against {b}", lines=(_MARKS,), parts=lists, opened=few, long=True)


def _listed(pair: Comparison, number: int, items: Mapping[str, Flip], most: int) -> Section:
    a, b, counts = pair.contest.a, pair.contest.b, pair.contest.mcnemar
    rows = [
        (Cell(item.item_id, below=item.excerpt), item.gold, said_cell(item, a), said_cell(item, b))
        for item in (items[item_id] for item_id in pair.flips[:most])
    ]
    more = len(pair.flips) - len(rows)
    count = fmt.plural(len(pair.flips), "item")
    return Section(
        f"pair-{number}",
        f"{a}: {count} ({counts.only_a:,} / {counts.only_b:,})",
        tables=(by_rows(("item", "gold", a, b), rows),),
        lines=(f"And {more:,} more in experiment.json.",) if more > 0 else (),
        long=True,
    )


def _classes(outcome: ExperimentOutcome) -> Section:
    cells = order(outcome)
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


def _reliability(outcome: ExperimentOutcome) -> Section:
    cells = [cell for cell in order(outcome) if cell.reliability]
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
    names = [view.shown_name(cell) for cell in order(outcome) if not cell.reliability]
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


def _runs(outcome: ExperimentOutcome) -> Section:
    seeds = tuple(f"{seed}" for seed in outcome.runs)
    runs = Column("run", tuple(outcome.runs.values()))
    caption = "One run a seed; each has its own report in the folder seed-N, and by gateway report."
    return Section("runs", "Runs", (), (by_columns(caption, "exemplar seed", seeds, (runs,)),))
