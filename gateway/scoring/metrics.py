"""What metrics are called, what they are measured in, and which way each is better."""

import math
from collections.abc import Mapping

from gateway.core.types import TaskKind

LOWER_IS_BETTER = frozenset(
    {"log_loss", "brier", "ece", "mae", "mae_answered", "median_ae", "median_ae_answered", "cost"}
)
"""Metrics of which the smaller value is the better one."""

RIGHT: Mapping[TaskKind, str] = {
    "classification": "accuracy",
    "number": "within_one",
    "extraction": "exact_match",
}
"""The metric that is the share of right answers itself."""
SHARES_OF_RIGHT = frozenset(RIGHT.values())
OF_LABELS = frozenset({"macro_f1", "weighted_f1"})
"""Metrics for which accuracy stands in where too few items differ to resample them."""

ANSWERED_ONLY = frozenset(
    {"accuracy_answered", "log_loss", "brier", "ece", "mae_answered", "median_ae_answered"}
)
"""Metrics over items with an answer: what a cell left out makes it no worse."""


def rewards_silence(metric: str) -> bool:
    """Whether what a cell leaves out makes it no worse by a metric. A precision is of the items
    that were given its label alone, conformance of those that were written to their end."""
    return metric in ANSWERED_ONLY or metric == "conformance" or metric.startswith("precision:")


_CORRELATIONS = frozenset({"mcc", "quadratic_kappa"})
_OF_PROBABILITIES = frozenset({"log_loss", "brier", "ece", "roc_auc", "pr_auc"})

OVER_CLASSES = frozenset(
    {
        "macro_f1",
        "balanced_accuracy",
        "weighted_f1",
        "mcc",
        "quadratic_kappa",
        "roc_auc",
        "pr_auc",
    }
)
"""Metrics that rest on every class; areas on those that gold values have."""
FEWEST_OF_A_CLASS = 10
"""Items of a class below which intervals of what rests on it are not held to their promise."""

_NAMES = {
    "macro_f1": "macro-F1",
    "weighted_f1": "weighted F1",
    "accuracy": "accuracy",
    "accuracy_answered": "accuracy of answered",
    "coverage": "coverage",
    "conformance": "conformance",
    "log_loss": "log-loss",
    "brier": "Brier score",
    "ece": "ECE",
    "ece_debiased": "ECE less chance",
    "ece_perfect": "ECE if perfect",
    "calibration_slope": "calibration slope",
    "calibration_intercept": "calibration intercept",
    "mae": "MAE",
    "mae_answered": "MAE of answered",
    "median_ae": "median error",
    "median_ae_answered": "median error of answered",
    "within_one": "within 1",
    "exact_match": "exact match",
    "mcc": "MCC",
    "balanced_accuracy": "balanced accuracy",
    "quadratic_kappa": "quadratic kappa",
    "roc_auc": "ROC area",
    "pr_auc": "PR area",
    "cost": "cost",
}


def metric_name(name: str) -> str:
    """`macro_f1` as macro-F1, `field:priority` as "priority exact"; unknown names as they are."""
    if name.startswith("field:"):
        return f"{name.removeprefix('field:')} exact"
    family, _, label = name.partition(":")
    if label:
        shown = family.upper() if family[0] == "f" else _NAMES.get(family, family)
        return f"{shown} of {label}"
    return _NAMES.get(name, name)


def of_label(metric: str, positive: str) -> str:
    """The metric of one label, as recall:bug; as it is where no label is given."""
    return f"{metric.partition(':')[0]}:{positive}" if positive else metric


def shown_with(metric: str) -> tuple[str, ...]:
    """The metrics that a report by this one shows beside it: of one label, all that are."""
    _, _, label = metric.partition(":")
    if not label or metric.startswith("field:"):
        return (metric,)
    others = (f"{family}:{label}" for family in ("precision", "recall", "f1"))
    return tuple(dict.fromkeys([metric, *others]))


def merit(metric: str, value: float) -> float:
    """The value, turned around where lower is better: more merit is better in every metric."""
    return -value if metric in LOWER_IS_BETTER else value


def limits(metric: str) -> tuple[float, float]:
    """The least and the greatest value that there can be."""
    family = metric.partition(":")[0]
    if family in LOWER_IS_BETTER:
        return 0.0, math.inf
    return (-1.0, 1.0) if family in _CORRELATIONS else (0.0, 1.0)


def in_shares(metric: str) -> bool:
    """Whether a margin of the metric is also one of the share of right answers."""
    return metric in SHARES_OF_RIGHT | OF_LABELS or metric.startswith("field:")


def is_share(metric: str) -> bool:
    """Whether it is the share of items that something is true of."""
    named = metric in SHARES_OF_RIGHT or metric in ("accuracy_answered", "coverage", "conformance")
    return named or metric.startswith(("field:", "recall:"))


def reads_probabilities(metric: str) -> bool:
    """Whether equal answers can differ in the metric, by the probabilities behind them."""
    return metric.partition(":")[0] in _OF_PROBABILITIES
