"""Two cells brought together item by item, and refused where that makes no sense.

The metric is one function of sums over items (`gateway.scoring.statistic`), the same for both
cells. A bootstrap then draws the same items of both, and a permutation test swaps the answers of
an item, each without knowing what the metric is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gateway.core.errors import ComparisonRefused, DataError
from gateway.core.types import Answer, TaskKind
from gateway.scoring.arrays import BoolArray, FloatArray, IntArray
from gateway.scoring.estimands import not_defined
from gateway.scoring.items import Items, ordered
from gateway.scoring.mcnemar import FEWEST_DECIDING
from gateway.scoring.metrics import reads_probabilities
from gateway.scoring.rankings import AREAS, rarer_side
from gateway.scoring.results import Prediction, Status
from gateway.scoring.scores import ON_COMMON_ITEMS, Costs, statistics
from gateway.scoring.shares import unlike
from gateway.scoring.statistic import Counts, ItemStatistic

_SHOWN_IDS = 3
_BY_HOW_MUCH = ("quadratic_kappa", "cost")
"""Metrics of labels in which a wrong answer can be worse than another."""


@dataclass(frozen=True, slots=True, eq=False)
class Entrant:
    """One cell, read once for all that it is held against."""

    name: str
    kind: TaskKind
    labels: tuple[str, ...]
    items: Items
    """In order of item id."""
    ids: tuple[str, ...]
    golds: tuple[Answer | None, ...]
    right: BoolArray
    """An abstention is not right."""
    answered: BoolArray
    answers: npt.NDArray[np.object_]
    """What tells one answer from another, shape (items,)."""
    table: Mapping[str, ItemStatistic]

    def value(self, metric: str) -> float:
        """Of all items; NaN where the cell has none."""
        found = self.table.get(metric)
        return float("nan") if found is None else found.estimate()


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """One metric of two cells on the items that both can be compared on."""

    a: str
    b: str
    metric: str
    of_a: ItemStatistic
    of_b: ItemStatistic
    """A function of the same features as `of_a`, of the same items."""
    kept: IntArray
    """Positions of those among all items; fewer where the metric is of answered ones alone."""
    total: int
    """How many items there were."""
    differing: IntArray
    """Positions among the kept items of those on which the metric can tell the cells apart."""
    estimate: float
    """The metric of `a` less that of `b`."""
    deciding: IntArray
    """Positions among the kept items of those that a test goes by: where answers are right or
    wrong, those that exactly one cell has right; else those on which the metric differs. Of a
    precision, where a cell says the label so rarely that nothing can be told of it, those on which
    it does; of an area whose rarer side has as few items, those of that side."""
    parts: FloatArray | None = None
    """What each kept item adds to the difference of two precisions, which are of other items; None
    of another metric. See `_parts`."""

    @property
    def n(self) -> int:
        """Items the metric is compared on."""
        return len(self.kept)

    @property
    def statistic(self) -> ItemStatistic:
        """Of rows: 0 to n - 1 are the items of `a`, n to 2n - 1 the same items of `b`."""
        return self.of_a.joined(self.of_b)

    def difference(self, indices: IntArray) -> FloatArray:
        """The metric of `a` less that of `b` on the same items: itself a `Statistic`.

        Args:
            indices: item positions, shape (resamples, items).
        """
        return self.of_a(indices) - self.of_b(indices)

    def weighted(self, weights: Counts) -> FloatArray:
        """The same where each item counts so often.

        Args:
            weights: shape (items, resamples).
        """
        return self.of_a.weighted(weights) - self.of_b.weighted(weights)


def entrant(
    predictions: Sequence[Prediction],
    *,
    task_kind: TaskKind,
    labels: Sequence[str],
    trivial: float | None = None,
    costs: Costs | None = None,
) -> Entrant:
    """Read one cell.

    Args:
        trivial, costs: as `statistics`.

    Raises:
        DataError: predictions of several cells were given as one, or they cannot be scored (see
            `score_cell`).
        ConfigError: a classification task has fewer than two labels.
    """
    items = ordered(predictions)
    return Entrant(
        name=cell_name(items),
        kind=task_kind,
        labels=tuple(labels),
        items=items,
        ids=tuple(items.columns.item_id),
        golds=tuple(items.columns.gold),
        right=items.right(task_kind),
        answered=items.answered,
        answers=items.seen,
        table=statistics(task_kind, labels, items, trivial=trivial, costs=costs),
    )


def matched(a: Sequence[Prediction], b: Sequence[Prediction]) -> tuple[Items, Items]:
    """Both cells in order of item id.

    Raises:
        ComparisonRefused: items or gold values differ.
        DataError: predictions of several cells were given as one, or `ordered` refuses them.
    """
    first, second = ordered(a), ordered(b)
    _require_same_items(first, second, cell_name(first), cell_name(second))
    return first, second


def paired(
    a: Sequence[Prediction],
    b: Sequence[Prediction],
    *,
    task_kind: TaskKind,
    labels: Sequence[str],
    metric: str,
) -> Pairs:
    """Pair the predictions of two cells on one metric.

    Raises:
        DataError, ConfigError: as `entrant`.
        ComparisonRefused: as `pair`.
    """
    return pair(
        entrant(a, task_kind=task_kind, labels=labels),
        entrant(b, task_kind=task_kind, labels=labels),
        metric,
    )


def pair(a: Entrant, b: Entrant, metric: str) -> Pairs:
    """Pair two cells on one metric.

    Errors, and metrics over answered items alone, are compared on the items that both cells
    answered (`ON_COMMON_ITEMS`); `total` counts all.

    Args:
        metric: a name listed at `CellScore.metrics`.

    Raises:
        ComparisonRefused: items or gold values differ, or a cell has no such metric.
    """
    if a.ids != b.ids or a.golds != b.golds:
        _require_same_items(a.items, b.items, a.name, b.name)
    kept = _comparable(a, b, metric)
    sides, differing = _sides(a, b, metric, kept), _differing(a, b, metric, kept)
    return Pairs(
        a=a.name,
        b=b.name,
        metric=metric,
        of_a=sides[0],
        of_b=sides[1],
        kept=kept,
        total=len(a.ids),
        differing=differing,
        estimate=sides[0].estimate() - sides[1].estimate(),
        deciding=_deciding(a, b, metric, kept, sides, differing),
        parts=_parts(*sides) if metric.startswith("precision:") else None,
    )


def rights(items: Sequence[Prediction], task_kind: TaskKind) -> BoolArray:
    """Whether each item was answered rightly, shape (items,); an abstention is not right."""
    return Items(items).right(task_kind)


def both_answered(
    a: Sequence[Prediction], b: Sequence[Prediction]
) -> list[tuple[Prediction, Prediction]]:
    """The pairs of items, in the same order, that both cells answered."""
    return [
        (x, y) for x, y in zip(a, b, strict=True) if x.status is Status.OK and y.status is Status.OK
    ]


def cell_name(items: Items) -> str:
    """The name of the one cell that made these predictions.

    Raises:
        DataError: they are of several cells.
    """
    names = sorted(set(items.columns.cell))
    if len(names) > 1:
        raise DataError(
            f"predictions of several cells were given as one: {', '.join(names[:_SHOWN_IDS])}",
            hint="compare one cell with one other",
        )
    return names[0]


def _require_same_items(a: Items, b: Items, name_a: str, name_b: str) -> None:
    ids_a, ids_b = set(a.columns.item_id), set(b.columns.item_id)
    if ids_a != ids_b:
        raise ComparisonRefused(
            f"the cells saw different items: {_listed(ids_a - ids_b, f'only in {name_a}')}; "
            f"{_listed(ids_b - ids_a, f'only in {name_b}')}",
            hint="run both cells on the same data with the same --limit",
        )
    differing = {x.item_id for x, y in zip(a, b, strict=True) if x.gold != y.gold}
    if differing:
        raise ComparisonRefused(
            f"the cells were scored against different gold values: {_listed(differing, 'differ')}",
            hint="run both cells on the same version of the data",
        )


def _listed(ids: set[str], what: str) -> str:
    shown = ", ".join(sorted(ids)[:_SHOWN_IDS]) + (", ..." if len(ids) > _SHOWN_IDS else "")
    return f"{len(ids)} {what} ({shown})" if ids else f"0 {what}"


def _comparable(a: Entrant, b: Entrant, metric: str) -> IntArray:
    """Positions of the items that the metric is compared on.

    A cell that answers easy items only would otherwise look better by its silence.
    """
    if metric not in ON_COMMON_ITEMS:
        return np.arange(len(a.ids))
    kept = np.flatnonzero(a.answered & b.answered)
    if not len(kept):
        raise ComparisonRefused(
            f"no item was answered by both {a.name} and {b.name}, so their {metric} cannot be "
            "compared",
            hint="look at the reasons of the items without an answer, or leave one of the two out",
        )
    return kept


def _sides(
    a: Entrant, b: Entrant, metric: str, kept: IntArray
) -> tuple[ItemStatistic, ItemStatistic]:
    """The metric of both, as a function of the same features."""
    whole = len(kept) == len(a.ids)
    sides = []
    for side in (a, b):
        found = side.table.get(metric)
        own = found if found is None or whole else found.kept(kept)
        if own is None or np.isnan(own.estimate()):
            defined = [name for name in side.table if not np.isnan(side.value(name))]
            raise ComparisonRefused(
                f"{side.name} has no metric {metric!r}{not_defined(metric)}",
                hint=f"it has {', '.join(defined)}",
            )
        sides.append(own)
    if sides[0].alike:
        return sides[0], sides[1]
    items = [side.items[i] for side in (a, b) for i in kept.tolist()]
    both = statistics(a.kind, a.labels, items, cells=2)[metric]
    return both.kept(np.arange(len(kept))), both.kept(np.arange(len(kept), 2 * len(kept)))


def _differing(a: Entrant, b: Entrant, metric: str, kept: IntArray) -> IntArray:
    found = a.answers != b.answers
    if reads_probabilities(metric):
        found |= unlike(a.items.columns.probabilities, b.items.columns.probabilities)
    return np.flatnonzero(found[kept])


def _deciding(
    a: Entrant,
    b: Entrant,
    metric: str,
    kept: IntArray,
    sides: tuple[ItemStatistic, ItemStatistic],
    differing: IntArray,
) -> IntArray:
    of_labels = a.kind == "classification" and not reads_probabilities(metric)
    # Of one label, items of others may be right or wrong and decide nothing.
    of_all = ":" not in metric and metric not in ("coverage", "conformance", *_BY_HOW_MUCH)
    if of_labels and of_all:
        return np.flatnonzero((a.right != b.right)[kept])
    if metric.startswith("precision:"):
        rarer = min((np.flatnonzero(side.features().toarray()[:, 1]) for side in sides), key=len)
        if len(rarer) < FEWEST_DECIDING:
            return rarer
    gaps = abs(sides[0].features() - sides[1].features())
    deciding = np.flatnonzero(np.asarray(gaps.sum(axis=1)).ravel() > 0)
    family, _, label = metric.partition(":")
    if family in AREAS:
        # With the ranks of a few items those of all others move.
        deciding = np.intersect1d(deciding, differing)
        rarer = rarer_side([a.golds[at] for at in kept.tolist()], label)
        if len(rarer) < FEWEST_DECIDING:
            return np.intersect1d(deciding, rarer)
    return deciding


def _parts(of_a: ItemStatistic, of_b: ItemStatistic) -> FloatArray:
    """What each item adds to the difference of two shares, less what it would if both were the
    share of all that either is of; shape (items,).

    A cell that rarely says "bug" is not another's equal because its precision is: swapped answers
    would tell how often they say so. The sign of such a part, turned by chance, tells whether the
    shares are equal, as the score test of two predictive values does (Kosinski 2013, "A weighted
    generalized score statistic for comparison of predictive values of diagnostic tests").
    """
    (hits_a, among_a), (hits_b, among_b) = (side.features().toarray().T for side in (of_a, of_b))
    share = (hits_a.sum() + hits_b.sum()) / (among_a.sum() + among_b.sum())
    own, other = (hits_a - share * among_a), (hits_b - share * among_b)
    return np.asarray(own / among_a.sum() - other / among_b.sum())
