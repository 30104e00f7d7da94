"""What `gateway compare` prints: two cells, what is said of them, the counts, the flips."""

import math
from collections.abc import Iterator, Sequence

from gateway.report import format as fmt
from gateway.report.pages import groups as by_groups
from gateway.report.sections import Section, by_rows, numbers
from gateway.report.sentences import contest_sentences
from gateway.scoring.contest import Comparison
from gateway.scoring.flips import Flip
from gateway.scoring.groups import ByGroup
from gateway.scoring.results import Metric
from gateway.scoring.signed_rank import SignedRank

MOST_FLIPS = 20


def sections(
    found: Comparison,
    items: Sequence[Flip],
    ranks: SignedRank | None = None,
    groups: ByGroup | None = None,
) -> Iterator[Section]:
    """Differences are a minus b.

    Args:
        items: those that the two answer differently.
        ranks: the signed-rank test of errors; None: they are no errors.
        groups: the two by group; None: there are no groups.
    """
    contest, counts = found.contest, found.contest.mcnemar
    yield Section(lines=(f"a: {contest.a}", f"b: {contest.b}"), tone="strong")
    yield Section(lines=contest_sentences(found))
    rows = [
        ("a right", str(counts.both_right), str(counts.only_a)),
        ("a wrong", str(counts.only_b), str(counts.both_wrong)),
    ]
    yield Section(tables=(by_rows(("", *numbers("b right", "b wrong")), rows),))
    if groups is not None:
        yield by_groups.section(groups, [cell.name for cell in groups.cells], {})
    if ranks is not None:
        yield Section(lines=(_ranks(ranks),))
    if odds := counts.odds:
        yield Section(lines=(_odds(counts.only_a, counts.only_b, odds),))
    flips = [item for item in items if item.item_id in set(found.flips)]
    yield from _flips(flips, contest.a, contest.b)


def _ranks(ranks: SignedRank) -> str:
    if ranks.p_value is None:
        return f"Signed-rank test of the errors: {ranks.why_none}."
    how = "exact, ties as they are" if ranks.exact else "normal, with the variance of ties"
    return (
        f"Signed-rank test of the errors: {fmt.p_statement(ranks.p_value)} "
        f"({fmt.plural(ranks.n, 'item')} that differ; {how})."
    )


def _odds(only_a: int, only_b: int, odds: Metric) -> str:
    shown = "infinite" if math.isinf(odds.value) else fmt.number(odds.value, 2)
    high = "infinity" if odds.high is None or math.isinf(odds.high) else fmt.number(odds.high, 2)
    bounds = f"[{fmt.number(odds.low, 2)}, {high}]"
    return f"Right in a alone {only_a}, in b alone {only_b}: odds of {shown} {bounds} for a."


def _flips(flips: Sequence[Flip], a: str, b: str) -> Iterator[Section]:
    if not flips:
        yield Section(lines=("No item is right in exactly one of the two.",))
        return
    said = f"{fmt.plural(len(flips), 'item')} right in exactly one of the two:"
    rows = [(x.item_id, x.gold, x.said[a].answer, x.said[b].answer) for x in flips[:MOST_FLIPS]]
    more = len(flips) - MOST_FLIPS
    lines = (f"and {more} more (--json lists all)",) if more > 0 else ()
    table = by_rows(("item", "gold", "a", "b"), rows)
    yield Section(lines=(said,))
    yield Section(tables=(table,), lines=lines, tone="faint")
