"""How often a cell's own interval holds the truth, in populations of which all is known.

`scripts/bench stats` runs the same at full size.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.stats import binom

from gateway.scoring import confusions, intervals
from gateway.scoring.confusions import balanced_accuracy, counts_of_classes, macro_f1, matthews
from gateway.scoring.intervals import Bounds
from gateway.scoring.statistic import FloatArray, IntArray, ItemStatistic, Value, mean, median

FEW = 10
"""Items of a class below which an interval of a mean over classes is not held to its promise."""
SIZES = (20, 60, 200)
ACCURACIES = (0.6, 0.8, 0.95, 0.99)


@dataclass(frozen=True)
class Covered:
    """How often an interval held the truth."""

    metric: str
    population: str
    n: int
    held: float
    few: bool = False
    """The rarest class has fewer than `FEW` items on average: a region that is named."""
    edge: bool = False
    """So few errors that an interval of whole items cannot hold exactly 95 of 100."""


@dataclass(frozen=True)
class Classes:
    """A population of gold labels and answers."""

    name: str
    table: FloatArray
    """Shares of gold (rows) and answer, shape (classes, classes)."""

    @property
    def rarest(self) -> float:
        return float(self.table.sum(axis=1).min())


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


def of_share(accuracy: float, n: int) -> Covered:
    """Of the share of right answers, by enumeration."""
    right = np.arange(n + 1)
    found = [intervals.share(float(k), n) for k in right]
    holds = np.asarray([_holds(each, accuracy) for each in found])
    held = float(binom.pmf(right, n, accuracy) @ holds)
    return Covered("accuracy", f"{accuracy:g}", n, held, edge=n * (1 - accuracy) < 5)


METRICS: dict[str, tuple[Value, tuple[float, float]]] = {
    "macro_f1": (macro_f1, (0.0, 1.0)),
    "balanced_accuracy": (balanced_accuracy, (0.0, 1.0)),
    "mcc": (matthews, (-1.0, 1.0)),
}


def of_classes(
    metric: str, population: Classes, n: int, *, samples: int, copies: int = 1, seed: int = 0
) -> Covered:
    """Of a metric of the confusion table; its truth is of the classes that the sample holds.

    Args:
        copies: of each item, told as clusters.
    """
    draw = np.random.default_rng(seed)
    count = len(population.table)
    value, bounds = METRICS[metric]
    held = 0
    for _ in range(samples):
        drawn = draw.choice(count**2, p=population.table.ravel(), size=n // copies)
        gold, answer = np.divmod(np.repeat(drawn, copies), count)
        clusters = None if copies == 1 else np.repeat(np.arange(n // copies), copies)
        truth = _truth(value, population.table, np.unique(gold))
        found = confusions.interval(
            _statistic(gold, answer, count, value), bounds=bounds, clusters=clusters
        )
        held += _holds(found, truth)
    few = population.rarest * n / copies < FEW
    name = population.name + (f", {copies} copies" if copies > 1 else "")
    errors = n / copies * (1 - float(np.trace(population.table)))
    return Covered(metric, name, n, held / samples, few, edge=errors < 5)


def of_authors(accuracy: float, n: int, *, each: int, samples: int, seed: int = 0) -> Covered:
    """Of a share where authors differ in how hard their items are."""
    draw = np.random.default_rng(seed)
    clusters = np.repeat(np.arange(n // each), each)
    held = 0
    for _ in range(samples):
        ease = draw.beta(4 * accuracy, 4 * (1 - accuracy), size=n // each)
        right = draw.random(n) < ease[clusters]
        held += _holds(intervals.of_shares(mean(right), clusters), accuracy)
    name = f"{accuracy:g}, {n // each} authors of {each}"
    few = n // each < FEW
    return Covered("accuracy", name, n, held / samples, few, edge=n // each * (1 - accuracy) < 5)


LOSSES: dict[str, Callable[[np.random.Generator, int], FloatArray]] = {
    "story points": lambda draw, n: np.abs(
        np.rint(draw.gamma(2.0, 0.9, n) + draw.normal(0.3, 1.2, n))
    ),
    "exponential": lambda draw, n: draw.exponential(1.0, n),
    "wrong in 40%": lambda draw, n: np.where(draw.random(n) < 0.4, draw.integers(1, 6, n), 0.0),
    "log-loss": lambda draw, n: -np.log(np.clip(draw.beta(5, 2, n), 1e-3, 1)),
}


def of_losses(name: str, n: int, *, samples: int, seed: int = 0) -> Iterator[Covered]:
    """Of the mean and of the median of what is at least zero."""
    draw = np.random.default_rng(seed)
    every = LOSSES[name](draw, 400_000)
    truths = {"mean": float(every.mean()), "median": float(np.median(every))}
    held = dict.fromkeys(truths, 0)
    for _ in range(samples):
        values = LOSSES[name](draw, n)
        found = {
            "mean": intervals.of_losses(mean(values), worst=1.0),
            "median": intervals.of_median(median(values)),
        }
        for metric, truth in truths.items():
            held[metric] += _holds(found[metric], truth)
    whole = name in ("story points", "wrong in 40%")
    yield Covered("mean of losses", name, n, held["mean"] / samples)
    if not whole:
        yield Covered("median of losses", name, n, held["median"] / samples, edge=True)


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
    for count in (2, 3, 10, 20):
        metrics = tuple(METRICS) if count == 3 else ("macro_f1",)
        found += [
            partial(_classes, metric, count, accuracy, rare, n, 1, samples)
            for metric in metrics
            for accuracy in ACCURACIES
            for rare in (False, True)
            for n in SIZES
        ]
    found += [
        partial(_classes, "macro_f1", 3, accuracy, False, n, 5, samples)
        for accuracy in ACCURACIES[:3]
        for n in SIZES[1:]
    ]
    return found


def _shares(n: int) -> list[Covered]:
    return [of_share(accuracy, n) for accuracy in (0.6, 0.7, 0.8, 0.9, 0.95, 0.99)]


def _losses(name: str, n: int, samples: int) -> list[Covered]:
    return list(of_losses(name, n, samples=samples))


def _authors(accuracy: float, n: int, each: int, samples: int) -> list[Covered]:
    return [of_authors(accuracy, n, each=each, samples=samples)]


def _classes(
    metric: str, count: int, accuracy: float, rare: bool, n: int, copies: int, samples: int
) -> list[Covered]:
    population = classes(count, accuracy, rare=rare)
    return [of_classes(metric, population, n, samples=samples, copies=copies)]


def _statistic(gold: IntArray, answer: IntArray, count: int, value: Value) -> ItemStatistic:
    occurring, codes = np.unique(gold * count + answer, return_inverse=True)
    of, by = np.divmod(occurring, count)
    return ItemStatistic(codes.reshape(-1), counts_of_classes(of, by, count), value)


def _truth(value: Value, table: FloatArray, present: IntArray) -> float:
    """Of the population; a mean over classes is of those that are present."""
    sums = np.concatenate([table.sum(axis=1), table.sum(axis=0), np.diag(table)])
    if value is matthews:
        return float(value(sums[:, np.newaxis])[0])
    count = len(table)
    support = np.where(np.isin(np.arange(count), present), sums[:count], 0.0)
    if value is macro_f1:
        scores = 2 * sums[2 * count :] / (sums[:count] + sums[count : 2 * count])
        return float(scores[support > 0].mean())
    return float((sums[2 * count :] / sums[:count])[support > 0].mean())


def _holds(found: Bounds, truth: float) -> bool:
    low, high = found
    return low is not None and high is not None and low <= truth <= high
