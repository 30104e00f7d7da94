"""Which members a probe has, chosen by cross-validation on the training items.

Members are added one by one, with repetition, each the one that lowers the loss of the mean most:
Caruana, Niculescu-Mizil, Crew and Ksikes 2004, "Ensemble Selection from Libraries of Models". It
begins with the best of single members and of equal means over all layers.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from gateway.engine.in_process import usable_cores
from gateway.models.adapters.probe import Floats, Pooling, log_softmax
from gateway.tuning.probe.fit import Choice, Codes, Data, fit, predict
from gateway.tuning.probe.kept import KeptScores

PENALTIES = (0.0003, 0.003, 0.03)
"""Of members on states: scikit-learn's C."""
OF_WORDS = (10.0, 30.0, 100.0)
"""Of members on words."""
POOLINGS: tuple[Pooling, ...] = ("last", "mean", "both")
_MOST_STEPS = 24
_LEAST_GAIN = 1e-4
"""Nats an item that one more member must save."""
_TEMPERATURES = (0.2, 5.0)


@dataclass(frozen=True, slots=True)
class Chosen:
    """A probe's members, and how they do on items that they were not fitted on."""

    weights: Mapping[Choice, int]
    temperature: float
    logprobs: Floats
    """Of the items, each by members fitted without its fold; shape (items, labels)."""

    def loss(self, golds: Codes) -> float:
        """Nats an item."""
        return mean_loss(self.logprobs, golds)


def candidates(layers: Sequence[int], *, words: bool) -> tuple[Choice, ...]:
    """All members that a probe could have."""
    on_states = [
        Choice(layer, pooling, penalty)
        for layer in layers
        for pooling in POOLINGS
        for penalty in PENALTIES
    ]
    return (*on_states, *(Choice(0, penalty=each) for each in OF_WORDS if words))


def out_of_fold(
    choices: Sequence[Choice],
    data: Data,
    folds: NDArray[np.int64],
    kept: KeptScores,
    done: Callable[[], None],
) -> dict[Choice, Floats]:
    """Log-probabilities of each item by each member fitted on the other folds; shape (items,
    labels).

    Args:
        kept: what was computed before, and where the rest goes.
        done: called for each member and fold.
    """
    known = {choice: kept.get(choice) for choice in choices}
    number = int(folds.max()) + 1
    new = {c: np.zeros((len(data.texts), data.labels)) for c in choices if known[c] is None}
    for _ in range((len(choices) - len(new)) * number):
        done()
    # One thread of BLAS in each of ours: no fit may change it beside another.
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(usable_cores()) as workers:
        for fold in range(number):
            held = folds == fold
            of = partial(_predicted, data.part(~held), data.part(held))
            for choice, logprobs in zip(new, workers.map(of, new), strict=True):
                new[choice][held] = logprobs
                done()
    for choice, logprobs in new.items():
        kept.put(choice, logprobs)
    return {c: new[c] if scores is None else scores for c, scores in known.items()}


def _predicted(learned: Data, asked: Data, choice: Choice) -> Floats:
    return predict(fit(choice, learned), asked)


def choose(found: Mapping[Choice, Floats], golds: Codes) -> Chosen:
    """The members whose weighted mean loses least.

    Args:
        found: as `out_of_fold` says.
    """
    losses = {choice: mean_loss(logprobs, golds) for choice, logprobs in found.items()}
    starts = [[min(losses, key=losses.__getitem__)], *_means(losses)]
    weights = min(
        (Counter(start) for start in starts), key=lambda each: mean_loss(_mean(each, found), golds)
    )
    total = _total(weights, found)
    for _ in range(_MOST_STEPS):
        number = weights.total()
        now = _loss_of(total / number, golds)
        tried = {
            each: _loss_of((total + said) / (number + 1), golds) for each, said in found.items()
        }
        best = min(tried, key=tried.__getitem__)
        if tried[best] > now - _LEAST_GAIN:
            break
        weights[best] += 1
        total = total + found[best]
    mean = _mean(weights, found)
    temperature = _temperature(mean, golds)
    return Chosen(dict(weights), temperature, log_softmax(mean / temperature))


def _means(losses: Mapping[Choice, float]) -> list[list[Choice]]:
    """For each pooling all layers, each with the penalty that is best there."""
    best: dict[tuple[Pooling, int], Choice] = {}
    for choice in sorted(losses, key=losses.__getitem__):
        if choice.layer:
            best.setdefault((choice.pooling, choice.layer), choice)
    means = [[c for (each, _), c in best.items() if each == pooling] for pooling in POOLINGS]
    return [mean for mean in means if mean]


def _mean(weights: Mapping[Choice, int], found: Mapping[Choice, Floats]) -> Floats:
    return log_softmax(_total(weights, found) / sum(weights.values()))


def _total(weights: Mapping[Choice, int], found: Mapping[Choice, Floats]) -> Floats:
    return np.asarray(sum((n * found[each] for each, n in weights.items()), np.zeros(())))


def _loss_of(logits: Floats, golds: Codes) -> float:
    return mean_loss(log_softmax(logits), golds)


def _temperature(logits: Floats, golds: Codes) -> float:
    """That loses least: Guo et al. 2017, "On Calibration of Modern Neural Networks", arXiv
    1706.04599."""
    found = minimize_scalar(
        lambda log: mean_loss(log_softmax(logits / np.exp(log)), golds),
        bounds=tuple(np.log(_TEMPERATURES)),
        method="bounded",
    )
    return float(np.exp(found.x))


def mean_loss(logprobs: Floats, golds: Codes) -> float:
    """Nats an item; shape of the first (items, labels)."""
    return -float(logprobs[np.arange(len(golds)), golds].mean())
