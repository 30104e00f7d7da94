"""Predictions -> metrics with their intervals.

A metric is an `ItemStatistic`: a function of what is summed over items. A cell's own interval is in
closed form (`gateway.scoring.intervals`), and a paired comparison resamples two cells' statistics
alike. The tests hold each equal to scikit-learn's value on every resample.

An item without a read answer is an abstention. It is never dropped in silence: it is not right
(accuracy, exact_match, within_one), it lowers the recall of its class, it is a false positive of
none, and as an error it is charged what the trivial baseline errs there. Metrics over answered
items alone (`ANSWERED_ONLY`) stand beside `coverage`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar, overload

import numpy as np
from scipy.sparse import csr_array

from gateway.core.columned import column_of
from gateway.core.errors import DataError
from gateway.core.types import TaskKind
from gateway.scoring import calibration
from gateway.scoring.arrays import BoolArray, FloatArray, IntArray
from gateway.scoring.confusions import (
    agreeing,
    counts_of_classes,
    macro_f1,
    of_label,
    quadratic,
    value_of,
    weighted_f1,
    weighted_kappa,
)
from gateway.scoring.estimates import estimates
from gateway.scoring.items import Items, answered_fields, gold_fields, ordered
from gateway.scoring.metrics import ANSWERED_ONLY
from gateway.scoring.rankings import AREAS, Area, each_ranked, mean_of, ranked
from gateway.scoring.results import (
    MOST_DENSE,
    CellScore,
    CellTimings,
    ClassScore,
    Confusion,
    Metric,
    Prediction,
    ReliabilityBin,
    SparseConfusion,
    Status,
)
from gateway.scoring.statistic import ItemStatistic, mean, median, ratio, share

Costs = Mapping[str, Mapping[str, float]]
"""Gold label -> answer -> what it costs."""
Other = TypeVar("Other")

Statistic = Callable[[IntArray], FloatArray]
"""Item indices, shape (resamples, items) -> values, shape (resamples,); NaN where undefined."""

ON_COMMON_ITEMS = ANSWERED_ONLY | {"mae", "median_ae"}
"""Metrics on which two cells are compared only where both answered: of errors, so that neither
what a cell left out nor what it is charged for that decides between two answers."""
DEFAULT_RESAMPLES = 2000
BINS = 15
"""Equal-width confidence bins, after Guo et al. 2017 ("On Calibration of Modern Neural
Networks")."""

_EDGES = np.linspace(0.0, 1.0, BINS + 1)
_EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, slots=True)
class TimedItem:
    """What one item cost."""

    latency_s: float
    """From asking to the answer."""
    wall_s: float
    """Its share of what the cell took: items may run side by side."""
    tokens: int
    """That a computation without any cache forwards."""
    cached: int | None
    """Those of them that were in memory already; None: not known."""
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
        clusters=clusters,
        worst=_worst(task_kind, labels, items, trivial),
        with_intervals=resamples > 0,
    )
    classification = task_kind == "classification"
    if "ece" in metrics:
        metrics |= _calibration(labels, items)
    return CellScore(
        name=name,
        kind=kind,
        n=len(items),
        statuses=_status_counts(items),
        metrics=metrics,
        per_class=_per_class(labels, items) if classification else (),
        confusion=_confusion(labels, items) if classification else None,
        reliability=_reliability(labels, items) if classification else (),
        prompt_tokens=sum(items.columns.prompt_tokens),
        completion_tokens=sum(items.columns.completion_tokens),
        tokens_evaluated=sum(items.columns.tokens_evaluated),
        tokens_per_correct=_tokens_per_correct(items, task_kind),
        exact=not items.inexact,
        details=dict(details or {}),
    )


def timings(name: str, rows: Sequence[TimedItem]) -> CellTimings:
    """Latency and cost of one cell.

    `total_s` is the cell's wall clock, also where items ran side by side. `tokens_per_s` is of the
    tokens that went through the model, and None where no time was measured or some item does not
    say what was cached.

    Raises:
        DataError: there are no rows.
    """
    if not rows:
        raise DataError(f"{name}: no item was timed", hint="run the cell first")
    seconds = np.asarray(column_of(rows, "latency_s"))
    total = math.fsum(column_of(rows, "wall_s"))
    right = sum(each is True for each in column_of(rows, "right"))
    read, in_memory = sum(column_of(rows, "tokens")), column_of(rows, "cached")
    cached = None if None in in_memory else sum(in_memory)
    return CellTimings(
        name=name,
        n=len(rows),
        p50_s=float(np.percentile(seconds, 50)),
        p95_s=float(np.percentile(seconds, 95)),
        total_s=total,
        seconds_per_correct=total / right if right else None,
        tokens_per_s=(read - cached) / total if total and cached is not None else None,
        tokens_read=read,
        tokens_cached=cached,
    )


def class_f1(
    labels: Sequence[str],
    predictions: Sequence[Prediction],
    *,
    resamples: int = DEFAULT_RESAMPLES,
    clusters: IntArray | None = None,
) -> dict[str, Metric]:
    """F1 of each class with its 95% interval over items; a class that is neither asked for nor
    answered is absent.

    Args:
        labels, predictions, resamples, clusters: as `score_cell`.

    Raises:
        DataError, ConfigError: as `score_cell`.
    """
    items = ordered(predictions)
    table = _classification(labels, items, None, cells=1)
    named = {f"f1:{label}": table[f"f1:{label}"] for label in labels}
    found = estimates(named, clusters=clusters, with_intervals=resamples > 0)
    return {label: found[f"f1:{label}"] for label in labels if f"f1:{label}" in found}


def point_estimate(statistic: Statistic, n: int) -> float:
    """The statistic of the `n` items as they are."""
    return float(statistic(np.arange(n)[np.newaxis, :])[0])


# Statistics


def statistics(
    task_kind: TaskKind,
    labels: Sequence[str],
    items: Sequence[Prediction],
    *,
    trivial: float | None = None,
    costs: Costs | None = None,
    cells: int = 1,
) -> dict[str, ItemStatistic]:
    """Every metric of the task kind, by the names listed at `CellScore.metrics`.

    What each counts, and what an item without an answer counts in it: `gateway.scoring.estimands`.

    Args:
        items: as `ordered` returns them.
        trivial: of a number task, the answer whose error an item without one is charged with;
            None: the median of the items' own gold values.
        costs: gold label -> answer -> what that costs; what is not named costs nothing.
        cells: that answered the items: all of the first one's, then as many of the next's.

    Returns:
        A table that also makes what it is asked for: mcc, balanced_accuracy, quadratic_kappa,
        cost, roc_auc and pr_auc, and of one class precision:LABEL, recall:LABEL, f1:LABEL,
        f2:LABEL (any beta), roc_auc:LABEL and pr_auc:LABEL.

    Raises:
        DataError, ConfigError: as `score_cell`.
    """
    read = items if isinstance(items, Items) else Items(items)
    match task_kind:
        case "classification":
            return _classification(labels, read, costs, cells)
        case "number":
            return _number_errors(read, trivial) | _answering(read)
        case "extraction":
            return _extraction(read) | _answering(read)


def _answering(items: Items) -> dict[str, ItemStatistic]:
    answered = items.answered
    unparsed = items.of_status(Status.UNPARSED)
    return {
        "coverage": mean(answered),
        "conformance": mean(answered, among=answered | unparsed),
    }


class Table(dict[str, ItemStatistic]):
    """The metrics of a cell: those that every report has, and others as they are asked for."""

    def __init__(
        self,
        always: Mapping[str, ItemStatistic],
        asked: Callable[[str], ItemStatistic | None],
    ) -> None:
        super().__init__(always)
        self._asked = asked

    def __missing__(self, name: str) -> ItemStatistic:
        found = self._asked(name)
        if found is None:
            raise KeyError(name)
        self[name] = found
        return found

    @overload
    def get(self, name: str, default: None = None, /) -> ItemStatistic | None: ...
    @overload
    def get(self, name: str, default: Other, /) -> ItemStatistic | Other: ...
    def get(self, name: str, default: object = None, /) -> object:
        try:
            return self[name]
        except KeyError:
            return default


def _classification(
    labels: Sequence[str], items: Items, costs: Costs | None, cells: int
) -> dict[str, ItemStatistic]:
    gold, answer = items.codes(labels)
    table = _of_confusion(gold, answer, items, len(labels))
    if any(shares is not None for shares in items.columns.probabilities):
        table |= _of_shares(labels, gold, answer, items)

    def asked(name: str) -> ItemStatistic | None:
        family, _, label = name.partition(":")
        if label and label not in labels:
            return None
        at = labels.index(label) if label else None
        if family in AREAS:
            return _area(gold, each_ranked(items.shares(labels), cells), AREAS[family], at)
        if family == "cost":
            return None if costs is None else _cost(labels, gold, answer, costs)
        if family == "quadratic_kappa":
            return _quadratic_kappa(gold, answer, len(labels))
        if at is not None:
            return of_label(table["macro_f1"], family, at)
        value = value_of(family)
        return None if value is None else replace(table["macro_f1"], value=value)

    return Table(table, asked)


def _area(
    gold: IntArray, shares: FloatArray, area: Area, label: int | None
) -> ItemStatistic | None:
    """Of one label, or the mean over those that gold values have, each against the others."""
    if label is not None:
        return ranked(shares[:, label], gold == label, area)
    each = [ranked(shares[:, k], gold == k, area) for k in np.unique(gold).tolist()]
    return mean_of(each) if len(each) > 1 else None


def _quadratic_kappa(gold: IntArray, answer: IntArray, classes: int) -> ItemStatistic:
    """Of labels in their order; an item without an answer is as far off as its label allows."""
    farthest = np.where(gold * 2 < classes - 1, classes - 1, 0)
    given = np.where(answer < classes, answer, farthest)
    apart = quadratic(classes)
    return agreeing(gold, given, classes, weighted_kappa(apart), apart)


def _cost(labels: Sequence[str], gold: IntArray, answer: IntArray, costs: Costs) -> ItemStatistic:
    """Mean cost; no answer costs what the worst one does."""
    table = np.asarray(
        [[float(costs.get(g, {}).get(a, 0.0)) for a in labels] for g in labels], dtype=np.float64
    )
    table = np.column_stack([table, table.max(axis=1)])
    found = mean(table[gold, np.minimum(answer, len(labels))])
    return replace(found, most=float(table.max()))


def _of_confusion(
    gold: IntArray, answer: IntArray, items: Items, classes: int
) -> dict[str, ItemStatistic]:
    """Metrics of the counts of gold and answer. Behind the labels, an answer of `classes` is an
    unparsed one, and one more any other that is lacking."""
    unparsed = items.of_status(Status.UNPARSED)
    seen = gold * (classes + 2) + np.where((answer == classes) & ~unparsed, classes + 1, answer)
    occurring, codes = np.unique(seen, return_inverse=True)
    of, by = np.divmod(occurring, classes + 2)
    right, answered, written = of == by, by < classes, by <= classes

    def among(counted: BoolArray, of: BoolArray) -> ItemStatistic:
        rows = csr_array(np.column_stack([counted & of, of]).astype(np.float64))
        return ItemStatistic(codes, rows, share)

    every = np.ones(len(of), dtype=np.bool_)
    f1 = ItemStatistic(codes, counts_of_classes(of, by, classes), macro_f1)
    return {
        "macro_f1": f1,
        "weighted_f1": replace(f1, value=weighted_f1),
        "accuracy": among(right, every),
        "accuracy_answered": among(right, answered),
        "coverage": among(answered, every),
        "conformance": among(answered, written),
    }


def _of_shares(
    labels: Sequence[str], gold: IntArray, answer: IntArray, items: Items
) -> dict[str, ItemStatistic]:
    """Metrics of the labels' probabilities."""
    shares = items.shares(labels)
    scored = ~np.isnan(shares[:, 0])
    truth = np.eye(len(labels))[gold]
    # A share of zero for what came true costs 36 nats, as in scikit-learn, rather than infinity.
    losses = -np.log(np.clip(shares[np.arange(len(items)), gold], _EPS, 1.0))
    return {
        "log_loss": mean(losses, among=scored),
        "brier": mean(((shares - truth) ** 2).sum(axis=1), among=scored),
        "ece": _ece(shares.max(axis=1), gold == answer, among=scored),
    }


def _number_errors(items: Items, trivial: float | None) -> dict[str, ItemStatistic]:
    answered, errors = items.answered, items.errors
    charged = charged_errors(items, errors, trivial)
    return {
        "mae": mean(charged),
        "mae_answered": mean(errors, among=answered),
        "median_ae": median(charged),
        "median_ae_answered": median(errors, among=answered),
        "within_one": mean(items.right("number")),
    }


def _extraction(items: Items) -> dict[str, ItemStatistic]:
    of = items.columns
    golds = list(map(gold_fields, of.item_id, of.gold))
    answers = [
        answered_fields(item_id, answer) if status is Status.OK else {}
        for item_id, status, answer in zip(of.item_id, of.status, of.answer, strict=True)
    ]
    table = {"exact_match": mean(items.right("extraction"))}
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


def charged_errors(items: Items, errors: FloatArray, trivial: float | None) -> FloatArray:
    """The errors, and where nothing was answered that of the trivial answer instead."""
    golds = items.gold_numbers
    instead = float(np.median(golds)) if trivial is None else trivial
    return np.where(np.isnan(errors), np.abs(golds - instead), errors)


# Tables


def _worst(
    task_kind: TaskKind, labels: Sequence[str], items: Items, trivial: float | None
) -> dict[str, float]:
    """What an item costs where nothing is known of it: of losses that are all alike."""
    if task_kind == "number":
        golds = items.gold_numbers
        middle = float(np.median(golds)) if trivial is None else trivial
        error = float(np.abs(golds - middle).mean())
        return {"mae": error, "mae_answered": error}
    classes = max(len(labels), 1)
    return {"log_loss": math.log(classes), "brier": 1 - 1 / classes}


def _status_counts(items: Items) -> dict[str, int]:
    return {status.value: int(items.of_status(status).sum()) for status in Status}


def _tokens_per_correct(items: Items, task_kind: TaskKind) -> float | None:
    right = int(items.right(task_kind).sum())
    tokens = sum(items.columns.prompt_tokens) + sum(items.columns.completion_tokens)
    return tokens / right if right else None


def _per_class(labels: Sequence[str], items: Items) -> tuple[ClassScore, ...]:
    """One row a label; 0 where a ratio has nothing below its line, as such tables have it."""
    gold, answer = items.codes(labels)
    support, answers, hits = (
        np.bincount(codes, minlength=len(labels) + 1)[:-1]
        for codes in (gold, answer, gold[gold == answer])
    )
    columns = (
        np.nan_to_num(ratio(hits, answers)),
        np.nan_to_num(ratio(hits, support)),
        np.nan_to_num(ratio(2 * hits, support + answers)),
        support,
    )
    rows = zip(labels, *(column.tolist() for column in columns), strict=True)
    return tuple(ClassScore(*row) for row in rows)


def _confusion(labels: Sequence[str], items: Items) -> Confusion | SparseConfusion:
    gold, answer = items.codes(labels)
    width = len(labels) + 1
    seen = gold * width + answer
    if len(labels) > MOST_DENSE:
        found, counts = np.unique(seen, return_counts=True)
        columns = (*np.divmod(found, width), counts)
        entries = zip(*(column.tolist() for column in columns), strict=True)
        return SparseConfusion(tuple(labels), tuple(entries))
    table = np.bincount(seen, minlength=len(labels) * width).reshape(len(labels), width)
    return Confusion(tuple(labels), tuple(map(tuple, table.tolist())))


def _calibration(labels: Sequence[str], items: Items) -> dict[str, Metric]:
    shares = items.shares(labels)
    scored = ~np.isnan(shares[:, 0])
    confidence = shares[scored].max(axis=1)
    right = items.right("classification")[scored]
    return calibration.figures(confidence, right, _bin_of(confidence))


def _reliability(labels: Sequence[str], items: Items) -> tuple[ReliabilityBin, ...]:
    """The bins that hold a prediction, by confidence; empty ones have no mean to show."""
    shares = items.shares(labels)
    scored = ~np.isnan(shares[:, 0])
    confidence = shares[scored].max(axis=1)
    right = items.right("classification")[scored]
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
