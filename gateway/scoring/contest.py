"""All that is asked of two cells on the same items: the only paired comparison there is.

Differences are a minus b, and `b` is what `a` is held against: the reference, the better cell, the
baseline. A loss is then below zero where higher is better.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from gateway.core.errors import ComparisonRefused
from gateway.core.types import TaskKind
from gateway.scoring.bootstrap import FEWEST_CARRYING, Bootstrap, Method, bootstrap
from gateway.scoring.equivalence import Equivalence, bootstrap_equivalence, proportion_equivalence
from gateway.scoring.family import holm
from gateway.scoring.flips import answered
from gateway.scoring.mcnemar import McNemar, mcnemar
from gateway.scoring.metrics import OF_LABELS, SHARES_OF_RIGHT, in_shares, merit
from gateway.scoring.pairing import Pairs, matched, paired, rights
from gateway.scoring.permutation import DEFAULT_PERMUTATIONS, Permutation, permutation_test
from gateway.scoring.power import (
    Power,
    items_by_error,
    items_needed,
    smallest_by_error,
    smallest_difference,
)
from gateway.scoring.proportions import score_interval
from gateway.scoring.results import Metric, Prediction, Verdict
from gateway.scoring.scores import DEFAULT_RESAMPLES
from gateway.scoring.sequential import Sequential, scores, seeded_order, watch


@dataclass(frozen=True, slots=True)
class Contest:
    """Cell `a` held against cell `b`; differences are a minus b."""

    a: str
    b: str
    metric: str
    n: int
    """Items the metric is compared on."""
    total: int
    """All items; McNemar's test and the sequential one are of these."""
    differing: int
    """Items on which the metric can tell the cells apart."""
    difference: Metric
    """With its 95% bootstrap interval, too narrow where fewer than `FEWEST_CARRYING` items
    differ."""
    method: Method
    """Of that interval."""
    permutation: Permutation
    mcnemar: McNemar
    evidence: Metric | None
    """The difference to decide by, with a 95% interval that holds: the bootstrap's; of a share of
    right answers the score test's, also in place of an F1 where too few items differ; else None."""
    equivalence: Equivalence | None
    """At the margin, from the same as the evidence. None where no margin was set."""
    needed: int | None
    """Items with which a difference as large as the margin would be found; None: not known."""
    power: Power
    """Of the metric."""
    accuracy_power: Power
    """Of McNemar's test."""
    sequential: Sequential
    """Had the items been looked at one by one, in a seeded order."""
    inexact: tuple[int, int]
    """Items of a and of b that rest on log-probabilities that are bounds."""

    @property
    def verdict(self) -> Verdict:
        """What the interval of the difference shows of `a`."""
        if self.differing < FEWEST_CARRYING:
            return Verdict.TOO_FEW
        if not self.difference.excludes_zero:
            return Verdict.NOT_TOLD_APART
        return Verdict.BETTER if merit(self.metric, self.difference.value) > 0 else Verdict.WORSE


@dataclass(frozen=True, slots=True)
class Comparison:
    """A contest that is one of several: its p-values allow for the others."""

    contest: Contest
    permutation_p: float | None
    """Of the metric, by Holm's correction over all pairs. None: the test decides nothing, or items
    were taken until something was decided."""
    mcnemar_p: float | None
    """The same of right answers, in a family of its own."""
    flips: tuple[str, ...]
    """Ids of the items that exactly one of the two gets right."""
    differing: tuple[str, ...]
    """Ids of the items that they answer differently: the flips, and what both get wrong."""


def all_pairs(
    cells: Sequence[Sequence[Prediction]],
    *,
    task_kind: TaskKind,
    labels: Sequence[str],
    metric: str,
    margin: float | None = None,
    planned: int | None = None,
    seed: int = 0,
    strict: bool = False,
) -> tuple[Comparison, ...]:
    """Hold each cell against every one before it; the pairs of the first cell come first.

    Args:
        metric, margin, seed: as `contest`.
        planned: items in all, where they were taken in the seeded order until something was
            decided. A test for a number of items fixed beforehand then says nothing.
        strict: refuse a pair that cannot be compared, instead of leaving it out.

    Raises:
        ComparisonRefused, DataError, ConfigError: as `contest`.
    """
    found = []
    for b, a in combinations(cells, 2):
        try:
            result = contest(
                a,
                b,
                task_kind=task_kind,
                labels=labels,
                metric=metric,
                margin=margin,
                planned=planned,
                seed=seed,
            )
        except ComparisonRefused:
            if strict:
                raise
            continue
        found.append((result, _flipped(a, b, task_kind), _differing(a, b)))
    fixed = planned is None
    permutation = holm([c.permutation.p_value if fixed else None for c, _, _ in found])
    mcnemar_p = holm([c.mcnemar.p_value if fixed else None for c, _, _ in found])
    return tuple(
        Comparison(result, p, q, flips, differing)
        for (result, flips, differing), p, q in zip(found, permutation, mcnemar_p, strict=True)
    )


def contest(
    a: Sequence[Prediction],
    b: Sequence[Prediction],
    *,
    task_kind: TaskKind,
    labels: Sequence[str],
    metric: str,
    margin: float | None = None,
    planned: int | None = None,
    method: Method = Method.WIDENED,
    seed: int = 0,
    resamples: int = DEFAULT_RESAMPLES,
    permutations: int = DEFAULT_PERMUTATIONS,
) -> Contest:
    """Compare two cells in every way this package knows.

    Args:
        metric: a name listed at `CellScore.metrics`.
        margin: the largest difference that would not matter, in units of the metric.
        planned: as `one_by_one`.
        method: how intervals are read off the bootstrap.

    Raises:
        ComparisonRefused: items or gold values differ, or a cell has no such metric.
        DataError: a cell's predictions cannot be scored (see `score_cell`).
        ConfigError: a margin is not above zero, or a task has fewer than two labels.
    """
    pairs = paired(a, b, task_kind=task_kind, labels=labels, metric=metric)
    counts = mcnemar(*(rights(cell, task_kind) for cell in matched(a, b)))
    carrying = len(pairs.differing)
    drawn = bootstrap(pairs.difference, pairs.n, carrying=carrying, seed=seed, resamples=resamples)
    error = drawn.standard_error if carrying >= FEWEST_CARRYING else math.nan
    share = margin if in_shares(metric) else None
    return Contest(
        a=pairs.a,
        b=pairs.b,
        metric=metric,
        n=pairs.n,
        total=pairs.total,
        differing=carrying,
        difference=drawn.interval(method=method),
        method=drawn.usable(method),
        permutation=permutation_test(pairs, seed=seed, permutations=permutations),
        mcnemar=counts,
        evidence=_evidence(pairs, counts, drawn, method),
        equivalence=(
            None if margin is None else _equivalence(pairs, counts, drawn, margin, method)
        ),
        needed=None if margin is None else _needed(pairs, counts, error, margin),
        power=smallest_by_error(error, pairs.n),
        accuracy_power=smallest_difference(counts.n, counts.discordant / counts.n),
        sequential=one_by_one(a, b, task_kind=task_kind, margin=share, planned=planned, seed=seed),
        inexact=(_inexact(a), _inexact(b)),
    )


def one_by_one(
    a: Sequence[Prediction],
    b: Sequence[Prediction],
    *,
    task_kind: TaskKind,
    margin: float | None = None,
    planned: int | None = None,
    seed: int = 0,
) -> Sequential:
    """Right answers compared in the seeded order of the items, up to the first decision.

    Args:
        margin: in shares of right answers.
        planned: items in all, where `a` and `b` are the first of them in that order.

    Raises:
        ComparisonRefused, DataError, ConfigError: as `contest`.
    """
    first, second = matched(a, b)
    position = {item.item_id: i for i, item in enumerate(first)}
    order = [position[item_id] for item_id in seeded_order(position, seed)]
    item_scores = scores(rights(first, task_kind), rights(second, task_kind))
    return watch(item_scores[order], planned=planned, margin=margin)


def _evidence(pairs: Pairs, counts: McNemar, drawn: Bootstrap, method: Method) -> Metric | None:
    if _by_score(pairs):
        return score_interval(counts.only_a, counts.only_b, counts.n)
    if len(pairs.differing) < FEWEST_CARRYING:
        return None
    return drawn.interval(method=method)


def _equivalence(
    pairs: Pairs, counts: McNemar, drawn: Bootstrap, margin: float, method: Method
) -> Equivalence:
    if _by_score(pairs):
        own = pairs.metric in SHARES_OF_RIGHT
        return proportion_equivalence(
            counts.only_a,
            counts.only_b,
            counts.n,
            margin,
            metric=pairs.metric if own else "accuracy",
        )
    return bootstrap_equivalence(drawn, margin, metric=pairs.metric, method=method)


def _by_score(pairs: Pairs) -> bool:
    """Whether the score test of right answers is what there is to go by."""
    few = len(pairs.differing) < FEWEST_CARRYING
    return pairs.metric in SHARES_OF_RIGHT or (few and pairs.metric in OF_LABELS)


def _needed(pairs: Pairs, counts: McNemar, error: float, margin: float) -> int | None:
    """Items for the margin to be found, from what these items tell of the spread."""
    if pairs.metric in SHARES_OF_RIGHT:
        return items_needed(margin, counts.discordant / counts.n)
    return items_by_error(margin, error, pairs.n)


def _flipped(a: Sequence[Prediction], b: Sequence[Prediction], kind: TaskKind) -> tuple[str, ...]:
    first, second = matched(a, b)
    flipped = rights(first, kind) != rights(second, kind)
    return tuple(item.item_id for item, flips in zip(first, flipped, strict=True) if flips)


def _differing(a: Sequence[Prediction], b: Sequence[Prediction]) -> tuple[str, ...]:
    pairs = zip(*matched(a, b), strict=True)
    return tuple(x.item_id for x, y in pairs if answered(x) != answered(y))


def _inexact(cell: Sequence[Prediction]) -> int:
    return sum(not prediction.exact for prediction in cell)
