"""How often a cell's own interval holds the truth, in populations of which all is known.

Every interval is asked of the code that a report asks (`estimates.bounds_of`, `calibration`,
`agreement`). `scripts/bench stats` runs the same at full size.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import numpy as np
from scipy.special import expit, logit, ndtri
from scipy.stats import binom

from gateway.evaluation.judge import agreement as judging
from gateway.scoring import calibration, confusions, intervals, rankings
from gateway.scoring.arrays import BoolArray, FloatArray, IntArray
from gateway.scoring.confusions import counts_of_classes, macro_f1
from gateway.scoring.estimates import bounds_of
from gateway.scoring.results import Metric
from gateway.scoring.statistic import ItemStatistic, Value, mean, median

Interval = tuple[float | None, float | None]

FEW = 10
"""Items of a class below which an interval of what rests on it is not held to its promise."""
SIZES = (20, 60, 200)
ACCURACIES = (0.6, 0.8, 0.95, 0.99)
EDGE = 5
"""Errors on average below which an interval of whole items cannot hold exactly 95 of 100."""


@dataclass(frozen=True)
class Covered:
    """How often an interval held the truth."""

    metric: str
    population: str
    n: int
    held: float
    few: bool = False
    """Fewer than `FEW` items on average are of a class that it rests on: a region that is named."""
    edge: bool = False
    """So few errors that an interval of whole items cannot hold exactly 95 of 100."""


class Tally:
    """How often intervals held the truth, of the samples in which there is one."""

    def __init__(self) -> None:
        self._held: dict[str, list[bool]] = {}

    def add(self, metric: str, found: Interval, truth: float) -> None:
        if found[0] is not None:
            self._held.setdefault(metric, []).append(holds(found, truth))

    def shares(self) -> Iterator[tuple[str, float]]:
        for metric, held in self._held.items():
            yield metric, float(np.mean(held))


def holds(found: Interval, truth: float) -> bool:
    """Whether there is an interval, and it does."""
    low, high = found
    return low is not None and high is not None and low <= truth <= high


# Shares of items


def of_share(accuracy: float, n: int) -> Covered:
    """Of the share of right answers, by enumeration."""
    right = np.arange(n + 1)
    found = np.asarray([holds(intervals.share(float(k), n), accuracy) for k in right])
    held = float(binom.pmf(right, n, accuracy) @ found)
    return Covered("accuracy", f"{accuracy:g}", n, held, edge=n * (1 - accuracy) < EDGE)


def of_authors(accuracy: float, n: int, *, each: int, samples: int, seed: int = 0) -> Covered:
    """Of a share where authors differ in how hard their items are."""
    draw = np.random.default_rng(seed)
    clusters = np.repeat(np.arange(n // each), each)
    held = 0
    for _ in range(samples):
        ease = draw.beta(4 * accuracy, 4 * (1 - accuracy), size=n // each)
        right = draw.random(n) < ease[clusters]
        held += holds(intervals.of_shares(mean(right), clusters), accuracy)
    name = f"{accuracy:g}, {n // each} authors of {each}"
    few = n // each < FEW
    edge = n // each * (1 - accuracy) < EDGE
    return Covered("accuracy", name, n, held / samples, few, edge)


# Counts of gold labels and answers


@dataclass(frozen=True)
class Classes:
    """A population of gold labels and answers."""

    name: str
    table: FloatArray
    """Shares of gold (rows) and answer, shape (classes, classes)."""

    @property
    def rarest(self) -> float:
        return float(self.table.sum(axis=1).min())

    @property
    def wrong(self) -> float:
        return 1 - float(np.trace(self.table))

    def sums(self) -> FloatArray:
        """As of items: of the class, answered by it, both; shape (3 * classes,)."""
        table = self.table
        return np.concatenate([table.sum(axis=1), table.sum(axis=0), np.diag(table)])


def classes(count: int, accuracy: float, *, rare: bool) -> Classes:
    """Classes of differing recall around an accuracy; with `rare` the first is 3% and the worst."""
    rest = np.full(count, (1 - 0.03 * rare) / (count - rare))
    prior = np.where((np.arange(count) == 0) & rare, 0.03, rest)
    errors = (1 - accuracy) * np.linspace(1.5, 0.5, count)
    table = np.repeat(prior[np.newaxis], count, axis=0)
    np.fill_diagonal(table, 0)
    table *= (errors / table.sum(axis=1))[:, np.newaxis]
    np.fill_diagonal(table, 1 - errors)
    name = f"{count} classes{', 3% one' if rare else ''}, {accuracy:g}"
    return Classes(name, prior[:, np.newaxis] * table)


MEANS = ("macro_f1", "balanced_accuracy")
OF_ALL = (*MEANS, "weighted_f1", "mcc", "quadratic_kappa")
OF_ONE = ("precision:0", "recall:0", "f1:0", "f2:0", "f0.5:0")
"""Of the first class, which is the rare one where one is."""


def of_classes(
    metrics: Sequence[str],
    population: Classes,
    n: int,
    *,
    samples: int,
    copies: int = 1,
    seed: int = 0,
) -> list[Covered]:
    """Of metrics of the confusion table; the truth of a mean over classes is of those that the
    sample holds.

    Args:
        copies: of each item, told as clusters.
    """
    draw = np.random.default_rng(seed)
    count, own = len(population.table), n // copies
    clusters = None if copies == 1 else np.repeat(np.arange(own), copies)
    truths = {name: _truth(name, population) for name in metrics if name not in MEANS}
    tally = Tally()
    for _ in range(samples):
        drawn = draw.choice(count**2, p=population.table.ravel(), size=own)
        gold, answer = np.divmod(np.repeat(drawn, copies), count)
        for name in metrics:
            statistic = _statistic(name, gold, answer, count)
            if np.isnan(statistic.estimate()):
                continue
            found = bounds_of(name, statistic, clusters, None)
            truth = truths.get(name)
            tally.add(name, found, truth or _truth(name, population, np.unique(gold)))
    name = population.name + (f", {copies} copies" if copies > 1 else "")
    return [
        Covered(metric.partition(":")[0], name, n, held, *_region(metric, population, own))
        for metric, held in tally.shares()
    ]


def _region(metric: str, population: Classes, n: int) -> tuple[bool, bool]:
    """Whether few items of a class decide, and whether hardly any error is to be expected."""
    if metric in OF_ONE:
        support, answers, hits = np.split(n * population.sums(), 3)
        rest = {"precision:0": (answers[0],), "recall:0": (support[0],)}
        fewest = min(rest.get(metric, (support[0], answers[0])))
        return bool(fewest < FEW), bool(fewest - hits[0] < EDGE)
    return population.rarest * n < FEW, n * population.wrong < EDGE


def _value(metric: str, count: int) -> Value:
    if metric == "quadratic_kappa":
        return confusions.weighted_kappa(confusions.quadratic(count))
    means = {"macro_f1": macro_f1, "weighted_f1": confusions.weighted_f1}
    found = means.get(metric) or confusions.value_of(metric)
    assert found is not None, metric
    return found


def _statistic(metric: str, gold: IntArray, answer: IntArray, count: int) -> ItemStatistic:
    if metric == "quadratic_kappa":
        value, apart = _value(metric, count), confusions.quadratic(count)
        return confusions.agreeing(gold, answer, count, value, apart)
    occurring, codes = np.unique(gold * count + answer, return_inverse=True)
    of, by = np.divmod(occurring, count)
    rows, family = counts_of_classes(of, by, count), metric.partition(":")[0]
    if metric not in OF_ONE:
        return ItemStatistic(codes.reshape(-1), rows, _value(metric, count))
    found = confusions.of_label(ItemStatistic(codes.reshape(-1), rows, macro_f1), family, 0)
    assert found is not None, metric
    return found


def _truth(metric: str, population: Classes, present: IntArray | None = None) -> float:
    sums, count = population.sums(), len(population.table)
    support, answers, hits = np.split(sums, 3)
    if metric == "quadratic_kappa":
        sums = np.append(sums, (population.table * confusions.quadratic(count)).sum())
    if metric in OF_ONE:
        return _of_first(metric, support[0], answers[0], hits[0])
    if present is None:
        return float(_value(metric, count)(sums[:, np.newaxis])[0])
    each = 2 * hits / (support + answers) if metric == "macro_f1" else hits / support
    return float(each[present].mean())


def _of_first(metric: str, support: float, answers: float, hits: float) -> float:
    beta = confusions.beta_of(metric.partition(":")[0])
    if beta is None:
        return hits / (answers if metric.startswith("precision") else support)
    return (1 + beta**2) * hits / (beta**2 * support + answers)


# Losses


LOSSES: dict[str, Callable[[np.random.Generator, int], FloatArray]] = {
    "story points": lambda draw, n: np.abs(
        np.rint(draw.gamma(2.0, 0.9, n) + draw.normal(0.3, 1.2, n))
    ),
    "exponential": lambda draw, n: draw.exponential(1.0, n),
    "wrong in 40%": lambda draw, n: np.where(draw.random(n) < 0.4, draw.integers(1, 6, n), 0.0),
    "log-loss": lambda draw, n: -np.log(np.clip(draw.beta(5, 2, n), 1e-3, 1)),
    "Brier": lambda draw, n: 2 * (1 - draw.beta(4, 2, n)) ** 2,
    "cost of 1 or 5": lambda draw, n: draw.choice([0.0, 1.0, 5.0], p=[0.75, 0.2, 0.05], size=n),
}
WHOLE = ("story points", "wrong in 40%")
"""Errors of whole numbers, whose median is one: its interval holds more often than it has to."""
NAMES = {"log-loss": "log_loss", "Brier": "brier", "cost of 1 or 5": "cost"}


def of_losses(name: str, n: int, *, samples: int, seed: int = 0) -> Iterator[Covered]:
    """Of the mean of what is at least zero, and of the median of errors."""
    draw = np.random.default_rng(seed)
    every = LOSSES[name](draw, 400_000)
    metric = NAMES.get(name, "mae")
    truths = {metric: float(every.mean())}
    if metric == "mae":
        truths["median_ae"] = float(np.median(every))
    known = float(every.max()) if metric == "cost" else 0.0
    tally = Tally()
    for _ in range(samples):
        values = LOSSES[name](draw, n)
        of = {"median_ae": median(values), metric: replace(mean(values), most=known)}
        for each, truth in truths.items():
            tally.add(each, bounds_of(each, of[each], None, 1.0), truth)
    dearest = n * float((every == known).mean()) if known else EDGE
    for each, held in tally.shares():
        whole = each == "median_ae" and (name in WHOLE or n < 30)
        yield Covered(each, name, n, held, edge=whole or dearest < EDGE)


# Probabilities


@lru_cache
def _scores_of(shape: str, seed: int = 0) -> tuple[BoolArray, FloatArray]:
    """Shares of positives and how far they are ranked above the others, of a large population."""
    share, apart = (float(each) for each in shape.split("/"))
    draw = np.random.default_rng(seed)
    positive = draw.random(200_000) < share
    return positive, expit(draw.normal(size=len(positive)) + apart * positive)


def of_areas(share: float, area: float, n: int, *, samples: int, seed: int = 0) -> list[Covered]:
    """Of areas under curves of one label, of which `share` of the items are."""
    apart = float(np.sqrt(2) * ndtri(area))
    positive, scores = _scores_of(f"{share}/{apart}")
    draw = np.random.default_rng(seed)
    tally = Tally()
    truths = {
        name: rankings.ranked(scores, positive, of).estimate()
        for name, of in rankings.AREAS.items()
    }
    for _ in range(samples):
        rows = draw.integers(len(positive), size=n)
        for name, of in rankings.AREAS.items():
            statistic = rankings.ranked(scores[rows], positive[rows], of)
            if not np.isnan(statistic.estimate()):
                tally.add(name, bounds_of(name, statistic, None, None), truths[name])
    few = n * min(share, 1 - share) < FEW
    population = f"{share:g} positive, ROC {area:g}"
    return [
        Covered(metric, population, n, held, few, edge=n * share * (1 - area) < EDGE)
        for metric, held in tally.shares()
    ]


def of_mean_areas(apart: float, n: int, *, samples: int, seed: int = 0) -> list[Covered]:
    """Of the means of three labels' areas."""
    draw = np.random.default_rng(seed)
    gold = draw.integers(3, size=100_000)
    raw = np.exp(draw.normal(size=(len(gold), 3)) + apart * np.eye(3)[gold])
    shares = raw / raw.sum(axis=1, keepdims=True)

    def areas(rows: IntArray) -> dict[str, ItemStatistic]:
        return {
            name: rankings.mean_of(
                [rankings.ranked(shares[rows, k], gold[rows] == k, of) for k in range(3)]
            )
            for name, of in rankings.AREAS.items()
        }

    truths = {name: each.estimate() for name, each in areas(np.arange(len(gold))).items()}
    tally = Tally()
    for _ in range(samples):
        for name, each in areas(draw.integers(len(gold), size=n)).items():
            if not np.isnan(each.estimate()):
                tally.add(name, bounds_of(name, each, None, None), truths[name])
    few, edge = n / 3 < FEW, n / 3 * (1 - truths["roc_auc"]) < EDGE
    population = f"3 labels, {apart:g} apart"
    return [Covered(f"mean {name}", population, n, x, few, edge) for name, x in tally.shares()]


def of_calibration(slope: float, n: int, *, samples: int, seed: int = 0) -> list[Covered]:
    """Of slope and intercept of the calibration."""
    draw = np.random.default_rng(seed)
    tally = Tally()
    for _ in range(samples):
        confidence = np.clip(0.4 + 0.6 * draw.beta(3, 2, size=n), 0.41, 0.99)
        right = draw.random(n) < expit(slope * logit(confidence) - 0.2)
        found = calibration.slope_and_intercept(confidence, right)
        if found is not None:
            for name, each, truth in zip(("slope", "intercept"), found, (slope, -0.2), strict=True):
                tally.add(f"calibration {name}", (each.low, each.high), truth)
    return [
        Covered(metric, f"slope {slope:g}", n, held, edge=n < 30) for metric, held in tally.shares()
    ]


# A judge


def of_judge(agreeing: float, n: int, *, samples: int, seed: int = 0) -> list[Covered]:
    """Of what says how far a judge agrees with humans, grade for grade or off by one or two."""
    draw = np.random.default_rng(seed)

    def graded(count: int) -> tuple[IntArray, FloatArray]:
        human = draw.choice([1, 2, 3, 4, 5], p=[0.1, 0.2, 0.3, 0.25, 0.15], size=count)
        off = np.where(draw.random(count) < agreeing, 0, draw.choice([-2, -1, 1, 2], size=count))
        judge = np.clip(human + off, 1, 5) + draw.uniform(-0.45, 0.45, size=count)
        return human, np.clip(judge, 1.0, 5.0)

    truths = _agreements(*graded(200_000))
    tally = Tally()
    for _ in range(samples):
        for metric, found in _agreements(*graded(n)).items():
            tally.add(metric, (found.low, found.high), truths[metric].value)
    edge = n * (1 - agreeing) < EDGE
    return [
        Covered(metric, f"{agreeing:g} alike", n, held, edge=edge)
        for metric, held in tally.shares()
    ]


def _agreements(human: IntArray, judge: FloatArray) -> Mapping[str, Metric]:
    found = judging.agreement(judge.tolist(), human.tolist())
    named = {
        "kappa (judge)": found.kappa,
        "weighted kappa (judge)": found.weighted_kappa,
        "AC1 (judge)": found.ac1,
        "Spearman (judge)": found.spearman,
    }
    return {name: each for name, each in named.items() if each is not None}


# All of it


Job = Callable[[], list[Covered]]


def jobs(samples: int) -> list[Job]:
    """All that `scripts/bench stats` measures, each of which can run in a process of its own."""
    found: list[Job] = [partial(_shares, n) for n in SIZES]
    found += [partial(_losses, name, n, samples) for name in LOSSES for n in SIZES]
    found += [
        partial(_authors, accuracy, n, each, samples)
        for accuracy in ACCURACIES[:3]
        for n, each in ((60, 5), (200, 5), (200, 10), (200, 20))
    ]
    found += [
        partial(_classes, count, accuracy, rare, n, samples)
        for count in (2, 3, 10, 20)
        for accuracy in ACCURACIES
        for rare in (False, True)
        for n in SIZES
    ]
    found += [
        partial(_copied, accuracy, n, samples) for accuracy in ACCURACIES[:3] for n in SIZES[1:]
    ]
    found += [
        partial(of_areas, share, area, n, samples=samples)
        for share in (0.5, 0.2, 0.03)
        for area in ACCURACIES
        for n in SIZES
    ]
    found += [
        partial(of_mean_areas, apart, n, samples=samples) for apart in (1.0, 3.0) for n in SIZES
    ]
    found += [
        partial(of_calibration, slope, n, samples=samples) for slope in (0.5, 1.0) for n in SIZES
    ]
    return found + [
        partial(of_judge, alike, n, samples=samples) for alike in (0.5, 0.8, 0.95) for n in SIZES
    ]


def _shares(n: int) -> list[Covered]:
    return [of_share(accuracy, n) for accuracy in (0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.995)]


def _losses(name: str, n: int, samples: int) -> list[Covered]:
    return list(of_losses(name, n, samples=samples))


def _authors(accuracy: float, n: int, each: int, samples: int) -> list[Covered]:
    return [of_authors(accuracy, n, each=each, samples=samples)]


def _classes(count: int, accuracy: float, rare: bool, n: int, samples: int) -> list[Covered]:
    metrics = (*OF_ALL, *OF_ONE) if count == 3 else OF_ALL
    return of_classes(metrics, classes(count, accuracy, rare=rare), n, samples=samples)


def _copied(accuracy: float, n: int, samples: int) -> list[Covered]:
    population = classes(3, accuracy, rare=False)
    return of_classes(("macro_f1", "weighted_f1"), population, n, samples=samples, copies=5)
