"""Which of the compared cells to take: quality against what it costs."""

from collections.abc import Sequence
from dataclasses import replace

from gateway.evaluation.ab.outcome import Outcome
from gateway.scoring.claims import ALPHA
from gateway.scoring.contest import Comparison
from gateway.scoring.family import holm
from gateway.scoring.frontier import Candidate, Recommendation, recommend
from gateway.scoring.metrics import RIGHT, rewards_silence
from gateway.scoring.results import CellTimings, Metric

_FEWEST = 2
"""Cells between which there is something to choose."""


def recommendation(outcome: Outcome, timings: Sequence[CellTimings] = ()) -> Recommendation | None:
    """Which cell to take. With seconds, what they say is part of it; a file has none.

    Where items were taken until something was decided, the rule reads right answers, whose
    interval holds in spite of that. None where those cannot be read at the margin, where the
    metric does not count what was left out and not all were answered, and where but one cell has
    it.
    """
    metric = outcome.metric
    if outcome.stopping:
        metric = RIGHT[outcome.report.kind]
        looks = next((pair.contest.sequential for pair in outcome.pairs), None)
        if looks is None or looks.margin is None:
            return None
    if rewards_silence(metric) and _silent(outcome):
        return None
    cells = outcome.report.cells
    scored = {cell.name: cell.metrics[metric].value for cell in cells if metric in cell.metrics}
    names = [name for name in outcome.sizes if name in scored]
    if len(names) < len(outcome.sizes) and len(names) < _FEWEST:
        return None
    plain = [Candidate(name, scored[name], outcome.sizes[name]) for name in names]
    best = recommend(plain, metric=metric, margin=outcome.margin).best.name
    seconds = {cell.name: cell for cell in timings}
    return recommend(
        [_candidate(outcome, cell, best, seconds.get(cell.name)) for cell in plain],
        metric=metric,
        margin=outcome.margin,
    )


def _silent(outcome: Outcome) -> bool:
    """Whether some cell has left an item out, which some metrics reward."""
    cells = (cell for cell in outcome.report.cells if cell.name in outcome.sizes)
    return any(cell.left_out for cell in cells)


def _candidate(
    outcome: Outcome, cell: Candidate, best: str, seconds: CellTimings | None
) -> Candidate:
    pair = _against(outcome, cell.name, best)
    return replace(
        cell,
        memory_bytes=outcome.memory[cell.name],
        tokens_per_s=seconds.tokens_per_s if seconds else None,
        seconds_per_correct=seconds.seconds_per_correct if seconds else None,
        difference=None if pair is None else _difference(pair, best),
        not_worse=None if pair is None else _not_worse(outcome, pair, best),
    )


def _against(outcome: Outcome, name: str, best: str) -> Comparison | None:
    """The comparison of a cell with the first; None of the first itself."""
    pairs = (p for p in outcome.pairs if {p.contest.a, p.contest.b} == {name, best})
    return next(pairs, None)


def _difference(pair: Comparison, best: str) -> Metric:
    """The cell less the one that is first, as the table of differences has it."""
    shown = pair.difference
    if pair.contest.a != best:
        return shown
    low, high = (None if end is None else -end for end in (shown.high, shown.low))
    return Metric(-shown.value, low, high)


def _not_worse(outcome: Outcome, pair: Comparison, best: str) -> bool | None:
    """Whether the cell is shown to be not worse than the first by more than the margin, as the
    table of differences says it; None where items were taken until something was decided."""
    if outcome.stopping or pair.contest.equivalence is None:
        return None
    return shown_not_worse(outcome.pairs, pair, best)


def shown_not_worse(pairs: Sequence[Comparison], pair: Comparison, best: str) -> bool:
    """Whether one cell of a pair is shown to be not worse than `best`, the other, by more than the
    margin.

    A table says it of `a`. Of `b` it is the other one-sided test of the same comparisons, which
    all are corrected for by the same rule; both tests together are what makes two equivalent.
    """
    if pair.contest.a != best or pair.equivalent:
        return pair.equivalent or pair.not_worse
    tests = [each.contest.equivalence for each in pairs]
    p_values = [test.usable(test.p_better) if test else None for test in tests]
    # Comparisons with baselines are of the family, and count as if they showed nothing.
    others = [None] * (pair.claim.family - len(tests))
    found = holm([*p_values, *others])[pairs.index(pair)]
    return found is not None and found <= ALPHA
