"""Each metric of a cell with the interval that suits it."""

import math
from collections.abc import Mapping

from gateway.scoring import confusions, intervals, rankings
from gateway.scoring.arrays import IntArray
from gateway.scoring.intervals import NONE, Bounds
from gateway.scoring.metrics import limits
from gateway.scoring.rankings import AREAS
from gateway.scoring.results import Metric
from gateway.scoring.statistic import ItemStatistic

WITHOUT_INTERVAL = frozenset({"ece"})
"""Resampling adds noise to every bin and |gap| only grows with noise, so that what perfection would
show stands beside it instead (Vaicenavicius et al. 2019)."""
LOSSES = frozenset({"mae", "mae_answered", "log_loss", "brier", "cost"})
"""Means of what is at least zero."""
MEDIANS = frozenset({"median_ae", "median_ae_answered"})
_OF_COUNTS = frozenset({"macro_f1", "weighted_f1", "balanced_accuracy", "mcc"})
"""Metrics of a confusion table."""


def estimates(
    table: Mapping[str, ItemStatistic],
    *,
    clusters: IntArray | None = None,
    worst: Mapping[str, float] | None = None,
    with_intervals: bool = True,
) -> dict[str, Metric]:
    """Values and 95% intervals; undefined statistics are absent.

    Args:
        table: the statistics, each of the same items.
        clusters: of each item; None: each is its own.
        worst: metric -> what an item costs that goes wrong, where it is a loss.
    """
    found = {}
    for name, statistic in table.items():
        value = statistic.estimate()
        if not math.isnan(value):
            scale = (worst or {}).get(name)
            bounds = bounds_of(name, statistic, clusters, scale) if with_intervals else NONE
            found[name] = Metric(value, *bounds)
    return found


def bounds_of(
    name: str, statistic: ItemStatistic, clusters: IntArray | None, worst: float | None
) -> Bounds:
    """The 95% interval of one metric; (None, None) where none is known to hold.

    Args:
        name: of the metric; what stands behind a colon is the class that it is of.
        worst: as in `estimates`.
    """
    family = name.partition(":")[0]
    if family in WITHOUT_INTERVAL:
        return NONE
    if family in AREAS:
        return rankings.interval(statistic, clusters, in_steps=family == "pr_auc")
    if family == "quadratic_kappa":
        apart = confusions.quadratic(statistic.rows.shape[1] // 3)
        return confusions.interval(
            statistic, bounds=limits(name), clusters=clusters, disagreement=apart
        )
    if beta := confusions.beta_of(family):
        return intervals.of_f(statistic, beta, clusters)
    if family in _OF_COUNTS:
        return confusions.interval(statistic, bounds=limits(name), clusters=clusters)
    if family in LOSSES:
        return intervals.of_losses(statistic, worst=worst, clusters=clusters)
    if family in MEDIANS:
        return intervals.of_median(statistic, clusters)
    return intervals.of_shares(statistic, clusters)
