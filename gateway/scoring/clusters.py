"""Which items belong together, so that they are not counted as independent evidence.

Items of one author, document or repository are more alike than others, and copies of one text are
one item. Clusters are told apart by a number, one an item, in the order of item ids: what resamples
and tests draws or swaps whole clusters.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from gateway.core.lists import plural
from gateway.scoring.arrays import IntArray

FEWEST = 10
"""Clusters below which no interval is to be trusted: what is known of the variance comes from so
few, and what is resampled or swapped are they (Cameron, Gelbach and Miller 2008, "Bootstrap-based
improvements for inference with clustered errors")."""


def numbered(ids: Sequence[str], cluster_of: Mapping[str, str]) -> IntArray | None:
    """The cluster of each item, in the order of item ids; None where each is its own.

    Args:
        ids: of the items, in any order.
        cluster_of: item id -> name of its cluster; an item that is absent, or whose cluster has an
            empty name, is a cluster of its own.
    """
    numbers: dict[tuple[bool, str], int] = {}
    found = []
    for item_id in sorted(ids):
        name = cluster_of.get(item_id, "")
        key = (True, name) if name else (False, item_id)
        found.append(numbers.setdefault(key, len(numbers)))
    return None if len(numbers) == len(found) else np.asarray(found, dtype=np.int64)


def together(clusters: IntArray | None) -> str:
    """How many items are not counted as independent; empty where all are."""
    if clusters is None:
        return ""
    sizes = np.bincount(clusters)
    shared = int(sizes[sizes > 1].sum())
    return (
        f"{shared} of {len(clusters)} items are copies of others or share a cluster with them: "
        f"intervals and tests go by the {plural(len(sizes), 'cluster')}."
    )


def too_few(clusters: IntArray | None) -> str:
    """That clusters are too few to trust any interval; empty where they are not."""
    count = 0 if clusters is None else int(clusters.max()) + 1
    if clusters is None or count >= FEWEST:
        return ""
    return (
        f"The {len(clusters)} items form {plural(count, 'cluster')}, fewer than {FEWEST}: no "
        "interval or test here is to be trusted."
    )
