"""A probe of numbers: which members it has, chosen by cross-validation on the training items.

Members are ridge regressions on states and on words, and the training answers' median. They are
added one by one, with repetition, each the one that lowers the absolute error of the mean most
(as in `gateway.tuning.probe.choose`). The median is where it begins: what does not err less than
the median has no weight.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from gateway.core.errors import ConfigError
from gateway.models.adapters.card import Card, RecordedBase
from gateway.models.adapters.number_probe import (
    NumberOnStates,
    NumberOnWords,
    NumberProbe,
    answered,
    learned,
    write_number_probe,
)
from gateway.models.adapters.probe import Floats, pooled, vectorizer_of
from gateway.tuning.checks.split import folds
from gateway.tuning.job import Stage, TrainingJob
from gateway.tuning.probe.choose import POOLINGS
from gateway.tuning.probe.fit import Choice, Data
from gateway.tuning.probe.recipe import ProbeRecipe
from gateway.tuning.probe.saving import card_of, save
from gateway.tuning.probe.train import Material, check_entry, read_states, took

MEDIAN = Choice(0, "mean", 0.0)
"""Stands for the median among members."""
PENALTIES = (300.0, 3000.0, 30000.0)
"""Of ridge on standardised states."""
_OF_WORDS = 1.0
"""The baseline's, of the same features."""
_MOST_STEPS = 24
_LEAST_GAIN = 1e-3
"""Share of the median's error that one more member must save."""
_FEWEST = 10

Member = NumberOnStates | NumberOnWords | float


@dataclass(frozen=True, slots=True)
class ProbedNumbers:
    """What came out."""

    folder: Path
    weights: Mapping[Choice, int]
    mae: float
    """Cross-validated. It was chosen by these items, which flatters it a little."""
    mae_of_median: float
    items: int
    seconds: float
    """All of it, reading too."""

    @property
    def names(self) -> Counter[str]:
        """Member -> its weight."""
        found = Counter[str]()
        for choice, weight in self.weights.items():
            found[name_of(choice)] += weight
        return found


def name_of(choice: Choice) -> str:
    """As a person reads it."""
    return "median" if choice == MEDIAN else str(choice)


def train(job: TrainingJob, recipe: ProbeRecipe, begin: Stage) -> ProbedNumbers:
    """Make a probe of numbers and save it with its card.

    Raises:
        ConfigError: the template cannot be probed, the entry is none of llama.cpp, a layer is none
            of the model, or there are too few items.
        BackendError, StoreError: a pass failed, or a file cannot be written.
    """
    started = time.perf_counter()
    check_entry(job)
    items = (*job.items, *job.held_out)
    if len(items) < _FEWEST:
        raise ConfigError(f"{len(items)} items are too few for a probe; it needs {_FEWEST}")
    answers = np.array([float(str(item.gold)) for item in items])
    read = read_states(job, items, np.zeros(len(items), np.int64), recipe, begin)
    ways = candidates(tuple(read.data.states), words=recipe.words)
    parts = folds(items, recipe.folds, job.recipe.seed)
    logs = bool(answers.min() >= 0)
    done = begin("members tried", len(ways) * recipe.folds)
    said = out_of_fold(ways, read.data, learned(answers, logs=logs), parts, done)
    weights = choose(said, answers, logs=logs)
    made = ProbedNumbers(
        job.target,
        weights,
        _mae(_mean(weights, said), answers, logs=logs),
        _mae(said[MEDIAN], answers, logs=logs),
        len(items),
        time.perf_counter() - started,
    )
    probe = _probe(read, weights, answers, logs=logs)
    errors = {choice: _mae(each, answers, logs=logs) for choice, each in said.items()}
    rows = [
        (name_of(c), c.pooling if c.layer else "", c.penalty, error) for c, error in errors.items()
    ]
    card, write = _card(job, recipe, read.base, made), partial(write_number_probe, probe=probe)
    save(job.target, write, card, "member,pooling,penalty,mae", rows, took(read, made.seconds))
    return made


def candidates(layers: Sequence[int], *, words: bool) -> tuple[Choice, ...]:
    """All members that a probe of numbers could have."""
    on_states = [
        Choice(layer, pooling, penalty)
        for layer in layers
        for pooling in POOLINGS
        for penalty in PENALTIES
    ]
    return (MEDIAN, *on_states, *([Choice(0)] if words else []))


def out_of_fold(
    choices: Sequence[Choice],
    data: Data,
    targets: Floats,
    parts: NDArray[np.int64],
    done: Callable[[], None],
) -> dict[Choice, Floats]:
    """What each member, fitted on the other folds, says of each item; shape (items,).

    Args:
        targets: answers as members say them, shape (items,).
        done: called for each member and fold.
    """
    found = {choice: np.zeros(len(targets)) for choice in choices}
    for fold in range(int(parts.max()) + 1):
        held = parts == fold
        known, asked = data.part(~held), data.part(held)
        for choice in choices:
            found[choice][held] = predict(fit(choice, known, targets[~held]), asked)
            done()
    return found


def choose(said: Mapping[Choice, Floats], answers: Floats, *, logs: bool) -> dict[Choice, int]:
    """The members whose weighted mean errs least, and how often each counts.

    Args:
        said: as `out_of_fold` answers.
    """

    def error(weights: Counter[Choice]) -> float:
        return _mae(_mean(weights, said), answers, logs=logs)

    starts = (Counter([choice]) for choice in said)
    weights = min((Counter([MEDIAN]), *starts), key=error)
    least = _LEAST_GAIN * error(Counter([MEDIAN]))
    for _ in range(_MOST_STEPS):
        tried = {choice: error(weights + Counter([choice])) for choice in said}
        best = min(tried, key=tried.__getitem__)
        if tried[best] > error(weights) - least:
            break
        weights[best] += 1
    return dict(weights)


def fit(choice: Choice, data: Data, targets: Floats, weight: float = 1.0) -> Member:
    """The member that the items teach; of the median it is a number. The same bytes on any number
    of threads."""
    if choice == MEDIAN:
        return float(np.median(targets))
    if not choice.layer:
        return _on_words(data, targets, weight)
    inputs = pooled(data.states[choice.layer].astype(np.float64), choice.pooling)
    centre, scale = inputs.mean(axis=0), inputs.std(axis=0)
    scale[scale == 0] = 1.0
    model = _ridge(Ridge(alpha=choice.penalty), (inputs - centre) / scale, targets)
    found = np.asarray(model.coef_, dtype=np.float64)
    return NumberOnStates(
        choice.layer, choice.pooling, weight, centre, scale, found, float(model.intercept_)
    )


def predict(member: Member, data: Data) -> Floats:
    """What it says of each item, shape (items,)."""
    if isinstance(member, float):
        return np.full(len(data.texts), member)
    if isinstance(member, NumberOnWords):
        words = vectorizer_of(member.terms, member.idf).transform(data.texts)
        return np.asarray(words @ member.coefficients) + member.intercept
    states = pooled(data.states[member.layer].astype(np.float64), member.pooling)
    with threadpool_limits(1, user_api="blas"):
        return ((states - member.centre) / member.scale) @ member.coefficients + member.intercept


def _on_words(data: Data, targets: Floats, weight: float) -> NumberOnWords:
    """TF-IDF of words and word pairs that occur in two texts, as the baseline's."""
    if data.words is None:
        return NumberOnWords(weight, (), np.zeros(0), np.zeros(0), float(np.mean(targets)))
    vectorizer, inputs = data.words
    model = _ridge(Ridge(alpha=_OF_WORDS, solver="lsqr", tol=1e-6), inputs, targets)
    terms = tuple(map(str, vectorizer.get_feature_names_out()))
    found = np.asarray(model.coef_, dtype=np.float64)
    return NumberOnWords(weight, terms, vectorizer.idf_, found, float(model.intercept_))


def _ridge(model: Ridge, inputs: object, targets: Floats) -> Ridge:
    # BLAS sums in another order on another number of threads, and the last digits follow.
    with threadpool_limits(1, user_api="blas"):
        return model.fit(inputs, targets)


def _mean(weights: Mapping[Choice, int], said: Mapping[Choice, Floats]) -> Floats:
    total = sum((weight * said[each] for each, weight in weights.items()), np.zeros(()))
    return np.asarray(total / sum(weights.values()))


def _mae(said: Floats, answers: Floats, *, logs: bool) -> float:
    found = answered(said, float(answers.min()), float(answers.max()), logs=logs)
    return float(np.abs(found - answers).mean())


def _probe(
    read: Material, weights: Mapping[Choice, int], answers: Floats, *, logs: bool
) -> NumberProbe:
    targets = learned(answers, logs=logs)
    members = [fit(choice, read.data, targets, weight) for choice, weight in weights.items()]
    return NumberProbe(
        states=tuple(each for each in members if isinstance(each, NumberOnStates)),
        words=next((each for each in members if isinstance(each, NumberOnWords)), None),
        median=float(np.median(answers)),
        median_weight=float(weights.get(MEDIAN, 0)),
        least=float(answers.min()),
        greatest=float(answers.max()),
        logs=logs,
        frame=read.frame,
        dimensions=read.base.hidden_size,
    )


def _card(job: TrainingJob, recipe: ProbeRecipe, base: RecordedBase, made: ProbedNumbers) -> Card:
    members = [
        f"{name_of(choice)}, alpha {choice.penalty:g}, weight {weight}"
        for choice, weight in made.weights.items()
    ]
    metrics = {
        "cross_validated_mae": made.mae,
        "cross_validated_mae_of_median": made.mae_of_median,
    }
    return card_of(job, recipe, base, members, more={}, metrics=metrics)
