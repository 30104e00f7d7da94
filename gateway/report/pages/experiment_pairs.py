"""Every pair of an experiment: how far two cells are apart, and the items where they part."""

from collections.abc import Callable, Iterator, Mapping
from itertools import groupby

from gateway.evaluation.experiment.outcome import ExperimentOutcome
from gateway.report import format as fmt
from gateway.report.claims import at_margin
from gateway.report.pages.cells import said_cell
from gateway.report.sections import Cell, Column, Section, Table, Tone, by_columns, by_rows
from gateway.scoring.contest import Comparison
from gateway.scoring.flips import Flip
from gateway.scoring.metrics import metric_name

MOST_ROWS = 4000
"""Flips that the whole page lists, so that many cells make no page that a browser cannot open."""
MOST_FLIPS, FEWEST_FLIPS = 100, 10
"""Of one pair, where pairs are few and where they are many; experiment.json has all of them."""
_FEW_PAIRS = 10
"""Pairs whose flips are shown unfolded."""
_MARKS = (
    "✓ marks right answers, ✗ wrong or missing ones; p is the answer's probability over the label "
    "set, lead how far it is above the next label's."
)


def flips_a_pair(pairs: int) -> int:
    """How many flips of each of so many pairs the page lists."""
    return max(FEWEST_FLIPS, min(MOST_FLIPS, MOST_ROWS // max(pairs, 1)))


def differences(outcome: ExperimentOutcome) -> Section:
    """A row and a column a cell: the difference, its test, what is shown at the margin."""
    name, seed = metric_name(outcome.metric), outcome.seeds[0]
    caption = (
        f"{name} of the row less that of the column, with an interval that holds in "
        f"95% of experiments for all pairs and baselines together, on the items of seed "
        f"{seed}; p-values of the permutation test, corrected for all pairs and baselines (max-T); "
        f"and what is shown at a margin of {outcome.margin:g}. Bold where a difference is shown."
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
    said = f"{fmt.p_statement(pair.permutation_p)}, {at_margin(pair)}"
    if pair.contest.n < pair.contest.total:
        said += f", on {fmt.plural(pair.contest.n, 'item')}"
    tone: Tone = "strong" if pair.claim.shown else ""
    return Cell(fmt.difference(pair.difference), tone, below=said)


def _counts(pair: Comparison, anchor: str) -> Cell:
    counts = pair.contest.mcnemar
    return Cell(f"{counts.only_a:,} / {counts.only_b:,}", link=anchor if pair.flips else "")


def partings(outcome: ExperimentOutcome) -> Section:
    """How many items one cell alone gets right, and a list of them."""
    caption = (
        "Items that the row alone gets right / that the column alone gets right, of seed "
        f"{outcome.seeds[0]}."
    )
    tables = _matrix(outcome, caption, _counts)
    most = flips_a_pair(len(outcome.pairs))
    said = f"experiment.html lists up to {most} of them a pair; experiment.json has all."
    parts = tuple(_lists(outcome, most))
    sentences = (said,) if tables else ()
    legend = _MARKS if parts else ""
    return Section("flips", "Where cells part", sentences, tables, legend=legend, parts=parts)


def _lists(outcome: ExperimentOutcome, most: int) -> Iterator[Section]:
    """A part for each cell that others are compared with, in it one for each of those."""
    items = {item.item_id: item for item in outcome.items}
    numbered = enumerate(outcome.pairs, start=1)
    parting = [(number, pair) for number, pair in numbered if pair.flips]
    for b, group in groupby(parting, key=lambda each: each[1].contest.b):
        lists = tuple(_listed(pair, number, items, most) for number, pair in group)
        few = len(outcome.pairs) <= _FEW_PAIRS
        yield Section(title=f"Against {b}", parts=lists, opened=few, long=True)


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
