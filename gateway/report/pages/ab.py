"""The comparison as sections of sentences and tables, the same in every form."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from gateway.evaluation.ab.outcome import Outcome, Pair
from gateway.evaluation.ab.recommend import recommendation
from gateway.report import format as fmt
from gateway.report import view
from gateway.report.grid import Column
from gateway.report.pages.ab_sentences import (
    NO_TESTS,
    NOT_READ,
    no_recommendation,
    noise_sentence,
    pair_sentences,
    stopping_sentence,
)
from gateway.report.sections import Section, Table
from gateway.report.sentences import at_margin, fidelity_sentences, recommendation_paragraph
from gateway.scoring.flips import Fidelity
from gateway.scoring.frontier import Standing
from gateway.scoring.metrics import metric_name
from gateway.scoring.results import CellTimings, Metric

MOST_DIFFERING = 200
"""Items of one pair that page and Markdown list; ab.json has all of them."""

_TESTED = (
    "p-values are corrected for all pairs together (Holm), those of the permutation test of the "
    "metric and those of McNemar's test of right answers each in a family of its own; the "
    "sentences have them uncorrected."
)


def sections(
    outcome: Outcome, timings: Sequence[CellTimings] = (), *, brief: bool = False
) -> tuple[Section, ...]:
    """All parts, the noise floor first.

    Args:
        timings: what was measured, for a terminal; files are given none, so that they hold no
            clock.
        brief: sentences about pairs with the reference alone; the tables hold all.
    """
    return (
        Section("noise", "Noise floor", (noise_sentence(outcome.noise),)),
        _cells(outcome),
        _differences(outcome, outcome.against_reference if brief else outcome.pairs),
        _kept(outcome),
        _frontier(outcome, timings),
        _items(outcome),
    )


def _cells(outcome: Outcome) -> Section:
    report = outcome.report
    cells = view.ranked(report)
    columns = [
        Column(metric_name(name), tuple(fmt.estimate(cell.metrics.get(name)) for cell in cells))
        for name in view.metric_names(report)
    ]
    missing = tuple(
        ", ".join(f"{count} {status}" for status, count in view.not_ok(cell)) or "0"
        for cell in cells
    )
    tokens = tuple(fmt.count(cell.tokens_per_correct) for cell in cells)
    verdicts = tuple(f"{cell.name}: {said}" for cell in cells for said in cell.verdicts)
    primary = report.primary_metric
    return Section(
        "cells",
        "Cells and baselines",
        verdicts,
        (
            Table(
                f"Ordered by {metric_name(primary)} ({fmt.direction(primary)}), baselines last; "
                "95% intervals in brackets.",
                "cell",
                tuple(view.shown_name(cell) for cell in cells),
                (*columns, Column("not ok", missing), Column("tok/correct", tokens)),
            ),
        ),
    )


def _differences(outcome: Outcome, told: Sequence[Pair]) -> Section:
    said = [NO_TESTS] if outcome.stopping else []
    if outcome.stopping:
        said.insert(0, stopping_sentence(outcome.stopping))
    for pair in told:
        said += pair_sentences(outcome, pair)
    if not outcome.stopping:
        said.append(_TESTED)
    groups = groupby(outcome.pairs, key=lambda pair: pair.contest.b)
    tables = tuple(_against(outcome, b, tuple(pairs)) for b, pairs in groups)
    return Section("differences", "Differences", tuple(said), tables)


def _against(outcome: Outcome, b: str, pairs: Sequence[Pair]) -> Table:
    what, columns = _by_tests(outcome, pairs)
    if outcome.stopping:
        what, columns = _by_looks(pairs)
    reference = ", the reference" if b == outcome.reference else ""
    flips = Column("answers differ", tuple(f"{len(pair.differing):,}" for pair in pairs))
    return Table(
        f"Each cell against {b}{reference}: its {what} less that of {b}.",
        "cell",
        tuple(pair.contest.a for pair in pairs),
        (*columns, flips),
    )


def _by_tests(outcome: Outcome, pairs: Sequence[Pair]) -> tuple[str, tuple[Column, ...]]:
    """What is compared, and the columns."""
    counts = [pair.contest.mcnemar for pair in pairs]
    return f"{metric_name(outcome.metric)} ({fmt.direction(outcome.metric)})", (
        Column("difference", tuple(fmt.difference(pair.contest.difference) for pair in pairs)),
        Column("p", tuple(fmt.p_value(pair.permutation_p) for pair in pairs)),
        Column(
            f"within {outcome.margin:g}",
            tuple(at_margin(pair.contest.equivalence) for pair in pairs),
        ),
        Column("only it", tuple(f"{each.only_a:,}" for each in counts)),
        Column("only other", tuple(f"{each.only_b:,}" for each in counts)),
        Column("McNemar p", tuple(fmt.p_value(pair.mcnemar_p) for pair in pairs)),
    )


def _by_looks(pairs: Sequence[Pair]) -> tuple[str, tuple[Column, ...]]:
    """As `_by_tests`, where looks decided."""
    looks = [pair.contest.sequential for pair in pairs]
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


def _fidelity(outcome: Outcome, found: Sequence[Fidelity]) -> Table:
    parts = [each.distributions for each in found]
    return Table(
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


def _damage(found: Sequence[Fidelity]) -> Iterator[Table]:
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
    yield Table(caption, "label", tuple(row.label for row in first), tuple(columns))


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
            tuple(fmt.estimate(scores[name].metrics.get(metric)) for name in names),
        ),
        Column("weights", tuple(_megabytes(outcome.sizes[name]) for name in names)),
        Column("memory", tuple(_megabytes(outcome.memory[name]) for name in names)),
    ]
    if found:
        columns.append(Column("by the rule", tuple(_standing(s) for _, s in found.standings)))
    if timings:
        columns += [
            Column("tokens/s", tuple(fmt.count(seconds[name].tokens_per_s) for name in names)),
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
    table = Table(caption, "cell", names, tuple(columns))
    return Section("frontier", "Which one to take", (said,), (table,))


def _items(outcome: Outcome) -> Section:
    shown = [pair for pair in outcome.pairs if pair.differing]
    return Section(
        "items",
        "Every item that two cells answer differently",
        () if shown else ("There is none.",),
        tuple(_differing(pair) for pair in shown),
        folded=True,
    )


def _differing(pair: Pair) -> Table:
    rows = pair.differing[:MOST_DIFFERING]
    a, b = pair.contest.a, pair.contest.b
    caption = f"{fmt.plural(len(pair.differing), 'item')}: {a} against {b}"
    if unlisted := len(pair.differing) - len(rows):
        caption += f"; {unlisted:,} of them are in ab.json alone"
    return Table(
        caption,
        "item",
        tuple(row.item_id for row in rows),
        (
            Column("text", tuple(row.excerpt for row in rows)),
            Column("gold", tuple(row.gold for row in rows)),
            Column(a, tuple(_marked(row.a, right=row.a_right) for row in rows)),
            Column(b, tuple(_marked(row.b, right=row.b_right) for row in rows)),
        ),
        words=True,
    )


def _marked(answer: str, *, right: bool) -> str:
    return f"{'✓' if right else '✗'} {answer}"


def _standing(standing: Standing) -> str:
    return "not shown" if standing is Standing.OPEN else standing.value


def _small(value: float | None) -> str:
    return fmt.ABSENT if value is None else f"{value:.2g}"


def _megabytes(size: int | None) -> str:
    return NOT_READ if size is None else f"{size / 1e6:,.0f} MB"
