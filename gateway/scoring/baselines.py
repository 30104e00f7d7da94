"""What a model has to beat to be worth running: the majority class, a linear model on words, and
one on the vectors of a small sentence encoder, where there is one.

All learn from the labelled training data alone, cost no tokens and are scored on the same items
as every cell. For numbers they are the median and ridge regressions. When a model is said to beat
one is decided as between two cells (`gateway.scoring.claims`).
"""

import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, NoReturn, TypeVar

import numpy as np
from scipy.sparse import csr_array

from gateway.core.errors import DataError
from gateway.core.types import Answer, TaskKind
from gateway.scoring.arrays import FloatArray
from gateway.scoring.contest import Design, hold
from gateway.scoring.results import MAJORITY, MEDIAN, AgainstBaseline, Prediction, Status
from gateway.scoring.scores import DEFAULT_RESAMPLES
from gateway.scoring.words import WordFeatures, word_features

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression, Ridge

TFIDF_LOGREG = "baseline:tfidf-logreg"
TFIDF_RIDGE = "baseline:tfidf-ridge"
ENCODER_LOGREG = "baseline:encoder-logreg"
ENCODER_RIDGE = "baseline:encoder-ridge"

Features = WordFeatures | FloatArray
Featuring = Callable[[Sequence[str], Sequence[str]], tuple[Features, Features]]
"""Training texts, test texts -> what a linear model reads of each."""
Encode = Callable[[Sequence[str]], FloatArray]
"""Texts -> vectors, shape (texts, width). That of a text does not depend on those beside it."""
Linear = TypeVar("Linear", "LogisticRegression", "Ridge")


@dataclass(frozen=True, slots=True)
class Example:
    """One item as a baseline sees it: its fields joined into one text, and its gold value."""

    item_id: str
    text: str
    gold: Answer | None
    """None is refused in training, and carried along in what is to be predicted."""


@dataclass(frozen=True, slots=True)
class _Guess:
    """Answers for the test items, with shares over the label set where the method has them."""

    answers: list[str]
    shares: FloatArray
    """Shape (items, labels)."""


@dataclass(frozen=True, slots=True)
class _Head:
    """A linear model's names and how it is regularised."""

    logistic: str
    ridge: str
    c: float
    """scikit-learn's C of the logistic regression: the inverse strength of the penalty."""
    alpha: float
    """The strength of ridge's penalty."""


_ON_WORDS = _Head(TFIDF_LOGREG, TFIDF_RIDGE, c=10.0, alpha=1.0)
# C by cross-validation on training items: issue reports .705, .714, .701, .696 for 1, 3, 10, 30.
_ON_VECTORS = _Head(ENCODER_LOGREG, ENCODER_RIDGE, c=3.0, alpha=1.0)

Classifier = Callable[[Sequence[str], Sequence[str], Sequence[str], Sequence[str]], _Guess]
"""Labels, training texts, training labels, test texts -> guess."""


def simple_baseline(
    task_kind: TaskKind,
    labels: Sequence[str],
    train: Sequence[Example],
    test: Sequence[Example],
) -> list[Prediction]:
    """The most frequent training label for every item (for numbers the median).

    Probabilities are the training frequencies. Of equally frequent labels the first in label order
    wins. Extraction: the most frequent value of each field (first in sorted order among equals).

    Raises:
        DataError: there is no training item, or one has a gold value that does not fit the task.
    """
    _require_train(train)
    match task_kind:
        case "number":
            middle = statistics.median(_numbers(train))
            return [_answered(MEDIAN, item, middle) for item in test]
        case "extraction":
            return _per_field(MAJORITY, _majority, train, test)
        case "classification":
            return _classified(MAJORITY, _majority, labels, train, test)


def tfidf_baseline(
    task_kind: TaskKind,
    labels: Sequence[str],
    train: Sequence[Example],
    test: Sequence[Example],
) -> list[Prediction]:
    """Logistic regression (for numbers ridge) on TF-IDF of words and word pairs. Of numbers that
    are never negative in training, ridge learns log(1 + x).

    Deterministic, on any number of threads. A label without a training item gets probability 0.
    Extraction: one model a field.

    Raises:
        DataError: as `simple_baseline`.
    """
    return _linear(_ON_WORDS, _of_words, task_kind, labels, train, test)


def encoder_baseline(
    task_kind: TaskKind,
    labels: Sequence[str],
    train: Sequence[Example],
    test: Sequence[Example],
    encode: Encode,
) -> list[Prediction]:
    """Logistic regression (for numbers ridge) on the vectors of a sentence encoder.

    Otherwise as `tfidf_baseline`. Each text is encoded once.
    """
    texts = list(dict.fromkeys(_texts([*train, *test])))
    row = {text: number for number, text in enumerate(texts)}
    vectors = encode(texts)

    def of(some: Sequence[str]) -> FloatArray:
        return vectors[[row[text] for text in some]]

    def features(train: Sequence[str], test: Sequence[str]) -> tuple[Features, Features]:
        return of(train), of(test)

    return _linear(_ON_VECTORS, features, task_kind, labels, train, test)


def all_baselines(
    task_kind: TaskKind,
    labels: Sequence[str],
    train: Sequence[Example],
    test: Sequence[Example],
    encode: Encode | None = None,
) -> dict[str, list[Prediction]]:
    """Cell name -> predictions of every baseline of the task kind, the simple one first.

    Args:
        encode: of a sentence encoder; None: there is no baseline on its vectors.

    Raises:
        DataError: as `simple_baseline`.
    """
    made = [
        simple_baseline(task_kind, labels, train, test),
        tfidf_baseline(task_kind, labels, train, test),
    ]
    if encode is not None:
        made.append(encoder_baseline(task_kind, labels, train, test, encode))
    return {cell[0].cell: cell for cell in made if cell}


def against_baselines(
    predictions: Sequence[Prediction],
    baselines: Mapping[str, Sequence[Prediction]],
    *,
    task_kind: TaskKind,
    labels: Sequence[str],
    metric: str,
    seed: int = 0,
    resamples: int = DEFAULT_RESAMPLES,
) -> tuple[AgainstBaseline, ...]:
    """Whether one cell beats each baseline, by how much, and how sure that is.

    Raises:
        DataError: predictions cannot be scored (see `score_cell`).
    """
    design = Design(metric, seed=seed, resamples=resamples)
    held = hold([predictions], baselines, design, task_kind=task_kind, labels=labels)
    (found,) = held.against.values()
    return found


# Majority class, linear models


def _majority(
    labels: Sequence[str], texts: Sequence[str], golds: Sequence[str], test: Sequence[str]
) -> _Guess:
    counts = Counter(golds)
    row = np.asarray([counts[label] / len(golds) for label in labels])
    most = labels[int(row.argmax())]
    return _Guess([most] * len(test), np.tile(row, (len(test), 1)))


def _linear(
    head: _Head,
    featuring: Featuring,
    task_kind: TaskKind,
    labels: Sequence[str],
    train: Sequence[Example],
    test: Sequence[Example],
) -> list[Prediction]:
    _require_train(train)
    logistic = partial(_logistic, head, featuring)
    match task_kind:
        case "number":
            estimates = _ridge(head, featuring, _texts(train), _numbers(train), _texts(test))
            return [
                _answered(head.ridge, item, estimate)
                for item, estimate in zip(test, estimates, strict=True)
            ]
        case "extraction":
            return _per_field(head.logistic, logistic, train, test)
        case "classification":
            return _classified(head.logistic, logistic, labels, train, test)


def _logistic(
    head: _Head,
    featuring: Featuring,
    labels: Sequence[str],
    texts: Sequence[str],
    golds: Sequence[str],
    test: Sequence[str],
) -> _Guess:
    if len(set(golds)) == 1 or not test:
        # One class leaves nothing to learn, and the solver refuses it.
        return _majority(labels, texts, golds, test)
    from sklearn.linear_model import LogisticRegression

    features, asked = featuring(texts, test)
    model = _fit(LogisticRegression(C=head.c, max_iter=2000, random_state=0), features, golds)
    shares = np.zeros((len(test), len(labels)))
    columns = [labels.index(label) for label in model.classes_]
    shares[:, columns] = model.predict_proba(asked)
    return _Guess([labels[i] for i in shares.argmax(axis=1).tolist()], shares)


def _ridge(
    head: _Head,
    featuring: Featuring,
    texts: Sequence[str],
    golds: Sequence[float],
    test: Sequence[str],
) -> list[float]:
    if not test:
        return []
    from sklearn.linear_model import Ridge

    features, asked = featuring(texts, test)
    ridge = Ridge(alpha=head.alpha, solver="lsqr", tol=1e-6, random_state=0)
    if min(golds) < 0:
        return [float(value) for value in _fit(ridge, features, golds).predict(asked)]
    # Amounts are skewed: the mean of their logarithms is near the median, where the absolute error
    # is least, and the mean is far above it.
    said = _fit(ridge, features, np.log1p(golds).tolist()).predict(asked)
    return [float(value) for value in np.maximum(np.expm1(said), 0.0)]


def _fit(model: Linear, features: Features, golds: Sequence[str] | Sequence[float]) -> Linear:
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    # BLAS sums in another order on another number of threads, and the last digits follow.
    with threadpool_limits(1, user_api="blas"):
        return model.fit(features, golds)


def _of_words(train: Sequence[str], test: Sequence[str]) -> tuple[Features, Features]:
    """Those of words and word pairs that occur in two training texts, learnt from `train` only."""
    found = word_features(train, fewest=min(2, len(train)))
    if found is None:
        # No word to go by: one empty column, so that the model falls back on its intercept.
        return csr_array((len(train), 1)), csr_array((len(test), 1))
    vectorizer, features = found
    return features, vectorizer.transform(test)


# From and to predictions


def _classified(
    cell: str,
    classifier: Classifier,
    labels: Sequence[str],
    train: Sequence[Example],
    test: Sequence[Example],
) -> list[Prediction]:
    guess = classifier(labels, _texts(train), _labels(train, labels), _texts(test))
    return [
        replace(
            _answered(cell, item, answer),
            probabilities=dict(zip(labels, row, strict=True)),
        )
        for item, answer, row in zip(test, guess.answers, guess.shares.tolist(), strict=True)
    ]


def _per_field(
    cell: str, classifier: Classifier, train: Sequence[Example], test: Sequence[Example]
) -> list[Prediction]:
    answers: list[dict[str, str]] = [{} for _ in test]
    golds = [_fields(item) for item in train]
    for key in sorted({key for gold in golds for key in gold}):
        known = [
            (item.text, gold[key]) for item, gold in zip(train, golds, strict=True) if key in gold
        ]
        texts, values = [text for text, _ in known], [value for _, value in known]
        guess = classifier(sorted(set(values)), texts, values, _texts(test))
        for answer, value in zip(answers, guess.answers, strict=True):
            answer[key] = value
    return [_answered(cell, item, answer) for item, answer in zip(test, answers, strict=True)]


def _answered(cell: str, item: Example, answer: Answer) -> Prediction:
    return Prediction(
        cell=cell, item_id=item.item_id, status=Status.OK, answer=answer, gold=item.gold
    )


def _texts(items: Sequence[Example]) -> list[str]:
    return [item.text for item in items]


def _require_train(train: Sequence[Example]) -> None:
    if not train:
        raise DataError(
            "a baseline needs labelled training items and got none",
            hint="give a file of them with --train",
        )


def _labels(train: Sequence[Example], labels: Sequence[str]) -> list[str]:
    known = set(labels)
    return [
        item.gold if isinstance(item.gold, str) and item.gold in known else _unfit(item, "a label")
        for item in train
    ]


def _numbers(train: Sequence[Example]) -> list[float]:
    return [
        float(item.gold)
        if isinstance(item.gold, int | float) and np.isfinite(item.gold)
        else _unfit(item, "a finite number")
        for item in train
    ]


def _fields(item: Example) -> Mapping[str, str]:
    return item.gold if isinstance(item.gold, Mapping) else _unfit(item, "a set of fields")


def _unfit(item: Example, expected: str) -> NoReturn:
    raise DataError(
        f"the gold value {item.gold!r} of training item {item.item_id!r} is not {expected}"
    )
