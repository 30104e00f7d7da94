"""Cells scored on the items of each group, such as a repository, and their mean over groups.

The interval of the mean is recovered from those of the groups, whose items are others: Zou and
Donner 2008, "Construction of confidence limits about effect measures: a general approach",
Statistics in Medicine 27 (MOVER).
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gateway.scoring.arrays import IntArray
from gateway.scoring.clusters import FEWEST
from gateway.scoring.estimates import estimates
from gateway.scoring.metrics import FEWEST_OF_A_CLASS, OVER_CLASSES
from gateway.scoring.pairing import Entrant
from gateway.scoring.results import Metric


@dataclass(frozen=True, slots=True)
class GroupedCell:
    """One cell by group."""

    name: str
    groups: Mapping[str, Metric]
    """Group -> the metric on its items; absent where it has none."""
    mean: Metric | None
    """Over the groups, each counting alike; None where one of them has no value."""


@dataclass(frozen=True, slots=True)
class ByGroup:
    """Cells by group, each on the same items."""

    column: str
    """Of the data: what the groups are."""
    metric: str
    members: Mapping[str, tuple[str, ...]]
    """Group -> ids of its items."""
    cells: tuple[GroupedCell, ...]
    few_clusters: tuple[str, ...] = ()
    """Groups whose items share clusters, fewer than `FEWEST` of them."""
    rare_classes: tuple[str, ...] = ()
    """Groups with a class of fewer than `FEWEST_OF_A_CLASS` items, where classes count alike."""


def by_group(
    cells: Sequence[Entrant],
    members: Mapping[str, Sequence[str]],
    column: str,
    metric: str,
    *,
    clusters: IntArray | None = None,
) -> ByGroup:
    """Score cells on the items of each group.

    Args:
        cells: of the same items.
        members: group -> ids of its items; each item is of one.
        clusters: of each item, in the order of item ids; None: each is its own.
    """
    at = {each: place for place, each in enumerate(cells[0].ids)}
    places = {
        group: np.array(sorted(at[each] for each in ids), dtype=np.int64)
        for group, ids in sorted(members.items())
    }
    scored = (_grouped(cell, places, metric, clusters) for cell in cells)
    return ByGroup(
        column,
        metric,
        {group: tuple(sorted(members[group])) for group in places},
        tuple(scored),
        tuple(group for group, at in places.items() if _few_clusters(clusters, at)),
        tuple(group for group, at in places.items() if _rare_classes(cells[0], metric, at)),
    )


def _few_clusters(clusters: IntArray | None, at: IntArray) -> bool:
    count = len(at) if clusters is None else len(np.unique(clusters[at]))
    return count < min(len(at), FEWEST)


def _rare_classes(cell: Entrant, metric: str, at: IntArray) -> bool:
    counts = Counter(str(cell.golds[place]) for place in at.tolist())
    return (
        metric in OVER_CLASSES
        and min(counts.values(), default=FEWEST_OF_A_CLASS) < FEWEST_OF_A_CLASS
    )


def _grouped(
    cell: Entrant, places: Mapping[str, IntArray], metric: str, clusters: IntArray | None
) -> GroupedCell:
    whole = cell.table.get(metric)
    if whole is None:
        return GroupedCell(cell.name, {}, None)
    found: dict[str, Metric] = {}
    for group, at in places.items():
        own = None if clusters is None else clusters[at]
        one = estimates({metric: whole.kept(at)}, clusters=own)
        if metric in one:
            found[group] = one[metric]
    return GroupedCell(cell.name, found, _mean(found, len(places)))


def _mean(found: Mapping[str, Metric], groups: int) -> Metric | None:
    if len(found) < groups:
        return None
    values = [each.value for each in found.values()]
    mean = math.fsum(values) / groups
    below = [each.value - each.low for each in found.values() if each.low is not None]
    above = [each.high - each.value for each in found.values() if each.high is not None]
    if len(below) < groups or len(above) < groups:
        return Metric(mean)
    return Metric(mean, mean - math.hypot(*below) / groups, mean + math.hypot(*above) / groups)
