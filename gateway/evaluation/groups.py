"""The groups of a run's items, such as their repositories, by which cells are scored too."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from gateway.core.errors import DataError
from gateway.core.lists import first_of, plural
from gateway.evaluation.record import RunRecord
from gateway.tasks.task import Item

if TYPE_CHECKING:
    from gateway.scoring.arrays import IntArray
    from gateway.scoring.groups import ByGroup
    from gateway.scoring.pairing import Entrant

PER = "per"
"""Of the settings: the column that groups are of."""
_MOST = 40
"""Groups; of more nobody reads a table."""


def check_groups(test: Sequence[Item], train: Iterable[Item] | None, column: str) -> None:
    """Refuse groups that no table and no baseline can be made of.

    Args:
        train: that baselines learn from; None: there are no baselines.
        column: what the groups are; empty: there are none.

    Raises:
        DataError: there are too many, or there is nothing to learn of one.
    """
    if not column:
        return
    sizes = Counter(item.group for item in test)
    if len(sizes) > _MOST:
        raise DataError(
            f"--per {column}: {plural(len(test), 'item')} are of {len(sizes)} groups, and "
            f"{_MOST} are the most",
            hint="name a column that few values stand in",
        )
    known = sizes.keys() if train is None else {item.group for item in train}
    if new := sorted(sizes.keys() - known):
        raise DataError(
            f"--per {column}: the training data has no item of {first_of(new, 3)}, so that no "
            "baseline can learn it",
            hint="training items of every group, or leave out --per",
        )


def grouped(
    record: RunRecord, cells: "Sequence[Entrant]", clusters: "IntArray | None"
) -> "ByGroup | None":
    """Cells of a run by group; None where it has no groups.

    Args:
        cells: of the run's items.
        clusters: as `by_group`.
    """
    members: dict[str, list[str]] = {}
    for item in record.items:
        members.setdefault(item.group, []).append(item.item_id)
    if PER not in record.settings or not cells:
        return None
    from gateway.scoring.groups import by_group

    column, metric = record.settings[PER], record.primary_metric
    return by_group(cells, members, column, metric, clusters=clusters)
