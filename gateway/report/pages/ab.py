"""The comparison as a document, and its files."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import groupby
from pathlib import Path

from gateway.evaluation.ab.outcome import Outcome
from gateway.evaluation.ab.recommend import recommendation
from gateway.report import format as fmt
from gateway.report import view
from gateway.report.claims import INTERVALS_AGREE, at_margin
from gateway.report.files import TIMINGS, names_of, write_document
from gateway.report.pages import groups
from gateway.report.pages.ab_levels import levels
from gateway.report.pages.ab_sentences import (
    NO_TESTS,
    NOT_READ,
    no_recommendation,
    noise_sentence,
    not_compared_sentence,
    pair_sentences,
    stopping_sentence,
)
from gateway.report.pages.cells import cells_in_brief, said_cell, scores
from gateway.report.pages.needs import needs
from gateway.report.sections import (
    Column,
    Document,
    Figure,
    Section,
    Table,
    by_columns,
    settings,
)
from gateway.report.sentences import (
    baseline_sentence,
    fidelity_sentences,
    recommendation_paragraph,
)
from gateway.scoring.contest import Comparison
from gateway.scoring.flips import Flip, KeptAnswers
from gateway.scoring.frontier import Standing
from gateway.scoring.metrics import metric_name
from gateway.scoring.report import Report
from gateway.scoring.results import CellTimings, Metric

MOST_DIFFERING = 200
"""Items of one pair that page and Markdown list; ab.json has all of them."""

_CELLS = "Cells and baselines"

_TESTED = (
    "p-values in the tables allow for all pairs and baselines together: those of the permutation "
    "test of the metric by max-T, those of McNemar's test of right answers by Holm in a family of "
    "its own."
)


_PLOT = "Quality against size of the weights; the table above has the numbers."
_LEGEND = (
    "Quality with 95% intervals against the size of the weights. The number is the cell's row in "
    "the table above; the dashed line joins the cells that are on the frontier in both; the "
    "coloured one is recommended."
)

FILES = (*names_of("ab"), *TIMINGS, "frontier.svg")
"""What `write` writes, the last where sizes are known."""

_FOOTER = (
    "Here are no seconds, so that the same comparison gives the same bytes: timings are in "
    "timings.md and timings.json. All the numbers behind this, unrounded, are in ab.json."
)


def write(outcome: Outcome, timings: Sequence[CellTimings], out_dir: Path) -> None:
    """Write ab.html, ab.md and ab.json, which hold no clock, and timings.json and timings.md.

    Where sizes are known, also the plot of quality against size, as frontier.svg.
    Everything is rendered before the first file is written.

    Raises:
        StoreError: the folder or a file in it cannot be written.
        DataError: a number is not finite.
    """
    # Drawing loads matplotlib, which printing a comparison has no need of.
    from gateway.report.plots import as_file

    plot = _plot(outcome)
    more = {"frontier.svg": as_file(plot)} if plot else {}
    values = asdict(outcome)
    for since in ("needs", "not_compared"):
        if not values[since]:  # Comparisons of before there were any have the same bytes since.
            del values[since]
    write_document("ab", document(outcome), values, out_dir, timings=timings, more=more)


def document(outcome: Outcome) -> Document:
    """All of it, without seconds."""
    report = outcome.report
    parts = sections(outcome)
    (headline,) = next(part.sentences for part in parts if part.anchor == "frontier")
    return Document(
        f"{report.task}: cells against {outcome.reference}",
        (*parts, *settings(report.settings)),
        about=f"{fmt.plural(report.n, 'item')} · {report.kind} · run {report.run_id}",
        summary=(headline,),
        warnings=report.warnings,
        footer=_FOOTER,
    )


def brief(outcome: Outcome, timings: Sequence[CellTimings], *more: Section) -> Document:
    """What a terminal has room for.

    Args:
        more: sections behind the comparison's own.
    """
    report = outcome.report
    parts = list(sections(outcome, timings, brief=True))
    differing = sum(len(pair.differing) for pair in outcome.pairs)
    said = f"{fmt.plural(differing, 'differing answer')}: --out lists them"
    parts[-1] = Section(lines=(said,) if differing else (), tone="faint")
    return Document(
        f"{report.task} · n = {report.n} · run {report.run_id}",
        (*parts[:-1], *more, parts[-1]),
        about=f"reference: {outcome.reference}",
        warnings=report.warnings,
    )


def sections(
    outcome: Outcome, timings: Sequence[CellTimings] = (), *, brief: bool = False
) -> tuple[Section, ...]:
    """All parts, the noise floor first.

    Args:
        timings: what was measured, for a terminal; files are given none, so that they hold no
            clock.
        brief: sentences about pairs with the reference alone, and fewer columns of the cells.
    """
    floor = (noise_sentence(outcome.noise),)
    return (
        Section("noise", "Noise floor", floor, tone="bad" if outcome.noise.broken else ""),
        *_cells(outcome.report, brief=brief),
        _differences(outcome, outcome.against_reference if brief else outcome.pairs),
        _kept(outcome),
        *levels(outcome, timings),
        *needs(outcome, timings),
        _frontier(outcome, timings),
        _items(outcome),
    )


def _cells(report: Report, *, brief: bool) -> tuple[Section, ...]:
    cells = view.ranked(report)
    verdicts = tuple(
        f"{cell.name}: {baseline_sentence(each)}" for cell in cells for each in cell.verdicts
    )
    by_group = tuple(groups.of_report(report, brief=brief))
    if not brief:
        return (Section("cells", _CELLS, verdicts, (scores(report),)), *by_group)
    table, missing = cells_in_brief(report)
    return replace(table, title=_CELLS), missing, *by_group, Section(sentences=verdicts)


def _differences(outcome: Outcome, told: Sequence[Comparison]) -> Section:
    said = [NO_TESTS] if outcome.stopping else []
    if outcome.stopping:
        said.insert(0, stopping_sentence(outcome.stopping))
    for pair in told:
        said += pair_sentences(outcome, pair)
    said += [not_compared_sentence(each) for each in outcome.not_compared]
    if outcome.pairs and not outcome.stopping:
        said += [_TESTED, INTERVALS_AGREE]
    by_cell = groupby(outcome.pairs, key=lambda pair: pair.contest.b)
    tables = tuple(_against(outcome, b, tuple(pairs)) for b, pairs in by_cell)
    return Section("differences", "Differences", tuple(said), tables)


def _against(outcome: Outcome, b: str, pairs: Sequence[Comparison]) -> Table:
    what, columns = _by_tests(outcome, pairs)
    if outcome.stopping:
        what, columns = _by_looks(pairs)
    reference = ", the reference" if b == outcome.reference else ""
    flips = Column("answers differ", tuple(f"{len(pair.differing):,}" for pair in pairs))
    return by_columns(
        f"Each cell against {b}{reference}: its {what} less that of {b}.",
        "cell",
        tuple(pair.contest.a for pair in pairs),
        (*columns, flips),
    )


def _by_tests(outcome: Outcome, pairs: Sequence[Comparison]) -> tuple[str, tuple[Column, ...]]:
    """What is compared, and the columns."""
    counts = [pair.contest.mcnemar for pair in pairs]
    on_some = any(pair.contest.n < pair.contest.total for pair in pairs)
    common = Column("n", tuple(fmt.count(pair.contest.n) for pair in pairs))
    return f"{metric_name(outcome.metric)} ({fmt.direction(outcome.metric)})", (
        *((common,) if on_some else ()),
        Column("difference", tuple(fmt.difference(pair.difference) for pair in pairs)),
        Column("p", tuple(fmt.p_value(pair.permutation_p) for pair in pairs)),
        Column(
            f"within {outcome.margin:g}",
            tuple(at_margin(pair) for pair in pairs),
        ),
        Column("only it", tuple(f"{each.only_a:,}" for each in counts)),
        Column("only other", tuple(f"{each.only_b:,}" for each in counts)),
        Column("McNemar p", tuple(fmt.p_value(pair.mcnemar_p) for pair in pairs)),
    )


def _by_looks(pairs: Sequence[Comparison]) -> tuple[str, tuple[Column, ...]]:
    """As `_by_tests`, where looks decided."""
    looks = [pair.contest.sequential for pair in pairs if pair.contest.sequential]
    shares = (fmt.difference(Metric(x.difference, x.low, x.high)) for x in looks)
    return "share of right answers", (
        Column("difference", tuple(shares)),
        Column("decided", tuple(x.decision.value for x in looks)),
        Column("after", tuple(f"{x.looked_at:,}" for x in looks)),
    )


def _kept(outcome: Outcome) -> Section:
    found = outcome.fidelity
    said = tuple(sentence for each in found for sentence in fidelity_sentences(each))
    tables = (_fidelity(outcome, found), *_damage(found))
    return Section("kept", "What the cells keep of the reference", said, tables)


def _fidelity(outcome: Outcome, found: Sequence[KeptAnswers]) -> Table:
    parts = [each.distributions for each in found]
    return by_columns(
        f"Each cell beside {outcome.reference}, item by item; KL divergence and lead of the best "
        "label in nats, means over items.",
        "cell",
        tuple(each.cell for each in found),
        (
            Column("changed", tuple(f"{each.changed:,} of {each.n:,}" for each in found)),
            Column("right to wrong", tuple(f"{each.right_to_wrong:,}" for each in found)),
            Column("wrong to right", tuple(f"{each.wrong_to_right:,}" for each in found)),
            Column("KL", tuple(_small(part.kl_mean if part else None) for part in parts)),
            Column(
                "lead", tuple(fmt.signed(part.margin_change if part else None) for part in parts)
            ),
            Column("ECE", tuple(fmt.signed(part.ece_change if part else None) for part in parts)),
        ),
    )


def _damage(found: Sequence[KeptAnswers]) -> Iterator[Table]:
    """Recall per class; nothing where there are none."""
    if not found or not found[0].classes:
        return
    first = found[0].classes
    columns = [
        Column("items", tuple(f"{row.support:,}" for row in first)),
        Column("reference", tuple(fmt.number(row.recall_reference) for row in first)),
    ]
    columns += [
        Column(
            each.cell,
            tuple(
                f"{fmt.signed(row.change)} (-{row.right_to_wrong:,} +{row.wrong_to_right:,})"
                for row in each.classes
            ),
        )
        for each in found
    ]
    caption = (
        "Recall of each class in the reference, and its change in the cells (items lost and won)."
    )
    names = tuple(row.label for row in first)
    yield by_columns(caption, "label", names, tuple(columns), folded=True)


def _frontier(outcome: Outcome, timings: Sequence[CellTimings]) -> Section:
    found = recommendation(outcome, timings)
    said = recommendation_paragraph(found) if found else no_recommendation(outcome)
    names = tuple(outcome.sizes)
    scores = {cell.name: cell for cell in outcome.report.cells}
    seconds = {cell.name: cell for cell in timings}
    metric = found.metric if found else outcome.metric
    columns = [
        Column(
            metric_name(metric),
            tuple(_defined(scores[name].metrics.get(metric)) for name in names),
        ),
        Column("weights", tuple(_megabytes(outcome.sizes[name]) for name in names)),
        Column("memory", tuple(_megabytes(outcome.memory[name]) for name in names)),
    ]
    if found:
        by_rule = {cell.name: _standing(standing) for cell, standing in found.standings}
        columns.append(Column("by the rule", tuple(by_rule.get(n, fmt.ABSENT) for n in names)))
    if timings:
        columns += [
            Column("forwarded/s", tuple(fmt.count(seconds[name].tokens_per_s) for name in names)),
            Column(
                "s/correct", tuple(fmt.seconds(seconds[name].seconds_per_correct) for name in names)
            ),
        ]
    if found:
        on_it = {cell.name for cell in found.frontier}
        columns.append(
            Column("on the frontier", tuple("yes" if n in on_it else "no" for n in names))
        )
    columns.append(Column("J/correct", (NOT_READ,) * len(names)))
    caption = "Weights are bytes on disk, memory is what the loaded model takes with its cache."
    table = by_columns(caption, "cell", names, tuple(columns))
    figures = (Figure(lambda: _plot(outcome), _PLOT, _LEGEND),) if _plotted(outcome) else ()
    return Section("frontier", "Which one to take", (said,), (table,), figures=figures)


def _plotted(outcome: Outcome) -> bool:
    return outcome.recommendation is not None and any(outcome.sizes.values())


def _plot(outcome: Outcome) -> str:
    """Quality against size; "" where there is no recommendation or no size."""
    from gateway.report.plots import frontier_plot

    found = outcome.recommendation
    if found is None:
        return ""
    metric = found.metric
    cells = (cell for cell in outcome.report.cells if metric in cell.metrics)
    scores = {cell.name: cell.metrics[metric] for cell in cells}
    return frontier_plot(
        found.metric,
        [(name, size, scores[name]) for name, size in outcome.sizes.items() if name in scores],
        [cell.name for cell in found.frontier],
        found.chosen.name,
    )


def _items(outcome: Outcome) -> Section:
    shown = [pair for pair in outcome.pairs if pair.differing]
    items = {item.item_id: item for item in outcome.items}
    return Section(
        "items",
        "Every item that two cells answer differently",
        () if shown else ("There is none.",),
        tuple(_differing(pair, items) for pair in shown),
    )


def _differing(pair: Comparison, items: Mapping[str, Flip]) -> Table:
    rows = [items[item_id] for item_id in pair.differing[:MOST_DIFFERING]]
    a, b = pair.contest.a, pair.contest.b
    caption = f"{fmt.plural(len(pair.differing), 'item')}: {a} against {b}"
    if unlisted := len(pair.differing) - len(rows):
        caption += f"; {unlisted:,} of them are in ab.json alone"
    return by_columns(
        caption,
        "item",
        tuple(row.item_id for row in rows),
        (
            Column("text", tuple(row.excerpt for row in rows)),
            Column("gold", tuple(row.gold for row in rows)),
            Column(a, tuple(said_cell(row, a) for row in rows)),
            Column(b, tuple(said_cell(row, b) for row in rows)),
        ),
        words=True,
        folded=True,
    )


def _defined(metric: Metric | None) -> str:
    return "not defined" if metric is None else fmt.estimate(metric)


def _standing(standing: Standing) -> str:
    return "not shown" if standing is Standing.OPEN else standing.value


def _small(value: float | None) -> str:
    return fmt.ABSENT if value is None else f"{value:.2g}"


def _megabytes(size: int | None) -> str:
    return NOT_READ if size is None else f"{size / 1e6:,.0f} MB"
