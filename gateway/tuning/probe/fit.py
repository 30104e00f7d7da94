"""One member of a probe: a logistic regression on states or on words."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from gateway.engine.in_process import usable_cores
from gateway.models.adapters.probe import (
    Floats,
    OnStates,
    OnWords,
    Pooling,
    log_softmax,
    pooled,
    vectorizer_of,
)
from gateway.scoring.words import WordFeatures, word_features

if TYPE_CHECKING:
    from sklearn.feature_extraction.text import TfidfVectorizer

Codes = NDArray[np.int64]

_LEAST = -16.0
"""Logit of a label that no training item has."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What a member reads and how it is regularised."""

    layer: int
    """0: the words of the text."""
    pooling: Pooling = "last"
    penalty: float = 1.0
    """scikit-learn's C: the inverse strength of the penalty on squared coefficients."""

    def __str__(self) -> str:
        return f"layer {self.layer} ({self.pooling})" if self.layer else "words"


@dataclass(frozen=True)
class Data:
    """What members are fitted on."""

    states: dict[int, NDArray[np.float32]]
    """Layer -> shape (items, 2, width)."""
    texts: Sequence[str]
    golds: Codes
    labels: int
    """How many there are."""

    @cached_property
    def words(self) -> "tuple[TfidfVectorizer, WordFeatures] | None":
        """As `word_features` says: the same for all members on words."""
        return word_features(self.texts)

    def part(self, chosen: NDArray[np.bool_]) -> "Data":
        """Some of the items."""
        return self.at(np.flatnonzero(chosen))

    def at(self, places: NDArray[np.int64]) -> "Data":
        """The items at these places."""
        states = {layer: each[places] for layer, each in self.states.items()}
        texts = [self.texts[place] for place in places.tolist()]
        return Data(states, texts, self.golds[places], self.labels)


Member = OnStates | OnWords


def fit(choice: Choice, data: Data, weight: float = 1.0) -> Member:
    """The member that the items teach; the same bytes on any number of threads."""
    if not choice.layer:
        return _on_words(choice, data, weight)
    inputs = pooled(data.states[choice.layer].astype(np.float64), choice.pooling)
    centre, scale = inputs.mean(axis=0), inputs.std(axis=0)
    scale[scale == 0] = 1.0
    coefficients, intercepts = _regression((inputs - centre) / scale, data, choice.penalty)
    return OnStates(choice.layer, choice.pooling, weight, centre, scale, coefficients, intercepts)


def fit_all(weights: Mapping[Choice, int], data: Data, done: Callable[[], None]) -> list[Member]:
    """Members with their weights, several at once; what reads the same is one.

    Args:
        done: called after each.
    """

    def one(choice: Choice) -> Member:
        member = fit(choice, data, weights[choice])
        done()
        return member

    # One thread of BLAS in each of ours: no fit may change it beside another.
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(usable_cores()) as workers:
        return merged(list(workers.map(one, weights)))


def merged(members: Sequence[Member]) -> list[Member]:
    """Those that read the same as one: the mean of linear logits is linear, and the constant by
    which the mean of their logarithms differs leaves no trace in a probability.

    Args:
        members: fitted on the same items, so that what reads the same is scaled alike.
    """
    alike: dict[tuple[int, str], list[Member]] = {}
    for each in members:
        reads = (each.layer, each.pooling) if isinstance(each, OnStates) else (0, "")
        alike.setdefault(reads, []).append(each)
    return [_mean(same) for same in alike.values()]


def _mean(members: Sequence[Member]) -> Member:
    weights = [each.weight for each in members]
    mean = partial(np.average, axis=0, weights=weights)
    return replace(
        members[0],
        weight=sum(weights),
        coefficients=mean([each.coefficients for each in members]),
        intercepts=mean([each.intercepts for each in members]),
    )


def predict(member: Member, data: Data) -> Floats:
    """Log-probabilities, shape (items, labels)."""
    if isinstance(member, OnWords):
        inputs = vectorizer_of(member.terms, member.idf).transform(data.texts)
        return log_softmax(np.asarray(inputs @ member.coefficients.T) + member.intercepts)
    states = pooled(data.states[member.layer].astype(np.float64), member.pooling)
    inputs = (states - member.centre) / member.scale
    return log_softmax(inputs @ member.coefficients.T + member.intercepts)


def _on_words(choice: Choice, data: Data, weight: float) -> OnWords:
    """TF-IDF of words and word pairs that occur in two texts, as the baseline's."""
    if data.words is None:
        nothing = np.zeros((data.labels, 0))
        counts = np.bincount(data.golds, minlength=data.labels)
        return OnWords(weight, (), np.zeros(0), nothing, np.log(np.maximum(counts, 1e-7)))
    vectorizer, inputs = data.words
    coefficients, intercepts = _regression(inputs, data, choice.penalty)
    terms = tuple(map(str, vectorizer.get_feature_names_out()))
    return OnWords(weight, terms, vectorizer.idf_, coefficients, intercepts)


def _regression(inputs: Any, data: Data, penalty: float) -> tuple[Floats, Floats]:
    """Coefficients, shape (labels, inputs), and intercepts of the multinomial logistic model."""
    # BLAS sums in another order on another number of threads, and the last digits follow.
    with threadpool_limits(1, user_api="blas"):
        model = LogisticRegression(C=penalty, max_iter=2000).fit(inputs, data.golds)
    coefficients = np.zeros((data.labels, inputs.shape[1]))
    intercepts = np.full(data.labels, _LEAST)
    if len(model.classes_) == 2:  # One row for two classes: the log-odds of the second.
        coefficients[model.classes_] = np.vstack([-model.coef_, model.coef_]) / 2
        intercepts[model.classes_] = np.concatenate([-model.intercept_, model.intercept_]) / 2
    else:
        coefficients[model.classes_] = model.coef_
        intercepts[model.classes_] = model.intercept_
    return coefficients, intercepts
