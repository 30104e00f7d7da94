"""Predictions -> metrics with seeded bootstrap intervals.

A metric is a `Statistic`: a function of resampled item indices. Its point estimate is its value on
the items as they are, its 95% interval the percentiles of its values on resamples (percentile
bootstrap: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13), and a paired
comparison evaluates two cells' statistics on the same indices. Each works on counts for many
resamples at once, and the tests hold it equal to scikit-learn's value on every single one.

An item without a read answer is an abstention. It is never dropped in silence: it is not right
(accuracy, exact_match, within_one), it lowers the recall of its class, it is a false positive of
none, and as an error it is charged what the trivial baseline errs there. Metrics over answered
items alone (`ANSWERED_ONLY`) stand beside `coverage`.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.sparse import csr_array
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from gateway.core.errors import ConfigError, DataError
from gateway.core.types import TaskKind
from gateway.scoring.results import (
    CellScore,
    CellTimings,
    ClassScore,
    Confusion,
    Metric,
    Prediction,
    ReliabilityBin,
    Status,
)
from gateway.scoring.statistic import (
    BoolArray,
    FloatArray,
    IntArray,
    ItemStatistic,
    mean,
    median,
    ratio,
    resample_weights,
    resampled,
    share,
)

Statistic = Callable[[IntArray], FloatArray]
"""Item indices, shape (resamples, items) -> values, shape (resamples,); NaN where undefined."""

ANSWERED_ONLY = frozenset(
    {"accuracy_answered", "log_loss", "brier", "ece", "mae_answered", "median_ae_answered"}
)
"""Metrics over items with an answer."""
ON_COMMON_ITEMS = ANSWERED_ONLY | {"mae", "median_ae"}
"""Metrics on which two cells are compared only where both answered: of errors, so that neither
what a cell left out nor what it is charged for that decides between two answers."""
WITHOUT_INTERVAL = frozenset({"ece"})
"""Resampling adds noise to every bin and |gap| only grows with noise, so resampled values lie
above the estimate and their percentiles would be no interval for it (Vaicenavicius et al. 2019)."""

DEFAULT_RESAMPLES = 2000
BINS = 15
"""Equal-width confidence bins, after Guo et al. 2017 ("On Calibration of Modern Neural
Networks")."""

_EDGES = np.linspace(0.0, 1.0, BINS + 1)
_ONE = 1.0 + 1e-9
"""Within one, with room for the rounding of 3.1 - 2.1."""
_EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, slots=True)
class TimedItem:
    """What one item cost."""

    latency_s: float
    """From asking to the answer."""
    wall_s: float
    """Its share of what the cell took: items may run side by side."""
    tokens: int
    """Prompt and completion together."""
    right: bool | None
    """As `is_right` says."""


def score_cell(
    name: str,
    kind: Literal["model", "baseline"],
    task_kind: TaskKind,
    labels: Sequence[str],
    predictions: Sequence[Prediction],
    *,
    seed: int = 0,
    resamples: int = DEFAULT_RESAMPLES,
    details: Mapping[str, str] | None = None,
    trivial: float | None = None,
    clusters: IntArray | None = None,
    table: Mapping[str, ItemStatistic] | None = None,
) -> CellScore:
    """Score one cell of the grid.

    Args:
        labels: the label set in its own order; read for classification only.
        predictions: one an item, in any order: they are sorted by item id first.
        resamples: bootstrap resamples; 0 leaves the intervals out.
        details: for display, copied into the score.
        trivial: as `statistics`.
        clusters: the cluster of each item, in the order of item ids; None: each is its own.
        table: the `statistics` of the predictions, where they are known.

    Raises:
        DataError: there are no predictions, an item occurs twice or has no gold value, or a gold
            value, answer or probability does not fit the task.
        ConfigError: a classification task has fewer than two labels.
    """
    items = ordered(predictions)
    metrics = estimates(
        table or statistics(task_kind, labels, items, trivial=trivial),
        len(items),
        seed=seed,
        resamples=resamples,
        clusters=clusters,
    )
    classification = task_kind == "classification"
    return CellScore(
        name=name,
        kind=kind,
        n=len(items),
        statuses=_status_counts(items),
        metrics=metrics,
        per_class=_per_class(labels, items) if classification else (),
        confusion=_confusion(labels, items) if classification else None,
        reliability=_reliability(labels, items) if classification else (),
        prompt_tokens=sum(item.prompt_tokens for item in items),
        completion_tokens=sum(item.completion_tokens for item in items),
        tokens_evaluated=sum(item.tokens_evaluated for item in items),
        tokens_per_correct=_tokens_per_correct(items, task_kind),
        exact=all(item.exact for item in items),
        details=dict(details or {}),
    )


def is_right(prediction: Prediction, task_kind: TaskKind) -> bool | None:
    """Whether the answer is right; None where nothing was answered or the gold value is unknown.

    Classification: the gold label. Extraction: every field that the gold value names; fields that
    it does not name are not judged. Number: at most one away, as the metric within_one, because
    equality of an estimate with its gold value is mostly luck.
    """
    if prediction.status is not Status.OK or prediction.gold is None:
        return None
    if task_kind == "number":
        return abs(_number(prediction) - _gold_number(prediction)) <= _ONE
    if task_kind == "extraction":
        answer = _fields(prediction)
        return all(answer.get(key) == value for key, value in _gold_fields(prediction).items())
    return prediction.answer == prediction.gold


def timings(name: str, rows: Sequence[TimedItem]) -> CellTimings:
    """Latency and cost of one cell.

    `total_s` is the cell's wall clock, also where items ran side by side. `tokens_per_s` is tokens
    over `total_s`, and 0 where no time was measured.

    Raises:
        DataError: there are no rows.
    """
    if not rows:
        raise DataError(f"{name}: no item was timed", hint="run the cell first")
    seconds = np.asarray([row.latency_s for row in rows])
    total = math.fsum(row.wall_s for row in rows)
    right = sum(row.right is True for row in rows)
    return CellTimings(
        name=name,
        n=len(rows),
        p50_s=float(np.percentile(seconds, 50)),
        p95_s=float(np.percentile(seconds, 95)),
        total_s=total,
        seconds_per_correct=total / right if right else None,
        tokens_per_s=sum(row.tokens for row in rows) / total if total else 0.0,
    )


def ordered(predictions: Sequence[Prediction]) -> tuple[Prediction, ...]:
    """The predictions by item id, so that the order of arrival changes nothing.

    Raises:
        DataError: there are none, an item occurs twice, or one has no gold value.
    """
    if not predictions:
        raise DataError("there are no predictions to score", hint="run the cell first")
    items = tuple(sorted(predictions, key=lambda item: item.item_id))
    for item_id, count in Counter(item.item_id for item in items).items():
        if count > 1:
            raise DataError(f"item {item_id!r} was predicted {count} times by one cell")
    for item in items:
        if item.gold is None:
            raise DataError(
                f"item {item.item_id!r} has no gold value, so nothing can be scored",
                hint="give the column of the labels, or use `gateway classify`",
            )
    return items


# Bootstrap


def estimates(
    table: Mapping[str, ItemStatistic],
    n: int,
    *,
    seed: int,
    resamples: int,
    clusters: IntArray | None = None,
) -> dict[str, Metric]:
    """Point estimates and 95% percentile intervals; undefined statistics are absent.

    Args:
        table: the statistics, each of the same `n` items.
        clusters: as `resample_weights`.
    """
    values = {name: statistic.estimate() for name, statistic in table.items()}
    defined = {name: value for name, value in values.items() if not math.isnan(value)}
    asked = {name: table[name] for name in table if name in defined.keys() - WITHOUT_INTERVAL}
    drawn = resampled(asked, n, resamples, seed=seed, clusters=clusters)
    return {
        name: Metric(value, *interval([drawn[name]] if name in drawn else []))
        for name, value in defined.items()
    }


def class_f1(
    labels: Sequence[str],
    predictions: Sequence[Prediction],
    *,
    seed: int = 0,
    resamples: int = DEFAULT_RESAMPLES,
) -> dict[str, Metric]:
    """F1 of each class with its 95% interval over items; a class that is neither asked for nor
    answered is absent.

    Args:
        labels, predictions, resamples: as `score_cell`, which draws the same resamples.

    Raises:
        DataError, ConfigError: as `score_cell`.
    """
    items = ordered(predictions)
    n = len(items)
    each = _f1_of_classes(*_codes(labels, items), len(labels))
    values = each.value(each.total())[:, 0]
    drawn = [each.weighted(weights) for weights in resample_weights(n, resamples, seed=seed)]
    return {
        label: Metric(float(value), *interval([part[i] for part in drawn]))
        for i, (label, value) in enumerate(zip(labels, values, strict=True))
        if not math.isnan(value)
    }


def point_estimate(statistic: Statistic, n: int) -> float:
    """The statistic of the `n` items as they are."""
    return float(statistic(np.arange(n)[np.newaxis, :])[0])


def interval(drawn: Sequence[FloatArray]) -> tuple[float, float] | tuple[None, None]:
    """The central 95% of resampled values; resamples in which the value is undefined are left out.

    Nothing drawn or nothing defined: (None, None).
    """
    values = np.concatenate(drawn) if drawn else np.empty(0)
    values = values[~np.isnan(values)]
    if not values.size:
        return None, None
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


# Statistics


def statistics(
    task_kind: TaskKind,
    labels: Sequence[str],
    items: Sequence[Prediction],
    *,
    trivial: float | None = None,
) -> dict[str, ItemStatistic]:
    """Every metric of the task kind, by the names listed at `CellScore.metrics`.

    What each counts, and what an item without an answer counts in it: `gateway.scoring.estimands`.

    Args:
        items: as `ordered` returns them.
        trivial: of a number task, the answer whose error an item without one is charged with;
            None: the median of the items' own gold values.

    Raises:
        DataError, ConfigError: as `score_cell`.
    """
    match task_kind:
        case "classification":
            return _classification(labels, items)
        case "number":
            return _number_errors(items, trivial) | _answering(items)
        case "extraction":
            return _extraction(items) | _answering(items)


def _answering(items: Sequence[Prediction]) -> dict[str, ItemStatistic]:
    answered = _answered(items)
    unparsed = np.asarray([item.status is Status.UNPARSED for item in items])
    return {
        "coverage": mean(answered),
        "conformance": mean(answered, among=answered | unparsed),
    }


def _classification(labels: Sequence[str], items: Sequence[Prediction]) -> dict[str, ItemStatistic]:
    gold, answer = _codes(labels, items)
    table = _of_confusion(gold, answer, items, len(labels))
    if any(item.probabilities is not None for item in items):
        table |= _of_shares(labels, gold, answer, items)
    return table


def _of_confusion(
    gold: IntArray, answer: IntArray, items: Sequence[Prediction], classes: int
) -> dict[str, ItemStatistic]:
    """Metrics of the counts of gold and answer. Behind the labels, an answer of `classes` is an
    unparsed one, and one more any other that is lacking."""
    unparsed = np.asarray([item.status is Status.UNPARSED for item in items])
    seen = gold * (classes + 2) + np.where((answer == classes) & ~unparsed, classes + 1, answer)
    occurring, codes = np.unique(seen, return_inverse=True)
    of, by = np.divmod(occurring, classes + 2)
    right, answered, written = of == by, by < classes, by <= classes

    def among(counted: BoolArray, of: BoolArray) -> ItemStatistic:
        rows = csr_array(np.column_stack([counted & of, of]).astype(np.float64))
        return ItemStatistic(codes, rows, share)

    every = np.ones(len(of), dtype=np.bool_)
    f1 = ItemStatistic(codes, _f1_features(of, by, classes), _macro)
    return {
        "macro_f1": f1,
        "weighted_f1": replace(f1, value=_weighted),
        "accuracy": among(right, every),
        "accuracy_answered": among(right, answered),
        "coverage": among(answered, every),
        "conformance": among(answered, written),
    }


def _f1_features(gold: IntArray, answer: IntArray, classes: int) -> csr_array:
    """Whether each code is of a class, answered by it, and both; shape (codes, 3 * classes)."""
    at = np.arange(len(gold))
    answered, hit = answer < classes, gold == answer
    rows = np.concatenate([at, at[answered], at[hit]])
    columns = np.concatenate([gold, classes + answer[answered], 2 * classes + gold[hit]])
    return csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(gold), 3 * classes))


def _macro(sums: FloatArray) -> FloatArray:
    """Mean F1 of the classes that gold values have.

    A class that no gold value has is none of the question, so that it is the same mean for every
    cell: a stray answer of it is an error where it was given, and takes nothing else with it.
    """
    scores, support = _f1(sums)
    present = support > 0
    return ratio((scores * present).sum(axis=0), present.sum(axis=0))


def _weighted(sums: FloatArray) -> FloatArray:
    """As `_macro`, each class by its items."""
    scores, support = _f1(sums)
    return ratio((scores * support).sum(axis=0), support.sum(axis=0))


def _f1(sums: FloatArray) -> tuple[FloatArray, FloatArray]:
    """F1, 0 where a class is neither asked for nor answered, and support."""
    support, answers, hits = np.split(sums, 3)
    return np.nan_to_num(ratio(2 * hits, support + answers)), support


def _of_shares(
    labels: Sequence[str], gold: IntArray, answer: IntArray, items: Sequence[Prediction]
) -> dict[str, ItemStatistic]:
    """Metrics of the labels' probabilities."""
    shares = _shares(labels, items)
    scored = ~np.isnan(shares[:, 0])
    truth = np.eye(len(labels))[gold]
    # A share of zero for what came true costs 36 nats, as in scikit-learn, rather than infinity.
    losses = -np.log(np.clip(shares[np.arange(len(items)), gold], _EPS, 1.0))
    return {
        "log_loss": mean(losses, among=scored),
        "brier": mean(((shares - truth) ** 2).sum(axis=1), among=scored),
        "ece": _ece(shares.max(axis=1), gold == answer, among=scored),
    }


def _number_errors(items: Sequence[Prediction], trivial: float | None) -> dict[str, ItemStatistic]:
    answered, errors = _answered(items), absolute_errors(items)
    charged = charged_errors(items, errors, trivial)
    return {
        "mae": mean(charged),
        "mae_answered": mean(errors, among=answered),
        "median_ae": median(charged),
        "median_ae_answered": median(errors, among=answered),
        "within_one": mean(_right(items, "number")),
    }


def _extraction(items: Sequence[Prediction]) -> dict[str, ItemStatistic]:
    golds = [_gold_fields(item) for item in items]
    answers = [_fields(item) if item.status is Status.OK else {} for item in items]
    table = {"exact_match": mean(_right(items, "extraction"))}
    for key in sorted({key for gold in golds for key in gold}):
        named = np.asarray([key in gold for gold in golds])
        equal = np.asarray(
            [
                key in gold and answer.get(key) == gold[key]
                for gold, answer in zip(golds, answers, strict=True)
            ]
        )
        table[f"field:{key}"] = mean(equal, among=named)
    return table


def _f1_of_classes(gold: IntArray, answer: IntArray, classes: int) -> ItemStatistic:
    """F1 of each class, shape (classes, resamples); NaN where it is neither asked for nor
    answered."""
    occurring, codes = np.unique(gold * (classes + 1) + answer, return_inverse=True)
    of, by = np.divmod(occurring, classes + 1)

    def each(sums: FloatArray) -> FloatArray:
        support, answers, hits = np.split(sums, 3)
        return ratio(2 * hits, support + answers)

    return ItemStatistic(codes, _f1_features(of, by, classes), each)


def _ece(confidence: FloatArray, right: BoolArray, *, among: BoolArray) -> ItemStatistic:
    bins = np.where(among, _bin_of(confidence), BINS)
    gaps = np.where(among, right - confidence, 0.0)
    at = np.arange(len(bins))
    features = csr_array(
        (np.append(gaps, among), (np.append(at, at), np.append(bins, np.full(len(at), BINS + 1)))),
        shape=(len(bins), BINS + 2),
    )
    return ItemStatistic(
        at, features, lambda sums: ratio(np.abs(sums[:BINS]).sum(axis=0), sums[-1])
    )


# Reading predictions


def absolute_errors(items: Sequence[Prediction]) -> FloatArray:
    """|answer - gold| of a number task, shape (items,); NaN where nothing was answered.

    Raises:
        DataError: a gold value or an answer is not a finite number.
    """
    golds = [_gold_number(item) for item in items]
    return np.asarray(
        [
            abs(_number(item) - gold) if item.status is Status.OK else math.nan
            for item, gold in zip(items, golds, strict=True)
        ]
    )


def charged_errors(
    items: Sequence[Prediction], errors: FloatArray, trivial: float | None
) -> FloatArray:
    """The errors, and where nothing was answered that of the trivial answer instead."""
    golds = np.asarray([_gold_number(item) for item in items])
    instead = float(np.median(golds)) if trivial is None else trivial
    return np.where(np.isnan(errors), np.abs(golds - instead), errors)


def _answered(items: Sequence[Prediction]) -> BoolArray:
    return np.asarray([item.status is Status.OK for item in items])


def _right(items: Sequence[Prediction], task_kind: TaskKind) -> BoolArray:
    return np.asarray([is_right(item, task_kind) is True for item in items])


def _codes(labels: Sequence[str], items: Sequence[Prediction]) -> tuple[IntArray, IntArray]:
    """Gold and answer as positions in `labels`; len(labels) stands for an abstention."""
    if len(labels) < 2 or len(set(labels)) != len(labels):
        raise ConfigError(
            f"a classification needs at least two distinct labels, not {tuple(labels)!r}",
            hint="name the labels in task.toml",
        )
    code = {label: position for position, label in enumerate(labels)}
    gold = [_code(code, item, "gold value", item.gold) for item in items]
    answer = [
        _code(code, item, "answer", item.answer) if item.status is Status.OK else len(labels)
        for item in items
    ]
    return np.asarray(gold, dtype=np.int64), np.asarray(answer, dtype=np.int64)


def _code(code: Mapping[str, int], item: Prediction, what: str, value: object) -> int:
    if not isinstance(value, str) or value not in code:
        raise DataError(
            f"the {what} {value!r} of item {item.item_id!r} is none of the {len(code)} labels",
            hint=f"the labels are {', '.join(list(code)[:10])}{', ...' if len(code) > 10 else ''}",
        )
    return code[value]


def _shares(labels: Sequence[str], items: Sequence[Prediction]) -> FloatArray:
    """Probabilities in label order, shape (items, labels); NaN rows where there are none."""
    table = np.full((len(items), len(labels)), np.nan)
    for row, item in enumerate(items):
        if item.status is Status.OK and item.probabilities is not None:
            table[row] = _share_row(labels, item, item.probabilities)
    return table


def _share_row(
    labels: Sequence[str], item: Prediction, probabilities: Mapping[str, float]
) -> FloatArray:
    row = np.asarray([probabilities.get(label, math.nan) for label in labels])
    total = row.sum()
    # Written so that a NaN fails too.
    sound = len(probabilities) == len(labels) and (row >= 0).all() and abs(total - 1.0) <= 1e-6
    if not sound:
        raise DataError(
            f"the probabilities of item {item.item_id!r} are not a distribution over the labels",
            hint="they need one entry a label, none negative, and the sum 1",
        )
    return np.asarray(row / total, dtype=np.float64)


def _gold_number(item: Prediction) -> float:
    return _finite(item, "gold value", item.gold)


def _number(item: Prediction) -> float:
    return _finite(item, "answer", item.answer)


def _finite(item: Prediction, what: str, value: object) -> float:
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise DataError(f"the {what} {value!r} of item {item.item_id!r} is not a finite number")
    return float(value)


def _gold_fields(item: Prediction) -> Mapping[str, str]:
    fields = _mapping(item, "gold value", item.gold)
    if not fields:
        raise DataError(f"the gold value of item {item.item_id!r} names no field")
    return fields


def _fields(item: Prediction) -> Mapping[str, str]:
    return _mapping(item, "answer", item.answer)


def _mapping(item: Prediction, what: str, value: object) -> Mapping[str, str]:
    if not isinstance(value, Mapping):
        raise DataError(f"the {what} {value!r} of item {item.item_id!r} is not a set of fields")
    return value


# Tables


def _status_counts(items: Sequence[Prediction]) -> dict[str, int]:
    counts = Counter(item.status for item in items)
    return {status.value: counts[status] for status in Status}


def _tokens_per_correct(items: Sequence[Prediction], task_kind: TaskKind) -> float | None:
    right = int(_right(items, task_kind).sum())
    tokens = sum(item.prompt_tokens + item.completion_tokens for item in items)
    return tokens / right if right else None


def _per_class(labels: Sequence[str], items: Sequence[Prediction]) -> tuple[ClassScore, ...]:
    """One row a label; 0 where a ratio has nothing below its line, as such tables have it."""
    gold, answer = _codes(labels, items)
    precision, recall, f1, support = precision_recall_fscore_support(
        gold, answer, labels=range(len(labels)), zero_division=0.0
    )
    return tuple(
        ClassScore(label, float(precision[i]), float(recall[i]), float(f1[i]), int(support[i]))
        for i, label in enumerate(labels)
    )


def _confusion(labels: Sequence[str], items: Sequence[Prediction]) -> Confusion:
    gold, answer = _codes(labels, items)
    # The last row would be items whose gold value is an abstention: there are none.
    counts = confusion_matrix(gold, answer, labels=range(len(labels) + 1))[:-1]
    return Confusion(tuple(labels), tuple(tuple(row) for row in counts.tolist()))


def _reliability(labels: Sequence[str], items: Sequence[Prediction]) -> tuple[ReliabilityBin, ...]:
    """The bins that hold a prediction, by confidence; empty ones have no mean to show."""
    shares = _shares(labels, items)
    scored = ~np.isnan(shares[:, 0])
    confidence = shares[scored].max(axis=1)
    right = _right(items, "classification")[scored]
    bins = _bin_of(confidence)
    return tuple(
        ReliabilityBin(
            low=float(_EDGES[i]),
            high=float(_EDGES[i + 1]),
            count=int((bins == i).sum()),
            mean_confidence=float(confidence[bins == i].mean()),
            accuracy=float(right[bins == i].mean()),
        )
        for i in np.unique(bins).tolist()
    )


def _bin_of(confidence: FloatArray) -> IntArray:
    """The bin (low, high] of each confidence; NaN is in none, and must be masked by the caller."""
    clipped = np.clip(confidence, _EPS, 1.0)
    return (np.digitize(clipped, _EDGES, right=True) - 1).astype(np.int64)
