"""Which of the compared cells to take: quality against what it costs."""

from collections.abc import Sequence
from dataclasses import replace

from gateway.evaluation.ab.outcome import Outcome
from gateway.scoring.frontier import Candidate, Recommendation, recommend
from gateway.scoring.metrics import RIGHT
from gateway.scoring.results import CellTimings, Metric


def recommendation(outcome: Outcome, timings: Sequence[CellTimings] = ()) -> Recommendation | None:
    """Which cell to take. With seconds, what they say is part of it; a file has none.

    Where items were taken until something was decided, the rule reads right answers, whose
    interval holds in spite of that.
    """
    metric = outcome.metric
    if outcome.stopping:
        metric = RIGHT[outcome.report.kind]
        looks = outcome.pairs[0].contest.sequential
        if looks is None or looks.margin is None:
            return None
    scored = {cell.name: cell.metrics[metric].value for cell in outcome.report.cells}
    names = list(outcome.sizes)
    plain = [Candidate(name, scored[name], outcome.sizes[name]) for name in names]
    best = recommend(plain, metric=metric, margin=outcome.margin).best.name
    seconds = {cell.name: cell for cell in timings}
    return recommend(
        [_candidate(outcome, cell, best, seconds.get(cell.name)) for cell in plain],
        metric=metric,
        margin=outcome.margin,
    )


def _candidate(
    outcome: Outcome, cell: Candidate, best: str, seconds: CellTimings | None
) -> Candidate:
    return replace(
        cell,
        memory_bytes=outcome.memory[cell.name],
        tokens_per_s=seconds.tokens_per_s if seconds else None,
        seconds_per_correct=seconds.seconds_per_correct if seconds else None,
        difference=None if cell.name == best else _difference(outcome, cell.name, best),
    )


def _difference(outcome: Outcome, name: str, best: str) -> Metric | None:
    """The cell less the one that is first, with an interval that holds in all pairs together."""
    for pair in outcome.pairs:
        result = pair.contest
        if {result.a, result.b} == {name, best}:
            return _negated(pair.reach) if result.a == best else pair.reach
    return None


def _negated(value: Metric | None) -> Metric | None:
    if value is None or value.low is None or value.high is None:
        return None
    return Metric(-value.value, -value.high, -value.low)
