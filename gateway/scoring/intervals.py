"""95% intervals of one cell's metrics, in closed form: the same items always give the same bytes.

share of items     the score interval of a proportion (Wilson 1927), with Student's quantile: with
                   the normal one it holds 92 of 100 at 20 items and a share of .95.
counts of answers  macro-F1 and all else that is made of a confusion table: variance by the delta
                   method, turned into the number of items of which a share would vary as much, and
                   the score interval of that. Its quantile is Student's, with Satterthwaite's
                   degrees of freedom over the gold classes: where three items of one class decide,
                   there are three. The table is smoothed by one item a gold class, and the bias of
                   a ratio of counts is taken off at second order.
mean of losses     Student's t with the skewness removed by a cubic transformation (Hall 1992, "On
                   the removal of skewness by transformation", J. R. Stat. Soc. B 54), beside the
                   items one more that is as bad as the worst there was, or where that is known
                   as the worst there can be.
F of one label     the score interval of the share of hits among hits, misses and false alarms, of
                   which F is a function; where misses and false alarms count unlike, of as many
                   items fewer as that adds to the variance.
median             the values where the score interval of a half ends (Woodruff 1952).
rank metrics       areas under curves: the jackknife over groups of items, then as for counts.

An interval never has a width of zero: where nothing varied, what could have is allowed for, or
there is no interval. Items of one cluster count as what they are worth: variances are of clusters,
and a share's number of items is divided by the design effect (Kish 1965; Korn and Graubard 1998,
"Confidence intervals for proportions with small expected number of positive counts estimated from
survey data").

How often each holds the truth is measured by `scripts/bench stats`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array, vstack
from scipy.special import gammaincinv, stdtrit

from gateway.scoring.arrays import BoolArray, FloatArray, IntArray
from gateway.scoring.statistic import ItemStatistic, Value

LEVEL = 0.95

Bounds = tuple[float, float] | tuple[None, None]
NONE: Bounds = (None, None)

_FEW_SEEN = 3
"""Items of one side, right or wrong, of which the score interval says too much."""
STEP = 1e-3
"""Of an item, by which derivatives are taken."""
MORE_ERRORS = 2.0
"""A class of few items may well be answered worse than the others: the item that smooths it errs so
many times as often as all."""
_GROUPS = 200
"""Of a jackknife, at most."""
_CHUNK = 400_000
"""Weights of a jackknife that are made at a time: bounds memory, changes no value."""
_NOTHING = 1e-12


Slopes = Callable[[FloatArray, csr_array], tuple[FloatArray, FloatArray]]
"""From the sums of features and rows of such, shape (rows, features): the first and the second
derivative of a value in the direction of each row."""


@dataclass(frozen=True, slots=True, eq=False)
class Unseen:
    """What smooths a table of counts: items that might have been there."""

    rows: FloatArray
    """Their features, shape (unseen, features)."""
    weights: FloatArray
    """How often each counts, shape (unseen,)."""
    strata: IntArray
    """The gold class of each."""


def share(right: float, n: float, *, clusters: "Clustering | None" = None) -> Bounds:
    """Of `right` among `n` items.

    Args:
        clusters: of those items, with the deviation of each from the share.
    """
    if n <= 0:
        return NONE
    if clusters is None:
        return _share_of(right / n, n, _student(max(1.0, n - 1)))
    return _share_of(right / n, n / clusters.effect, _student(clusters.count - 1))


def _share_of(part: float, n: float, reach: float) -> tuple[float, float]:
    """The score interval, wide enough where hardly anything was seen of one side: there it ends
    just short of shares that are as likely (Brown, Cai and DasGupta 2001, "Interval estimation for
    a binomial proportion", section 4.1.1)."""
    low, high = wilson(part, n, reach)
    return min(low, _least_of_few(n * part) / n), max(high, 1 - _least_of_few(n * (1 - part)) / n)


def _least_of_few(count: float) -> float:
    """What so few, as a count of Poisson's, are at least of in 95 of 100; infinite of more."""
    return float(gammaincinv(count, 1 - LEVEL)) if 0 < count <= _FEW_SEEN else math.inf


@dataclass(frozen=True, slots=True)
class Clustering:
    """What clusters do to a variance."""

    count: int
    """How many there are."""
    effect: float
    """By how much the variance is larger than that of as many independent items."""
    worst: float
    """The same, were all the items of a cluster one."""


def clustering(influence: FloatArray, clusters: IntArray | None) -> Clustering | None:
    """The design effect; None without clusters. At least 1, and where nothing varies as if all the
    items of a cluster were one. One such cluster is added to what few clusters say.

    Args:
        influence: of each item on the value, shape (items,).
        clusters: of each item, shape (items,).
    """
    if clusters is None or not len(clusters):
        return None
    _, groups, sizes = np.unique(clusters, return_inverse=True, return_counts=True)
    count = len(sizes)
    worst = float((sizes**2).sum() / sizes.sum())
    own = influence - influence.mean()
    plain = float((own**2).sum())
    if count < 2 or plain <= _NOTHING * len(own) * float((influence**2).max() + _NOTHING):
        return Clustering(count, worst, worst)
    sums = np.bincount(groups.reshape(-1), weights=own)
    effect = float((sums**2).sum()) / plain * count / (count - 1)
    n = len(own)
    effect = (count * effect * (n - 1) / n + worst) / (count + 1)
    return Clustering(count, max(1.0, effect), worst)


def of_shares(statistic: ItemStatistic, clusters: IntArray | None = None) -> Bounds:
    """Of a mean of zeros and ones."""
    values, counted = _of_mean(statistic)
    if not len(values):
        return NONE
    among = None if clusters is None else clusters[counted]
    return share(float(values.sum()), len(values), clusters=clustering(values, among))


def of_f(statistic: ItemStatistic, beta: float, clusters: IntArray | None = None) -> Bounds:
    """Of F-beta of one label.

    Args:
        statistic: of hits, misses and false alarms.
    """
    rows = statistic.rows.toarray()
    hits, missed, wrong = np.bincount(statistic.codes, minlength=len(rows)) @ rows
    n = hits + missed + wrong
    if not n:
        return NONE
    relevant = rows.sum(axis=1)[statistic.codes] > 0
    hit = rows[statistic.codes[relevant], 0]
    among = clustering(hit, None if clusters is None else clusters[relevant])
    effective, each = _unlike(hits, missed, wrong, beta**2)
    low, high = share(hits / n * effective, effective, clusters=among)

    def f(part: float) -> float:
        return (1 + beta**2) * part / ((1 + beta**2) * part + each * (1 - part))

    observed = statistic.estimate()
    if low is None or high is None:
        return NONE
    return min(observed, f(low)), max(observed, f(high))


def _unlike(hits: float, missed: float, wrong: float, square: float) -> tuple[float, float]:
    """As how many items they vary, whose misses count `square` times a false alarm; and what one of
    either counts on average. Half of each is added to what was seen."""
    n, misses, alarms = hits + missed + wrong, missed + 0.5, wrong + 0.5
    mean = (square * misses + alarms) / (misses + alarms)
    second = (square**2 * misses + alarms) / (misses + alarms)
    right = (hits + 0.5) / (n + 1)
    return n / (1 + (second / mean**2 - 1) * right), mean


def of_losses(
    statistic: ItemStatistic, *, worst: float | None = None, clusters: IntArray | None = None
) -> Bounds:
    """Of a mean of what is at least zero.

    Args:
        worst: what another item may cost beyond, where all cost the same; None or zero: not known,
            and then there is no interval.
    """
    values, counted = _of_mean(statistic)
    if not len(values):
        return NONE
    among = clustering(values, None if clusters is None else clusters[counted])
    largest = max(float(values.max()), statistic.most)
    if largest - values.min() <= _NOTHING * max(1.0, abs(largest)):
        if not worst:
            return NONE
        largest += worst
    smoothed = np.append(values, largest)
    n = len(values) if among is None else len(values) / among.effect
    reach = _student((len(values) if among is None else among.count) - 1)
    low, high = _hall(float(values.mean()), smoothed, n, reach)
    return max(0.0, low), high


def of_median(statistic: ItemStatistic, clusters: IntArray | None = None) -> Bounds:
    """Of a median: none where the interval of the values has no width."""
    counted = statistic.codes < len(statistic.levels)
    values = statistic.levels[statistic.codes[counted]]
    if not len(values):
        return NONE
    middle = float(np.median(values))
    of = None if clusters is None else clusters[counted]
    among = clustering((values <= middle).astype(np.float64), of)
    low, high = share(len(values) / 2, len(values), clusters=among)
    if low is None or high is None:
        return NONE
    ascending = np.sort(values)
    last = len(values) - 1
    under = ascending[max(0, math.floor(low * len(values)) - 1)]
    over = ascending[min(last, math.ceil(high * len(values)))]
    return (float(under), float(over)) if under < over else NONE


def of_counts(
    statistic: ItemStatistic,
    unseen: Unseen,
    strata: IntArray,
    *,
    bounds: tuple[float, float] = (0.0, 1.0),
    clusters: IntArray | None = None,
    slopes: Slopes | None = None,
) -> Bounds:
    """Of a function of a confusion table.

    Args:
        slopes: finds the derivatives of the value faster than by the value itself.
        strata: the gold class of each code of the statistic, shape (codes,).
        bounds: the least and the greatest value that there can be.
    """
    width, n = statistic.rows.shape[0], len(statistic.codes)
    counts = np.bincount(statistic.codes, minlength=width).astype(np.float64)
    observed = statistic.estimate()
    shrunk = n / (n + unseen.weights.sum())
    weights = np.concatenate([counts, unseen.weights]) * shrunk
    if slopes is None:
        rows = np.concatenate([statistic.rows.toarray(), unseen.rows])
        sums = weights @ rows
        first, second = _derivatives(statistic.value, sums, rows)
    else:
        sparse = csr_array(vstack([statistic.rows, csr_array(unseen.rows)]))
        sums = np.asarray(sparse.T @ weights)
        first, second = slopes(sums, sparse)
    among = clustering(first[: len(counts)][statistic.codes], clusters)
    effects = np.ones(len(weights))
    if among is not None:
        effects[: len(counts)], effects[len(counts) :] = among.effect, among.worst
    spread = np.bincount(
        np.concatenate([strata, unseen.strata]), weights=weights * effects * first**2
    ).astype(np.float64)
    own = np.bincount(strata, weights=counts, minlength=len(spread)).astype(np.float64)
    freedom = _satterthwaite(spread[own > 0], own[own > 0])
    if among is not None:
        freedom = min(freedom, among.count - 1)
    centre = float(statistic.value(sums[:, np.newaxis])[0])
    bias = float((weights * second).sum()) / 2
    return _scored(observed, bias, centre, float(spread.sum()), freedom, bounds)


def of_ranks(
    value: Callable[[FloatArray], FloatArray],
    n: int,
    fewest: int,
    *,
    in_steps: bool = False,
    clusters: IntArray | None = None,
) -> Bounds:
    """Of an area under a curve, by the jackknife over groups of items or of clusters.

    Args:
        value: of the items that count so often, shape (items, resamples), shape (resamples,).
        n: items.
        fewest: items of the rarer side, of which the area is taken to be a share at the least.
        in_steps: whether it is a mean over the items of that side: of few the jackknife sees too
            little, and the variance is at least half that of a share of them.
    """
    groups = _jackknife_groups(n, clusters)
    count = int(groups.max(initial=-1)) + 1
    observed = float(value(np.ones((n, 1)))[0])
    parts = np.array_split(np.arange(count), 1 + count * n // _CHUNK)
    left = np.concatenate([value((groups[:, np.newaxis] != g).astype(np.float64)) for g in parts])
    if count < 2 or math.isnan(observed) or np.isnan(left).any():
        return NONE
    variance = (count - 1) / count * float(((left - left.mean()) ** 2).sum())
    # As if one more item of the rarer side had been ranked by a coin.
    fewest = min(fewest, count)
    centre = (observed * fewest + 0.5) / (fewest + 1)
    among = n if clusters is None else count
    least = centre * (1 - centre) / (min(among, 2 * fewest) if in_steps else among)
    freedom = min(fewest, count - 1)
    return _scored(observed, 0.0, centre, max(variance, least), freedom, (0.0, 1.0))


def _jackknife_groups(n: int, clusters: IntArray | None) -> IntArray:
    """A group of each item: clusters whole, spread evenly over at most `_GROUPS`."""
    of = np.arange(n) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    return np.asarray(of.reshape(-1) % _GROUPS, dtype=np.int64)


def _scored(
    observed: float,
    bias: float,
    centre: float,
    variance: float,
    freedom: float,
    bounds: tuple[float, float],
) -> Bounds:
    """The score interval of a share of as many items as would vary by that variance.

    Args:
        centre: the smoothed value, at which the variance was taken.
    """
    least, most = bounds
    room = most - least
    share_of = (centre - least) / room
    if not (variance > 0 and 0 < share_of < 1) or freedom < 1:
        return NONE
    n = share_of * (1 - share_of) / (variance / room**2)
    corrected = min(1.0, max(0.0, (observed - bias - least) / room))
    low, high = wilson(corrected, n, _student(freedom))
    return min(observed, least + room * low), max(observed, least + room * high)


def wilson(share_of: float, n: float, reach: float) -> tuple[float, float]:
    """The shares that a score test does not reject; `reach` is its critical value.

    statsmodels has it for whole numbers of items and the normal quantile only.
    """
    squared = reach**2 / n
    middle = (share_of + squared / 2) / (1 + squared)
    half = math.sqrt(share_of * (1 - share_of) * squared + squared**2 / 4) / (1 + squared)
    return max(0.0, middle - half), min(1.0, middle + half)


def _hall(mean: float, smoothed: FloatArray, n: float, reach: float) -> tuple[float, float]:
    deviation = float(smoothed.std(ddof=1))
    skewness = float(((smoothed - smoothed.mean()) ** 3).mean()) / deviation**3
    error = deviation / math.sqrt(n)

    def straightened(quantile: float) -> float:
        if abs(skewness) < _NOTHING:
            return quantile
        inner = (quantile - skewness / (6 * math.sqrt(n))) / math.sqrt(n)
        return 3 / skewness * (float(np.cbrt(1 + skewness * inner)) - 1) * math.sqrt(n)

    return mean - error * straightened(reach), mean - error * straightened(-reach)


def _of_mean(statistic: ItemStatistic) -> tuple[FloatArray, BoolArray]:
    """The values of the items that count, and which items they are."""
    features = statistic.rows.toarray()[statistic.codes]
    counted = features[:, 1] > 0
    return features[counted, 0], counted


def _derivatives(value: Value, sums: FloatArray, rows: FloatArray) -> tuple[FloatArray, FloatArray]:
    """First and second derivative of a value in the direction of each row, shape (rows,) each."""
    step = STEP * rows.T
    at = sums[:, np.newaxis]
    above, below, here = value(at + step), value(at - step), value(at)
    return (above - below) / (2 * STEP), (above + below - 2 * here) / STEP**2


def _satterthwaite(variances: FloatArray, items: FloatArray) -> float:
    """Degrees of freedom of a sum of variances, each known from so many items."""
    total = float((variances**2 / items).sum())
    return max(1.0, float(variances.sum()) ** 2 / total) if total > 0 else 1.0


def _student(freedom: float) -> float:
    return float(-stdtrit(max(1.0, freedom), (1 - LEVEL) / 2))
