"""An experiment as sections of sentences and tables, the same in every form."""

from collections.abc import Sequence

from gateway.evaluation.experiment.outcome import ExperimentOutcome, Pairing
from gateway.evaluation.experiment.spread import Spread
from gateway.report import format as fmt
from gateway.report import view
from gateway.report.grid import Column
from gateway.report.sections import Section, Table
from gateway.report.sentences import at_margin
from gateway.scoring.metrics import metric_name
from gateway.scoring.results import CellScore

MOST_ROWS = 4000
"""Flips that the whole page lists, so that many cells make no page that a browser can not open."""
MOST_FLIPS, FEWEST_FLIPS = 100, 10
"""Of one pair, where pairs are few and where they are many; experiment.json has all of them."""


def title(outcome: ExperimentOutcome) -> str:
    """What the experiment is about, and how much of it there is."""
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
        (Table(caption, "cell", names, columns),),
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
        f"shown at a margin of {outcome.margin:g}."
    )
    cells = [each.cell for each in outcome.spreads]
    found = {(pair.contest.a, pair.contest.b): pair for pair in outcome.pairs}
    columns = tuple(
        Column(column, tuple(_entry(found.get((row, column))) for row in cells))
        for column in cells[:-1]
    )
    matrix = Table(caption, "cell", tuple(cells), columns)
    return Section("pairs", "Every pair", (), (matrix,) if columns else ())


def _entry(pair: Pairing | None) -> str:
    if pair is None:
        return ""
    result = pair.contest
    return (
        f"{fmt.difference(result.difference)}, {fmt.p_statement(pair.p_value)}, "
        f"{at_margin(result.equivalence)}"
    )


def _flips(outcome: ExperimentOutcome) -> Section:
    cells = [each.cell for each in outcome.spreads]
    counts = {(pair.contest.a, pair.contest.b): pair.contest.mcnemar for pair in outcome.pairs}
    columns = []
    for column in cells[:-1]:
        found = [counts.get((row, column)) for row in cells]
        texts = tuple(f"{each.only_a:,} / {each.only_b:,}" if each else "" for each in found)
        columns.append(Column(column, texts))
    caption = (
        "Items that the row alone gets right / that the column alone gets right, of seed "
        f"{outcome.seeds[0]}."
    )
    tables = (Table(caption, "cell", tuple(cells), tuple(columns)),) if columns else ()
    most = flips_a_pair(len(outcome.pairs))
    said = f"experiment.html lists up to {most} of them a pair; experiment.json has all."
    return Section("flips", "Where cells part", (said,) if columns else (), tables)


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
    return Section(
        "classes", "Class by class", (), (Table(caption, "label", labels, tuple(columns)),)
    )


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
    tables = (Table(caption, "cell", names, columns),) if cells else ()
    return Section("reliability", "Confidence", _without_probabilities(outcome), tables)


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
    return Section("runs", "Runs", (), (Table(caption, "exemplar seed", seeds, (runs,)),))
