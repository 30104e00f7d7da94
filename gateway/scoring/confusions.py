"""Metrics of the counts of gold labels and answers, and what smooths such a table.

All are functions of three counts a class: how often it is the gold label, how often the answer, and
how often both. An item without an answer is of its gold class and of no answer. The tests hold
each equal to scikit-learn's value, in which "no answer" is one label more.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from scipy.sparse import csr_array

from gateway.scoring.arrays import FloatArray, IntArray
from gateway.scoring.intervals import (
    MORE_ERRORS,
    STEP,
    Bounds,
    Slopes,
    Unseen,
    of_counts,
    of_losses,
)
from gateway.scoring.results import MOST_DENSE
from gateway.scoring.statistic import ItemStatistic, Value, mean, ratio, share


def counts_of_classes(gold: IntArray, answer: IntArray, classes: int) -> csr_array:
    """Whether each code is of a class, answered by it, and both; shape (codes, 3 * classes).

    Args:
        gold: a class of each code.
        answer: the same; `classes` and above stand for no answer.
    """
    at = np.arange(len(gold))
    answered, hit = answer < classes, gold == answer
    rows = np.concatenate([at, at[answered], at[hit]])
    columns = np.concatenate([gold, classes + answer[answered], 2 * classes + gold[hit]])
    return csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(gold), 3 * classes))


def macro_f1(sums: FloatArray) -> FloatArray:
    """Mean F1 of the classes that gold values have.

    A class that no gold value has is none of the question, so that it is the same mean for every
    cell: a stray answer of it is an error where it was given, and takes nothing else with it.
    """
    support, answers, hits = _thirds(sums)
    present = support > 0
    scores = _or_zero(2 * hits, support + answers)
    return ratio((scores * present).sum(axis=0), present.sum(axis=0))


def _thirds(sums: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """As `np.split`, which takes longer than all that is done with few labels."""
    third = len(sums) // 3
    return sums[:third], sums[third : 2 * third], sums[2 * third :]


def _or_zero(top: FloatArray, bottom: FloatArray) -> FloatArray:
    """As `ratio`, but zero where bottom is."""
    # Of this layout, in whose order classes are summed: another moves the last digits.
    return np.divide(top, bottom, out=np.zeros(top.shape), where=bottom > 0)


def weighted_f1(sums: FloatArray) -> FloatArray:
    """As `macro_f1`, each class by its items."""
    support, answers, hits = np.split(sums, 3)
    scores = np.nan_to_num(ratio(2 * hits, support + answers))
    return ratio((scores * support).sum(axis=0), support.sum(axis=0))


def balanced_accuracy(sums: FloatArray) -> FloatArray:
    """Mean recall of the classes that gold values have."""
    support, _, hits = np.split(sums, 3)
    present = support > 0
    recalls = np.nan_to_num(ratio(hits, support))
    return ratio((recalls * present).sum(axis=0), present.sum(axis=0))


def matthews(sums: FloatArray) -> FloatArray:
    """Matthews' correlation coefficient (Gorodkin 2004 for several classes); NaN where all golds or
    all answers are one."""
    support, answers, hits = np.split(sums, 3)
    n = support.sum(axis=0)
    silent = n - answers.sum(axis=0)
    common = hits.sum(axis=0) * n - (support * answers).sum(axis=0)
    of_golds = n**2 - (support**2).sum(axis=0)
    of_answers = n**2 - (answers**2).sum(axis=0) - silent**2
    # Products of counts, so that zero is met exactly.
    return ratio(common, np.sqrt(np.maximum(of_golds * of_answers, 0.0)))


def of_label(statistic: ItemStatistic, family: str, label: int) -> ItemStatistic | None:
    """Precision, recall, f1, f2 (any beta) of one label; None where there is none of that name.

    Args:
        statistic: of `counts_of_classes`, from whose items it is.
    """
    classes = statistic.rows.shape[1] // 3
    columns = statistic.rows[:, [label, classes + label, 2 * classes + label]].toarray()
    support, answers, hits = columns.T
    if family in _SHARES:
        rows = csr_array(np.column_stack([hits, support if family == "recall" else answers]))
        return replace(statistic, rows=rows, value=share)
    beta = beta_of(family)
    if beta is None:
        return None
    rows = csr_array(np.column_stack([hits, support - hits, answers - hits]))
    return replace(statistic, rows=rows, value=f_beta(beta))


_SHARES = frozenset({"precision", "recall"})
"""Of the items answered by a label those that are of it, and the other way round; NaN where there
are none."""


def f_beta(beta: float) -> Value:
    """Of how often a label was hit, missed and given wrongly; NaN where it is neither asked for nor
    answered."""
    square = beta**2

    def of(sums: FloatArray) -> FloatArray:
        hits, missed, wrong = sums
        return ratio((1 + square) * hits, (1 + square) * hits + square * missed + wrong)

    return of


def weighted_kappa(disagreement: FloatArray) -> Value:
    """Cohen's kappa: one less the disagreement seen by the one of two who answer at random as often
    (Cohen 1968, "Weighted Kappa"). NaN where that is none: both give one and the same label to all.

    Args:
        disagreement: what a gold label and an answer count, shape (classes, classes).
    """

    def of(sums: FloatArray) -> FloatArray:
        support, answers, _ = np.split(sums[:-1], 3)
        n = support.sum(axis=0)
        expected = ratio(np.einsum("ir,ij,jr->r", support, disagreement, answers), n)
        return ratio(expected - sums[-1], expected)

    return of


def gwet(sums: FloatArray) -> FloatArray:
    """Gwet's AC1, whose agreement by chance does not grow where one label is common (Gwet 2008,
    "Computing inter-rater reliability and its variance in the presence of high agreement")."""
    support, answers, hits = np.split(sums, 3)
    n = support.sum(axis=0)
    common = ratio(support + answers, 2 * n)
    chance = (common * (1 - common)).sum(axis=0) / (len(support) - 1)
    return ratio(ratio(hits.sum(axis=0), n) - chance, 1 - chance)


def agreeing(
    gold: IntArray, answer: IntArray, classes: int, value: Value, disagreement: FloatArray | None
) -> ItemStatistic:
    """A statistic of two labels an item, neither of which is lacking.

    Args:
        value: `weighted_kappa`, or another function of the counts.
        disagreement: of that kappa; None where the value is of no kappa.
    """
    occurring, codes = np.unique(gold * classes + answer, return_inverse=True)
    of, by = np.divmod(occurring, classes)
    rows = counts_of_classes(of, by, classes)
    if disagreement is not None:
        rows = csr_array(np.column_stack([rows.toarray(), disagreement[of, by]]))
    return ItemStatistic(codes.reshape(-1), rows, value)


def quadratic(classes: int) -> FloatArray:
    """Disagreement by the square of the distance of two labels, shape (classes, classes)."""
    at = np.arange(classes)
    return ((at[:, np.newaxis] - at) ** 2).astype(np.float64)


def value_of(family: str) -> Value | None:
    """mcc and balanced_accuracy; None where there is none of that name."""
    return {"mcc": matthews, "balanced_accuracy": balanced_accuracy}.get(family)


def beta_of(family: str) -> float | None:
    """Of f1, f2, f0.5; None where that is no F."""
    found = re.fullmatch(r"f(\d+(?:\.\d+)?)", family)
    return float(found[1]) if found and float(found[1]) > 0 else None


def interval(
    statistic: ItemStatistic,
    *,
    bounds: tuple[float, float] = (0.0, 1.0),
    clusters: IntArray | None = None,
    disagreement: FloatArray | None = None,
) -> Bounds:
    """The 95% interval of a metric of `counts_of_classes`.

    Args:
        disagreement: as `agreeing`.
        bounds: the least and the greatest value that there can be.
        clusters: of each item, shape (items,).
    """
    classes = statistic.rows.shape[1] // 3
    # Every row has one gold class.
    golds = np.asarray(csr_array(statistic.rows[:, :classes]).indices, dtype=np.int64)
    sums = statistic.total()[:, 0]
    smoothing = _unseen(sums, classes, disagreement)
    slopes = _slopes(statistic, classes)
    found = of_counts(statistic, smoothing, golds, bounds=bounds, clusters=clusters, slopes=slopes)
    if disagreement is None or found[0] is None:
        return found
    apart = mean(statistic.rows.toarray()[statistic.codes, -1])
    return _no_surer(found, of_losses(apart, clusters=clusters), _expected(sums, disagreement))


def _slopes(statistic: ItemStatistic, classes: int) -> Slopes | None:
    """Of what is a mean over classes, where they are many: a direction changes few of them."""
    part = _BY_CLASS.get(statistic.value)
    if part is None or classes <= MOST_DENSE:
        return None

    def slopes(sums: FloatArray, rows: csr_array) -> tuple[FloatArray, FloatArray]:
        at, of, moves = _touched(rows, classes)
        counts = sums[: 3 * classes].reshape(3, classes)
        here = part(*counts)
        above, below = (each.sum() for each in here)

        def gained(step: float) -> FloatArray:
            """By how much the value is larger there: of small differences, so that what is lost in
            a sum over all classes is not lost in every direction."""
            changed = part(*(counts[:, of] + step * moves))
            more, wider = (
                np.bincount(at, weights=after - before[of], minlength=rows.shape[0])
                for after, before in zip(changed, here, strict=True)
            )
            return np.asarray((more - above / below * wider) / (below + wider))

        up, down = gained(STEP), gained(-STEP)
        return (up - down) / (2 * STEP), (up + down) / STEP**2

    return slopes


def _touched(rows: csr_array, classes: int) -> tuple[IntArray, IntArray, FloatArray]:
    """Which row has features of which class, shape (pairs,) each, and these: of how often it is the
    gold label, the answer, and both, shape (3, pairs)."""
    of, feature = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr)), rows.indices
    pairs, places = np.unique(of * classes + feature % classes, return_inverse=True)
    moves = np.zeros((3, len(pairs)))
    moves[feature // classes, places.reshape(-1)] = rows.data
    at, touched = np.divmod(pairs, classes)
    return at, touched, moves


def _f1_of_each(
    support: FloatArray, answers: FloatArray, hits: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """What each class adds to macro-F1, above and below the line."""
    present = support > 0
    return _or_zero(2 * hits, support + answers) * present, present.astype(np.float64)


def _weighted_of_each(
    support: FloatArray, answers: FloatArray, hits: FloatArray
) -> tuple[FloatArray, FloatArray]:
    return _or_zero(2 * hits, support + answers) * support, support


def _recall_of_each(
    support: FloatArray, _: FloatArray, hits: FloatArray
) -> tuple[FloatArray, FloatArray]:
    present = support > 0
    return _or_zero(hits, support) * present, present.astype(np.float64)


_BY_CLASS: Mapping[Value, Callable[..., tuple[FloatArray, FloatArray]]] = {
    macro_f1: _f1_of_each,
    weighted_f1: _weighted_of_each,
    balanced_accuracy: _recall_of_each,
}


def _no_surer(found: tuple[float, float], apart: Bounds, expected: float) -> Bounds:
    """A kappa that is as low as the disagreement may be large: of few that are far apart the
    variance says too little."""
    _, most = apart
    if most is None or not expected > 0:
        return found
    return max(-1.0, min(found[0], 1 - most / expected)), found[1]


def _expected(sums: FloatArray, disagreement: FloatArray) -> float:
    """Mean disagreement of two who answer at random as often."""
    support, answers, _ = np.split(sums[:-1], 3)
    return float(support @ disagreement @ answers) / float(support.sum()) ** 2


def _unseen(sums: FloatArray, classes: int, disagreement: FloatArray | None) -> Unseen:
    """One item of each gold class: right or wrong as often as all, the errors where errors are."""
    support, answers, hits = np.split(sums[: 3 * classes], 3)
    n = support.sum()
    present = np.flatnonzero(support)
    wrong = (n - hits.sum() + 0.5) / (n + 1)
    wrong = min(MORE_ERRORS * wrong, max(0.5, wrong))
    going = np.maximum(answers - hits, 0.0) + support / n
    right_rows, wrong_rows = np.zeros((2, len(present), 3 * classes))
    at = np.arange(len(present))
    for part in (0, 1, 2):
        right_rows[at, part * classes + present] = 1
    wrong_rows[at, present] = 1
    others = np.repeat(going[np.newaxis], len(present), axis=0)
    others[at, present] = 0
    total = others.sum(axis=1, keepdims=True)
    going_to = np.divide(others, total, out=np.zeros_like(others), where=total > 0)
    wrong_rows[:, classes : 2 * classes] = going_to
    weights = np.repeat([1 - wrong, wrong], len(present))
    rows = np.concatenate([right_rows, wrong_rows])
    if disagreement is not None:
        counted = (going_to * disagreement[present]).sum(axis=1)
        rows = np.column_stack([rows, np.concatenate([np.zeros(len(present)), counted])])
    return Unseen(rows, weights, np.tile(present, 2))
