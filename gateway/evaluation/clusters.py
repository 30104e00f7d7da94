"""The clusters of a run's items: near-copies among them, and what a column of the data says."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from gateway.core.errors import ConfigError, DataError
from gateway.core.lists import are, plural
from gateway.evaluation.predictions import SavedPredictions
from gateway.evaluation.record import RunRecord
from gateway.scoring.arrays import IntArray
from gateway.scoring.clusters import numbered, together, too_few
from gateway.tasks.similarity import near_pairs, text_of
from gateway.tasks.task import Item

SETTING = "clusters"
"""Of a run: what was done to find them. Runs stored before it was done have none."""
_ID = "item_id"
_NOT_CHECKED = (
    "Near-copies among the items were not checked: this run was stored before they were, and keeps "
    "no texts. Ask it again, or name a table of clusters with --cluster."
)


def found_among(items: Sequence[Item], column: str = "") -> tuple[dict[str, str], str]:
    """Item id -> its cluster, of the items that share one; and what was done, in words.

    Items are of one cluster where they are (nearly) the same text, or have the same value in the
    column; what either connects is one.

    Args:
        column: the one that the items' own clusters were read from; empty: none was.
    """
    families = _connected(len(items), _copies(items), _alike([item.cluster for item in items]))
    sizes = np.bincount(families)
    cluster_of = {
        item.id: f"{number}"
        for item, number in zip(items, families.tolist(), strict=True)
        if sizes[number] > 1
    }
    return cluster_of, _said(items, column, len(sizes))


def clusters_of(record: RunRecord) -> IntArray | None:
    """The cluster of each item of a run, in the order of item ids; None where each is its own.

    Where near-copies were not looked for, items of the same fields are still known to be copies.
    """
    by = {i.item_id: i.cluster for i in record.items}
    if SETTING not in record.settings:
        by = {i.item_id: i.digest for i in record.items}
    return numbered(list(by), by)


def clusters_of_saved(
    saved: SavedPredictions, settings: Mapping[str, str], table: str | None
) -> tuple[IntArray | None, tuple[str, ...]]:
    """The clusters of a run that is read from its files, and what a reader has to know of them.

    Args:
        settings: of its report.
        table: as `read_clusters`; None: what the run itself found.

    Raises:
        ConfigError, DataError: as `read_clusters`.
    """
    ids = list(saved.digests)
    if table is not None:
        clusters = numbered(ids, read_clusters(table, ids))
        return clusters, remarks(clusters, checked=True)
    checked = SETTING in settings
    clusters = numbered(ids, saved.clusters if checked else saved.digests)
    return clusters, remarks(clusters, checked=checked)


def remarks(clusters: IntArray | None, *, checked: bool) -> tuple[str, ...]:
    """What a reader has to know of the clusters of a run.

    Args:
        checked: whether near-copies were looked for, or clusters were given.
    """
    said = [together(clusters), "" if checked else _NOT_CHECKED, too_few(clusters)]
    return tuple(filter(None, said))


def read_clusters(path: str, known: Sequence[str]) -> dict[str, str]:
    """Item id -> cluster, from a table with the columns item_id (or id) and one more.

    Args:
        path: FILE, or FILE:COLUMN where the table has more columns than these two.
        known: ids of the items, all of which it must have.

    Raises:
        ConfigError: no column or several could be meant.
        DataError: it is no table, or an item is lacking.
    """
    from gateway.tasks.tables import read_table

    file, column = path, ""
    if not Path(path).is_file() and ":" in path:
        file, _, column = path.rpartition(":")
    table = read_table(file)
    ids = next((name for name in (_ID, "id") if name in table.columns), "")
    others = [name for name in table.columns if name != ids]
    if not ids or (not column and len(others) != 1) or (column and column not in others):
        raise ConfigError(
            f"{file}: expected a column {_ID} and one of clusters, found "
            f"{', '.join(table.columns)}",
            hint=f"--cluster {file}:COLUMN",
        )
    wanted = column or others[0]
    found = {str(row.values[ids]): str(row.values.get(wanted) or "") for row in table.rows}
    if missing := [item_id for item_id in known if item_id not in found]:
        raise DataError(
            f"{file}: {are(len(missing), 'item', 'has', 'have')} no row, {missing[0]!r} the first"
        )
    return found


def _copies(items: Sequence[Item]) -> list[tuple[int, int]]:
    """Pairs of items that are (nearly) one text."""
    texts = [" ".join(text_of(item).casefold().split()) for item in items]
    first, second, _ = near_pairs(texts)
    return [*_alike(texts), *zip(first.tolist(), second.tolist(), strict=True)]


def _alike(keys: Sequence[str]) -> list[tuple[int, int]]:
    """Each key with the first that equals it; an empty one is like no other."""
    firsts: dict[str, int] = {}
    return [(firsts.setdefault(key, at), at) for at, key in enumerate(keys) if key]


def _connected(count: int, *edges: Sequence[tuple[int, int]]) -> IntArray:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    pairs = np.asarray([edge for some in edges for edge in some], dtype=np.int64).reshape(-1, 2)
    ones = np.ones(len(pairs), dtype=np.int8)
    graph = coo_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    _, numbers = connected_components(graph, directed=False)
    return np.asarray(numbers, dtype=np.int64)


def _said(items: Sequence[Item], column: str, count: int) -> str:
    by = f"{column} and near-copies" if column else "near-copies"
    said = f"{count} of {plural(len(items), 'item')}, by {by}"
    without = sum(not item.cluster for item in items) if column else 0
    return f"{said}; {are(without, 'item', 'has', 'have')} no {column}" if without else said
