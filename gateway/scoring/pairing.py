"""Two cells brought together item by item, and refused where that makes no sense.

Both cells' items stand in one table, those of `a` above those of `b`, and the metric is a function
of rows of that table. A bootstrap then draws the same items of both, and a permutation test swaps
the two rows of an item, each without knowing what the metric is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gateway.core.errors import ComparisonRefused, DataError
from gateway.core.types import TaskKind
from gateway.scoring.results import Prediction, Status
from gateway.scoring.scores import ON_COMMON_ITEMS, Statistic, is_right, ordered, statistics
from gateway.scoring.statistic import BoolArray, FloatArray, IntArray

_READS_PROBABILITIES = frozenset({"log_loss", "brier", "ece"})
_SHOWN_IDS = 3

Items = tuple[Prediction, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """One metric of two cells on the items that both can be compared on."""

    a: str
    b: str
    metric: str
    statistic: Statistic
    """Of rows: 0 to n - 1 are the items of `a`, n to 2n - 1 the same items of `b`."""
    n: int
    total: int
    """How many items there were. More than `n`: the metric is of answered items alone."""
    differing: IntArray
    """Positions of the items on which the metric can tell the cells apart."""

    @property
    def estimate(self) -> float:
        """The metric of `a` less that of `b`."""
        return float(self.difference(np.arange(self.n)[np.newaxis, :])[0])

    def difference(self, indices: IntArray) -> FloatArray:
        """The metric of `a` less that of `b` on the same items: itself a `Statistic`.

        Args:
            indices: item positions, shape (resamples, items).
        """
        return self.statistic(indices) - self.statistic(indices + self.n)


def matched(a: Sequence[Prediction], b: Sequence[Prediction]) -> tuple[Items, Items]:
    """Both cells in order of item id.

    Raises:
        ComparisonRefused: items or gold values differ.
        DataError: predictions of several cells were given as one, or `ordered` refuses them.
    """
    first, second = ordered(a), ordered(b)
    name_a, name_b = cell_name(first), cell_name(second)
    _require_same_items(first, second, name_a, name_b)
    return first, second


def paired(
    a: Sequence[Prediction],
    b: Sequence[Prediction],
    *,
    task_kind: TaskKind,
    labels: Sequence[str],
    metric: str,
) -> Pairs:
    """Pair two cells on one metric.

    A metric over answered items alone (mae, log_loss, ...) is compared on the items that both
    cells answered; `total` counts all.

    Args:
        metric: a name listed at `CellScore.metrics`.

    Raises:
        ComparisonRefused: items or gold values differ, or a cell has no such metric.
        DataError: a cell's predictions cannot be scored (see `score_cell`).
        ConfigError: a classification task has fewer than two labels.
    """
    first, second = matched(a, b)
    kept_a, kept_b = _comparable(first, second, metric)
    table = statistics(task_kind, labels, kept_a + kept_b)
    rows = np.arange(2 * len(kept_a)).reshape(2, -1)
    for name, own in ((cell_name(first), rows[:1]), (cell_name(second), rows[1:])):
        defined = [key for key in table if not np.isnan(table[key](own)[0])]
        if metric not in defined:
            raise ComparisonRefused(
                f"{name} has no metric {metric!r}", hint=f"it has {', '.join(defined)}"
            )
    return Pairs(
        a=cell_name(first),
        b=cell_name(second),
        metric=metric,
        statistic=table[metric],
        n=len(kept_a),
        total=len(first),
        differing=_differing(kept_a, kept_b, metric),
    )


def rights(items: Sequence[Prediction], task_kind: TaskKind) -> BoolArray:
    """Whether each item was answered rightly, shape (items,); an abstention is not right."""
    return np.asarray([is_right(item, task_kind) is True for item in items], dtype=np.bool_)


def both_answered(
    a: Sequence[Prediction], b: Sequence[Prediction]
) -> list[tuple[Prediction, Prediction]]:
    """The pairs of items, in the same order, that both cells answered."""
    return [
        (x, y) for x, y in zip(a, b, strict=True) if x.status is Status.OK and y.status is Status.OK
    ]


def cell_name(items: Sequence[Prediction]) -> str:
    """The name of the one cell that made these predictions.

    Raises:
        DataError: they are of several cells.
    """
    names = sorted({item.cell for item in items})
    if len(names) > 1:
        raise DataError(
            f"predictions of several cells were given as one: {', '.join(names[:_SHOWN_IDS])}",
            hint="compare one cell with one other",
        )
    return names[0]


def _require_same_items(a: Items, b: Items, name_a: str, name_b: str) -> None:
    ids_a, ids_b = {item.item_id for item in a}, {item.item_id for item in b}
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


def _comparable(a: Items, b: Items, metric: str) -> tuple[Items, Items]:
    """The items that the metric is compared on.

    A cell that answers easy items only would otherwise look better by its silence.
    """
    if metric not in ON_COMMON_ITEMS:
        return a, b
    pairs = both_answered(a, b)
    if not pairs:
        raise ComparisonRefused(
            f"no item was answered by both cells, so their {metric} cannot be compared",
            hint="look at the reasons of the items without an answer",
        )
    return tuple(x for x, _ in pairs), tuple(y for _, y in pairs)


def _differing(a: Items, b: Items, metric: str) -> IntArray:
    def seen(item: Prediction) -> object:
        shares = item.probabilities if metric in _READS_PROBABILITIES else None
        return item.status, item.answer, shares

    differ = [seen(x) != seen(y) for x, y in zip(a, b, strict=True)]
    return np.flatnonzero(differ).astype(np.int64)
