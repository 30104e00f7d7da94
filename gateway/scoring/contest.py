"""All that is asked of two cells on the same items, in one place."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.core.types import TaskKind
from gateway.scoring.bootstrap import FEWEST_CARRYING, Bootstrap, Method, bootstrap
from gateway.scoring.equivalence import Equivalence, bootstrap_equivalence, proportion_equivalence
from gateway.scoring.mcnemar import McNemar, mcnemar
from gateway.scoring.pairing import Pairs, matched, paired, rights
from gateway.scoring.permutation import DEFAULT_PERMUTATIONS, Permutation, permutation_test
from gateway.scoring.power import Power, smallest_by_error, smallest_difference
from gateway.scoring.proportions import score_interval
from gateway.scoring.results import Metric, Prediction
from gateway.scoring.scores import DEFAULT_RESAMPLES
from gateway.scoring.sequential import Sequential, scores, seeded_order, watch

_SHARES_OF_RIGHT = frozenset({"accuracy", "exact_match", "within_one"})
"""Metrics that are the share of right answers itself."""
_OF_LABELS = frozenset({"macro_f1", "weighted_f1"})
"""Metrics for which accuracy stands in where too few items differ to resample them."""


@dataclass(frozen=True, slots=True)
class Contest:
    """Cell `a` against cell `b`; differences are a minus b."""

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
    power: Power
    """Of the metric."""
    accuracy_power: Power
    """Of McNemar's test."""
    sequential: Sequential
    """Had the items been looked at one by one, in a seeded order."""


def contest(
    a: Sequence[Prediction],
    b: Sequence[Prediction],
    *,
    task_kind: TaskKind,
    labels: Sequence[str],
    metric: str,
    margin: float | None = None,
    accuracy_margin: float | None = None,
    method: Method = Method.WIDENED,
    seed: int = 0,
    resamples: int = DEFAULT_RESAMPLES,
    permutations: int = DEFAULT_PERMUTATIONS,
) -> Contest:
    """Compare two cells in every way this package knows.

    Args:
        metric: a name listed at `CellScore.metrics`.
        margin: the largest difference that would not matter, in units of the metric.
        accuracy_margin: the same in shares of right answers, for the sequential comparison.
        method: how intervals are read off the bootstrap.

    Raises:
        ComparisonRefused: items or gold values differ, or a cell has no such metric.
        DataError: a cell's predictions can not be scored (see `score_cell`).
        ConfigError: a margin is not above zero, or a task has fewer than two labels.
    """
    pairs = paired(a, b, task_kind=task_kind, labels=labels, metric=metric)
    counts = mcnemar(*(rights(cell, task_kind) for cell in matched(a, b)))
    differing = len(pairs.differing)
    few = differing < FEWEST_CARRYING
    drawn = bootstrap(pairs.difference, pairs.n, carrying=differing, seed=seed, resamples=resamples)
    return Contest(
        a=pairs.a,
        b=pairs.b,
        metric=metric,
        n=pairs.n,
        total=pairs.total,
        differing=differing,
        difference=drawn.interval(method=method),
        method=drawn.usable(method),
        permutation=permutation_test(pairs, seed=seed, permutations=permutations),
        mcnemar=counts,
        evidence=_evidence(pairs, counts, drawn, method),
        equivalence=(
            None if margin is None else _equivalence(pairs, counts, drawn, margin, method)
        ),
        power=smallest_by_error(math.nan if few else drawn.standard_error, pairs.n),
        accuracy_power=smallest_difference(counts.n, counts.discordant / counts.n),
        sequential=one_by_one(a, b, task_kind=task_kind, margin=accuracy_margin, seed=seed),
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
        own = pairs.metric in _SHARES_OF_RIGHT
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
    return pairs.metric in _SHARES_OF_RIGHT or (few and pairs.metric in _OF_LABELS)
