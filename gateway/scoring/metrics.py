"""What metrics are called, and which way each is better."""

LOWER_IS_BETTER = frozenset({"log_loss", "brier", "ece", "mae", "median_ae"})
"""Metrics of which the smaller value is the better one."""

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
    "mae": "MAE",
    "median_ae": "median error",
    "within_one": "within 1",
    "exact_match": "exact match",
}


def metric_name(name: str) -> str:
    """`macro_f1` as macro-F1, `field:priority` as "priority exact"; unknown names as they are."""
    if name.startswith("field:"):
        return f"{name.removeprefix('field:')} exact"
    return _NAMES.get(name, name)
