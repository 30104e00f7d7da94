"""Areas under curves, from the probabilities of one label: how well it is ranked above the others.

ROC       the share of pairs of an item of the label and another in which the first has the higher
          probability, ties counted half (Hanley and McNeil 1982).
PR        average precision: precision at each item of the label, averaged (Davis and Goadrich 2006
          say why no line is drawn between the points).

The tests hold both equal to scikit-learn's values. An item without probabilities stands where it is
wrong: below all others where it is of the label, above them where it is not. Left out, it would
make the cell better that is silent where it is unsure. A cell without any has no area.
"""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.sparse import csr_array, hstack

from gateway.scoring.arrays import BoolArray, FloatArray, IntArray
from gateway.scoring.intervals import Bounds, of_ranks
from gateway.scoring.statistic import ItemStatistic, ratio

Area = Callable[[FloatArray, FloatArray], FloatArray]
"""How often each score stands at an item of the label and at another, shape (scores, resamples)
each, ascending by score -> areas, shape (resamples,); NaN where one side is empty."""


def roc(positive: FloatArray, negative: FloatArray) -> FloatArray:
    """Area under the receiver operating characteristic."""
    below = negative.cumsum(axis=0) - negative / 2
    pairs = positive.sum(axis=0) * negative.sum(axis=0)
    return ratio((positive * below).sum(axis=0), pairs)


def average_precision(positive: FloatArray, negative: FloatArray) -> FloatArray:
    """Area under the curve of precision and recall, in steps."""
    from_above = positive[::-1]
    found = from_above.cumsum(axis=0)
    taken = found + negative[::-1].cumsum(axis=0)
    precision = np.nan_to_num(ratio(found, taken))
    return ratio((from_above * precision).sum(axis=0), found[-1])


AREAS: dict[str, Area] = {"roc_auc": roc, "pr_auc": average_precision}


def each_ranked(shares: FloatArray, cells: int) -> FloatArray:
    """Probabilities of cells one behind the other, shape (items of all, labels); of several cells
    each one's ranks instead, from 0 to 1.

    An area knows only the order within a cell. Swapped as they are, scores of a cell that is surer
    of itself would stand above or below all others, and equal cells would be told apart
    (Venkatraman and Begg 1996, "A distribution-free procedure for comparing receiver operating
    characteristic curves from a paired experiment").
    """
    if cells == 1:
        return shares
    from scipy.stats import rankdata

    # Rounded as in `ranked`.
    parts = np.split(shares.round(12), cells)
    return np.concatenate([rankdata(p, axis=0, nan_policy="omit") / len(p) for p in parts])


def rarer_side(golds: Sequence[object], label: str) -> IntArray:
    """Positions of the items on the rarer side of an area: those of the label, or all others.

    Args:
        label: empty: the area is a mean over labels; of that whose rarer side is the largest.
    """
    found = np.asarray([str(gold) for gold in golds], dtype=object)
    each = [found == one for one in ([label] if label else set(found.tolist()))]
    sides = [np.flatnonzero(own if 2 * own.sum() <= len(own) else ~own) for own in each]
    return max(sides, key=len)


def ranked(scores: FloatArray, positive: BoolArray, area: Area) -> ItemStatistic:
    """An area as a statistic of items.

    Args:
        scores: probability of the label, shape (items,); NaN where there is none.
        positive: whether each item is of the label, shape (items,).
    """
    silent = np.isnan(scores)
    known = np.full(len(scores), not silent.all())
    ranks = np.where(silent, np.where(positive, -1.0, 2.0), scores)
    # Rounded, so that the last digits of a division part no scores that are equal.
    distinct, found = np.unique(ranks[known].round(12), return_inverse=True)
    count = len(distinct)
    codes = np.full(len(scores), 2 * count, dtype=np.int64)
    codes[known] = found.reshape(-1) + count * ~positive[known]
    rows = csr_array((np.ones(2 * count), (np.arange(2 * count),) * 2), (2 * count + 1, 2 * count))

    def value(sums: FloatArray) -> FloatArray:
        if not count:
            return np.full(sums.shape[1], np.nan)
        return area(sums[:count], sums[count:])

    return ItemStatistic(codes, rows, value, alike=False)


def mean_of(each: Sequence[ItemStatistic]) -> ItemStatistic:
    """The mean of several areas over the same items: each label against the others."""
    sizes = [statistic.rows.shape[1] for statistic in each]
    rows = csr_array(hstack([csr_array(s.rows[s.codes]) for s in each]))

    def value(sums: FloatArray) -> FloatArray:
        parts = np.split(sums, np.cumsum(sizes)[:-1])
        found = [s.value(part) for s, part in zip(each, parts, strict=True)]
        return np.asarray(np.mean(found, axis=0), dtype=np.float64)

    return ItemStatistic(np.arange(len(each[0].codes)), rows, value, alike=False)


def interval(
    statistic: ItemStatistic, clusters: IntArray | None, *, in_steps: bool = False
) -> Bounds:
    """The 95% interval of an area, or of a mean of some.

    Args:
        in_steps: whether it is that of precision and recall.
    """
    features = csr_array(statistic.rows[statistic.codes])

    columns = csr_array(features.T)

    def value(weights: FloatArray) -> FloatArray:
        return statistic.value(np.asarray(columns @ weights))

    n, fewest = len(statistic.codes), _fewest(statistic)
    return of_ranks(value, n, fewest, in_steps=in_steps, clusters=clusters)


def _fewest(statistic: ItemStatistic) -> int:
    """Items of the rarer side of a single area; of a mean, of its rarest label: at most all."""
    sums = np.asarray(statistic.features().sum(axis=0)).reshape(-1)
    half = len(sums) // 2
    return int(max(1, min(sums[:half].sum(), sums[half:].sum())))
