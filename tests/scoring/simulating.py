"""Populations of which everything is known, and how often what is said of a sample of one is true.

`scripts/bench stats` runs the same at full size.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from gateway.core.types import Answer
from gateway.scoring.arrays import BoolArray, FloatArray, IntArray
from gateway.scoring.bootstrap import FEWEST_CARRYING, Bootstrap, Method, bootstrap
from gateway.scoring.equivalence import proportion_equivalence
from gateway.scoring.pairing import Pairs, paired
from gateway.scoring.proportions import score_interval
from gateway.scoring.results import Metric, Prediction, Status
from gateway.scoring.scores import Statistic

LABELS = ("bug", "feature", "question")
SIZE = 20_000
"""Items of a population: its metrics are exact, and samples of some hundred hardly overlap."""


@dataclass(frozen=True)
class Kind:
    """Two classifiers: how common the classes are, and what each cell makes of them."""

    prior: tuple[float, ...]
    recalls_a: tuple[float, ...]
    recalls_b: tuple[float, ...]
    shared: float
    """Share of items on which b takes over the answer of a."""


BALANCED = Kind((1, 1, 1), (0.78, 0.72, 0.66), (0.66, 0.7, 0.6), 0.65)
"""17% of items are answered otherwise."""
IMBALANCED = Kind((7, 2, 1), (0.9, 0.6, 0.45), (0.85, 0.5, 0.3), 0.65)
"""12%."""
QUANTIZED = Kind((1, 1, 1), (0.75, 0.7, 0.7), (0.6, 0.6, 0.6), 0.93)
"""4%."""
HARDLY = Kind((1, 1, 1), (0.75, 0.7, 0.7), (0.6, 0.6, 0.6), 0.984)
"""1%."""


@dataclass(frozen=True)
class Population:
    """All the items that samples are drawn from, and which of them each cell has right."""

    pairs: Pairs
    right_a: BoolArray
    right_b: BoolArray


def classified(kind: Kind, *, seed: int = 0, size: int = SIZE) -> Population:
    """A population of right and wrong labels, on macro-F1."""
    draw = np.random.default_rng(seed)
    prior = np.asarray(kind.prior) / sum(kind.prior)
    gold = draw.choice(len(prior), size=size, p=prior)
    a, own = _answers(draw, gold, kind.recalls_a), _answers(draw, gold, kind.recalls_b)
    b = np.where(draw.random(size) < kind.shared, a, own)
    cells = [
        cell(name, [LABELS[g] for g in gold], [LABELS[c] for c in codes])
        for name, codes in (("a", a), ("b", b))
    ]
    pairs = paired(*cells, task_kind="classification", labels=LABELS, metric="macro_f1")
    return Population(pairs, gold == a, gold == b)


def estimated(*, seed: int = 0, size: int = SIZE) -> Population:
    """A population of story points and two estimates of them, on the mean absolute error.

    Few issues are large and all are estimated towards the middle, so that errors are skewed.
    """
    draw = np.random.default_rng(seed)
    gold = draw.choice([1, 2, 3, 5, 8, 13], size=size, p=[0.26, 0.22, 0.2, 0.17, 0.1, 0.05])
    both = 2.2 + 0.3 * gold + draw.gamma(2.0, 0.7, size=size)
    a = both + draw.normal(0.0, 0.8, size=size)
    b = np.rint(both + draw.normal(0.3, 1.2, size=size))
    cells = [
        cell(name, gold.astype(float).tolist(), codes.tolist())
        for name, codes in (("a", a), ("b", b))
    ]
    pairs = paired(*cells, task_kind="number", labels=(), metric="mae")
    return Population(pairs, abs(a - gold) <= 1, abs(b - gold) <= 1)


def cell(name: str, golds: Sequence[Answer], answers: Sequence[Answer]) -> list[Prediction]:
    """A cell that answered every item."""
    return [
        Prediction(name, f"{i:06}", Status.OK, answer, gold)
        for i, (gold, answer) in enumerate(zip(golds, answers, strict=True))
    ]


@dataclass(frozen=True)
class Sample:
    """Some items of a population."""

    drawn: Bootstrap
    only_a: int
    only_b: int


@dataclass(frozen=True)
class Coverage:
    """Shares of samples in which what is said of the difference is true."""

    bootstrap: dict[Method, float]
    """In which the 95% interval holds it."""
    evidence: float
    """The same of the interval that `contest` decides by: the widened one, or where too few items
    differ the score interval of right answers."""
    false_claims: float
    """In which b is said to be worse than a by less than it is worse. As `contest` does it for
    macro-F1: by the bootstrap, and where too few items differ by the right answers. The margin is
    the true difference, where a false claim is most likely."""


def coverage(
    population: Population, n: int, *, samples: int, resamples: int, seed: int = 0
) -> Coverage:
    """How often what is said from `n` items of the population is true."""
    truth = population.pairs.estimate
    held, evidence, claims = dict.fromkeys(Method, 0), 0, 0
    for sample in each_sample(population, n, samples=samples, resamples=resamples, seed=seed):
        holds = {m: _holds(sample.drawn.interval(method=m), truth) for m in Method}
        for method in Method:
            held[method] += holds[method]
        few = sample.drawn.carrying < FEWEST_CARRYING
        by_score = score_interval(sample.only_a, sample.only_b, n)
        evidence += _holds(by_score, truth) if few else holds[Method.WIDENED]
        claims += truth > 0 and _worse_by_less(sample, n, truth, few=few)
    shares = {m: count / samples for m, count in held.items()}
    return Coverage(shares, evidence / samples, claims / samples)


def _worse_by_less(sample: Sample, n: int, margin: float, *, few: bool) -> bool:
    if few:
        return proportion_equivalence(sample.only_a, sample.only_b, n, margin).p_better <= 0.05
    return sample.drawn.p_below(margin) <= 0.05


def each_sample(
    population: Population, n: int, *, samples: int, resamples: int, seed: int = 0
) -> Iterator[Sample]:
    """So many samples of `n` items."""
    draw = np.random.default_rng(seed)
    pairs = population.pairs
    differs = np.isin(np.arange(pairs.n), pairs.differing)
    for number in range(samples):
        rows = draw.integers(pairs.n, size=n)
        right_a, right_b = population.right_a[rows], population.right_b[rows]
        yield Sample(
            bootstrap(
                _within(pairs.difference, rows),
                n,
                carrying=int(differs[rows].sum()),
                seed=number,
                resamples=resamples,
            ),
            int((right_a & ~right_b).sum()),
            int((right_b & ~right_a).sum()),
        )


def drawn_scores(
    discordance: float, difference: float, shape: tuple[int, ...], seed: int
) -> IntArray:
    """Items right in one cell alone (+1, -1) or not (0), for the sequential rule."""
    shares = [(discordance - difference) / 2, 1 - discordance, (discordance + difference) / 2]
    return np.random.default_rng(seed).choice([-1, 0, 1], size=shape, p=shares)


def _holds(interval: Metric, truth: float) -> bool:
    assert interval.low is not None
    assert interval.high is not None
    return interval.low <= truth <= interval.high


def _within(statistic: Statistic, sample: IntArray) -> Statistic:
    def at(indices: IntArray) -> FloatArray:
        return statistic(sample[indices])

    return at


def _answers(draw: np.random.Generator, gold: IntArray, recalls: tuple[float, ...]) -> IntArray:
    right = draw.random(len(gold)) < np.asarray(recalls)[gold]
    wrong = (gold + draw.integers(1, len(recalls), size=len(gold))) % len(recalls)
    return np.where(right, gold, wrong)
