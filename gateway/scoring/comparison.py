"""Two cells on the same items: how far apart, how sure that is, and where they differ.

The difference comes with a paired bootstrap interval: both cells are evaluated on the same
resampled items, so that hard items do not count as noise (Efron and Tibshirani 1993; for
language tasks Koehn 2004). The test beside it asks a plainer question, whether one cell is right
more often: exact McNemar (McNemar 1947; Dietterich 1998 recommends it for two classifiers on one
test set), or for numbers whether its errors are smaller: Wilcoxon signed-rank (Wilcoxon 1945).
"""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import wilcoxon

from gateway.core.types import Answer, TaskKind
from gateway.scoring.mcnemar import FEWEST_DECIDING, McNemar, mcnemar, too_few
from gateway.scoring.pairing import Items, Pairs, both_answered, matched, paired, rights
from gateway.scoring.results import Comparison, Flip, Metric, Prediction, Status
from gateway.scoring.scores import (
    DEFAULT_RESAMPLES,
    FloatArray,
    absolute_errors,
    interval,
    resample_indices,
)


def compare(
    a: Sequence[Prediction],
    b: Sequence[Prediction],
    *,
    task_kind: TaskKind,
    labels: Sequence[str],
    metric: str,
    seed: int = 0,
    resamples: int = DEFAULT_RESAMPLES,
) -> Comparison:
    """Compare two cells, paired by item; differences are a minus b.

    Two identical runs differ by exactly 0.0. A metric over answered items alone (mae, log_loss,
    ...) is compared on the items that both cells answered, and `note` counts the others.

    Args:
        metric: a name listed at `CellScore.metrics`.
        resamples: paired bootstrap resamples; 0 leaves the interval out.

    Raises:
        ComparisonRefused: items or gold values differ, or a cell has no such metric.
        DataError: a cell's predictions can not be scored (see `score_cell`).
        ConfigError: a classification task has fewer than two labels.
    """
    pairs = paired(a, b, task_kind=task_kind, labels=labels, metric=metric)
    first, second = matched(a, b)
    right_a, right_b = rights(first, task_kind), rights(second, task_kind)
    counts = mcnemar(right_a, right_b)
    test, p_value, note = _significance(first, second, counts, task_kind)
    return Comparison(
        a=pairs.a,
        b=pairs.b,
        metric=metric,
        n=pairs.total,
        difference=_difference(pairs, seed=seed, resamples=resamples),
        test=test,
        p_value=p_value,
        both_right=counts.both_right,
        only_a=counts.only_a,
        only_b=counts.only_b,
        both_wrong=counts.both_wrong,
        flips=tuple(
            Flip(x.item_id, answer_text(x.gold), shown_answer(x), shown_answer(y))
            for x, y, ok_x, ok_y in zip(first, second, right_a, right_b, strict=True)
            if ok_x != ok_y
        ),
        note="; ".join(part for part in (_left_out(pairs), note, _bounds(first, second)) if part),
    )


def _bounds(a: Sequence[Prediction], b: Sequence[Prediction]) -> str:
    """How many items rest on log-probabilities that are bounds."""
    counts = [sum(not prediction.exact for prediction in cell) for cell in (a, b)]
    if not any(counts):
        return ""
    return f"scores that are bounds, not exact: {counts[0]} of a, {counts[1]} of b"


def shown_answer(prediction: Prediction) -> str:
    """The answer as a person reads it, or the status in brackets where there is none."""
    if prediction.status is not Status.OK:
        return f"[{prediction.status.value}]"
    return answer_text(prediction.answer)


def answer_text(answer: Answer | None) -> str:
    """A label as it is, a number without idle digits, fields as `name=value`; "" for None."""
    if answer is None:
        return ""
    if isinstance(answer, str):
        return answer
    if isinstance(answer, Mapping):
        return ", ".join(f"{key}={answer[key]}" for key in sorted(answer))
    return f"{answer:g}"


def _left_out(pairs: Pairs) -> str:
    if pairs.n == pairs.total:
        return ""
    return f"{pairs.metric} on the {pairs.n} items that both answered"


def _difference(pairs: Pairs, *, seed: int, resamples: int) -> Metric:
    drawn = [pairs.difference(rows) for rows in resample_indices(pairs.n, resamples, seed=seed)]
    return Metric(pairs.estimate, *interval(drawn))


def _significance(
    a: Items, b: Items, counts: McNemar, task_kind: TaskKind
) -> tuple[str, float | None, str]:
    """Name of the test, its p-value or None, and why it is None."""
    if task_kind == "number":
        return "Wilcoxon signed-rank", *_wilcoxon(a, b)
    return "exact McNemar", counts.p_value, counts.why_none


def _wilcoxon(a: Items, b: Items) -> tuple[float | None, str]:
    pairs = both_answered(a, b)
    left_out = len(a) - len(pairs)
    note = f"{left_out} items that not both answered are outside the test" if left_out else ""
    changes = _error_changes(pairs)
    deciding = int(np.count_nonzero(changes))
    if deciding < FEWEST_DECIDING:
        few = too_few(deciding, "of different error in the two cells")
        return None, "; ".join(part for part in (note, few) if part)
    # Zeros have no sign. Left in, they make scipy approximate where it could count exactly.
    return float(wilcoxon(changes[changes != 0.0]).pvalue), note


def _error_changes(pairs: list[tuple[Prediction, Prediction]]) -> FloatArray:
    """Absolute error of a less that of b, shape (pairs,)."""
    changes = absolute_errors([x for x, _ in pairs]) - absolute_errors([y for _, y in pairs])
    # Equal errors on two sides of the gold value differ by rounding; that must not get a rank.
    return np.round(changes, 9)
