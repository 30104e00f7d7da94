"""All that is asked of two cells on the same items, in one place."""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.results import Metric, Prediction, TaskKind
from gateway.scoring import DEFAULT_RESAMPLES
from gateway.statistics.bootstrap import Bootstrap, Method, bootstrap
from gateway.statistics.equivalence import (
    Equivalence,
    bootstrap_equivalence,
    proportion_equivalence,
)
from gateway.statistics.mcnemar import McNemar, mcnemar
from gateway.statistics.pairing import Pairs, matched, paired, rights
from gateway.statistics.permutation import (
    DEFAULT_PERMUTATIONS,
    Permutation,
    permutation_test,
)
from gateway.statistics.power import Power, smallest_by_error, smallest_difference
from gateway.statistics.sequential import Sequential, scores, seeded_order, watch

_SHARES_OF_RIGHT = frozenset({"accuracy", "exact_match", "within_one"})
"""Metrics that are the share of right answers itself."""


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
    """With its 95% bootstrap interval."""
    method: Method
    """Of that interval."""
    permutation: Permutation
    mcnemar: McNemar
    equivalence: Equivalence | None
    """None where no margin was set."""
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
        equivalence=(
            None if margin is None else _equivalence(pairs, counts, drawn, margin, method)
        ),
        power=smallest_by_error(drawn.standard_error, pairs.n),
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


def _equivalence(
    pairs: Pairs, counts: McNemar, drawn: Bootstrap, margin: float, method: Method
) -> Equivalence:
    if pairs.metric in _SHARES_OF_RIGHT:
        return proportion_equivalence(counts.only_a, counts.only_b, counts.n, margin)
    return bootstrap_equivalence(
        drawn,
        margin,
        differing=len(pairs.differing),
        lower_is_better=pairs.lower_is_better,
        method=method,
    )
