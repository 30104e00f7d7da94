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
from statsmodels.stats.contingency_tables import mcnemar

from gateway.errors import ComparisonRefused, DataError
from gateway.results import Comparison, Flip, Metric, Prediction, Status, TaskKind
from gateway.scoring import (
    ANSWERED_ONLY,
    DEFAULT_RESAMPLES,
    FloatArray,
    Statistic,
    absolute_errors,
    interval,
    is_right,
    ordered,
    point_estimate,
    resample_indices,
    statistics,
)
from gateway.types import Answer

FEWEST_DECIDING = 6
"""With 5 deciding items even a clean sweep has p = 2 * 0.5**5 = 0.0625, in both tests."""

_SHOWN_IDS = 3

Items = tuple[Prediction, ...]


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
    first, second = ordered(a), ordered(b)
    name_a, name_b = _cell_name(first), _cell_name(second)
    _require_same_items(first, second, name_a, name_b)
    kept_a, kept_b, left_out = _comparable(first, second, metric)
    right_a, right_b = _rights(first, task_kind), _rights(second, task_kind)
    test, p_value, note = _significance(first, second, right_a, right_b, task_kind)
    return Comparison(
        a=name_a,
        b=name_b,
        metric=metric,
        n=len(first),
        difference=_difference(
            _statistic(kept_a, name_a, task_kind, labels, metric),
            _statistic(kept_b, name_b, task_kind, labels, metric),
            len(kept_a),
            seed=seed,
            resamples=resamples,
        ),
        test=test,
        p_value=p_value,
        both_right=sum(x and y for x, y in zip(right_a, right_b, strict=True)),
        only_a=sum(x and not y for x, y in zip(right_a, right_b, strict=True)),
        only_b=sum(y and not x for x, y in zip(right_a, right_b, strict=True)),
        both_wrong=sum(not x and not y for x, y in zip(right_a, right_b, strict=True)),
        flips=tuple(
            Flip(x.item_id, answer_text(x.gold), shown_answer(x), shown_answer(y))
            for x, y, ok_x, ok_y in zip(first, second, right_a, right_b, strict=True)
            if ok_x != ok_y
        ),
        note="; ".join(part for part in (left_out, note, _bounds(first, second)) if part),
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


def _cell_name(items: Items) -> str:
    names = sorted({item.cell for item in items})
    if len(names) > 1:
        raise DataError(
            f"predictions of several cells were given as one: {', '.join(names[:_SHOWN_IDS])}",
            hint="compare one cell with one other",
        )
    return names[0]


def _require_same_items(a: Items, b: Items, name_a: str, name_b: str) -> None:
    ids_a, ids_b = {item.item_id for item in a}, {item.item_id for item in b}
    if ids_a != ids_b:
        raise ComparisonRefused(
            f"the cells saw different items: {_listed(ids_a - ids_b, f'only in {name_a}')}; "
            f"{_listed(ids_b - ids_a, f'only in {name_b}')}",
            hint="run both cells on the same data with the same --limit",
        )
    differing = {x.item_id for x, y in zip(a, b, strict=True) if x.gold != y.gold}
    if differing:
        raise ComparisonRefused(
            f"the cells were scored against different gold values: {_listed(differing, 'differ')}",
            hint="run both cells on the same version of the data",
        )


def _listed(ids: set[str], what: str) -> str:
    shown = ", ".join(sorted(ids)[:_SHOWN_IDS]) + (", ..." if len(ids) > _SHOWN_IDS else "")
    return f"{len(ids)} {what} ({shown})" if ids else f"0 {what}"


def _comparable(a: Items, b: Items, metric: str) -> tuple[Items, Items, str]:
    """The pairs that the metric is compared on, and a note of those left out.

    A cell that answers easy items only would otherwise look better by its silence.
    """
    if metric not in ANSWERED_ONLY:
        return a, b, ""
    pairs = _both_answered(a, b)
    if not pairs:
        raise ComparisonRefused(
            f"no item was answered by both cells, so their {metric} can not be compared",
            hint="look at the reasons of the items without an answer",
        )
    note = "" if len(pairs) == len(a) else f"{metric} on the {len(pairs)} items that both answered"
    return tuple(x for x, _ in pairs), tuple(y for _, y in pairs), note


def _both_answered(a: Items, b: Items) -> list[tuple[Prediction, Prediction]]:
    return [
        (x, y) for x, y in zip(a, b, strict=True) if x.status is Status.OK and y.status is Status.OK
    ]


def _statistic(
    items: Items, name: str, task_kind: TaskKind, labels: Sequence[str], metric: str
) -> Statistic:
    table = statistics(task_kind, labels, items)
    defined = [key for key in table if not np.isnan(point_estimate(table[key], len(items)))]
    if metric not in defined:
        raise ComparisonRefused(
            f"{name} has no metric {metric!r}", hint=f"it has {', '.join(defined)}"
        )
    return table[metric]


def _difference(a: Statistic, b: Statistic, n: int, *, seed: int, resamples: int) -> Metric:
    drawn = [a(indices) - b(indices) for indices in resample_indices(n, resamples, seed=seed)]
    return Metric(point_estimate(a, n) - point_estimate(b, n), *interval(drawn))


def _rights(items: Items, task_kind: TaskKind) -> list[bool]:
    return [is_right(item, task_kind) is True for item in items]


def _significance(
    a: Items, b: Items, right_a: list[bool], right_b: list[bool], task_kind: TaskKind
) -> tuple[str, float | None, str]:
    """Name of the test, its p-value or None, and why it is None."""
    if task_kind == "number":
        return "Wilcoxon signed-rank", *_wilcoxon(a, b)
    return "exact McNemar", *_mcnemar(right_a, right_b)


def _mcnemar(right_a: list[bool], right_b: list[bool]) -> tuple[float | None, str]:
    table = np.zeros((2, 2), dtype=np.int64)
    for x, y in zip(right_a, right_b, strict=True):
        table[1 - x, 1 - y] += 1
    discordant = int(table[0, 1] + table[1, 0])
    if discordant < FEWEST_DECIDING:
        return None, _too_few(discordant, "right in exactly one cell")
    return float(mcnemar(table, exact=True).pvalue), ""


def _wilcoxon(a: Items, b: Items) -> tuple[float | None, str]:
    pairs = _both_answered(a, b)
    left_out = len(a) - len(pairs)
    note = f"{left_out} items that not both answered are outside the test" if left_out else ""
    changes = _error_changes(pairs)
    deciding = int(np.count_nonzero(changes))
    if deciding < FEWEST_DECIDING:
        few = _too_few(deciding, "of different error in the two cells")
        return None, "; ".join(part for part in (note, few) if part)
    # Zeros have no sign. Left in, they make scipy approximate where it could count exactly.
    return float(wilcoxon(changes[changes != 0.0]).pvalue), note


def _error_changes(pairs: list[tuple[Prediction, Prediction]]) -> FloatArray:
    """Absolute error of a less that of b, shape (pairs,)."""
    changes = absolute_errors([x for x, _ in pairs]) - absolute_errors([y for _, y in pairs])
    # Equal errors on two sides of the gold value differ by rounding; that must not get a rank.
    return np.round(changes, 9)


def _too_few(count: int, what: str) -> str:
    if count == 0:
        return f"no item is {what}, so there is nothing to test"
    items = "1 item is" if count == 1 else f"{count} items are"
    return f"only {items} {what}; fewer than {FEWEST_DECIDING} can not reach p < 0.05"
