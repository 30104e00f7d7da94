"""What every metric counts: of which items, over which classes, and what a missing answer is.

This is what the manual's table is made from (`gateway help evaluate`), and what the tests of
`gateway.scoring.scores` hold the metrics to. An item has no answer where its answer could not be
read, was cut off, or never came; all three count alike.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Missing(StrEnum):
    """What an item without an answer counts as."""

    WRONG = "a wrong answer"
    WORST = "the worst answer there is"
    CHARGED = "the error of the trivial baseline there"
    LEFT_OUT = "nothing: it is left out"
    COUNTED = "what is counted"


@dataclass(frozen=True, slots=True)
class Estimand:
    """What one metric is of."""

    items: str
    classes: str
    """Empty where there are none."""
    missing: Missing
    paired: str
    """The items on which two cells are compared."""


_ALL, _ANSWERED, _BOTH = "all", "answered", "those that both answered"
_GOLD, _ONE = "those that gold values have", "that one"

ESTIMANDS: Mapping[str, Estimand] = {
    "macro_f1": Estimand(_ALL, _GOLD, Missing.WRONG, _ALL),
    "weighted_f1": Estimand(_ALL, _GOLD, Missing.WRONG, _ALL),
    "accuracy": Estimand(_ALL, "", Missing.WRONG, _ALL),
    "accuracy_answered": Estimand(_ANSWERED, "", Missing.LEFT_OUT, _BOTH),
    "log_loss": Estimand("answered, with probabilities", "", Missing.LEFT_OUT, _BOTH),
    "brier": Estimand("answered, with probabilities", "", Missing.LEFT_OUT, _BOTH),
    "ece": Estimand("answered, with probabilities", "", Missing.LEFT_OUT, _BOTH),
    "mae": Estimand(_ALL, "", Missing.CHARGED, _BOTH),
    "mae_answered": Estimand(_ANSWERED, "", Missing.LEFT_OUT, _BOTH),
    "median_ae": Estimand(_ALL, "", Missing.CHARGED, _BOTH),
    "median_ae_answered": Estimand(_ANSWERED, "", Missing.LEFT_OUT, _BOTH),
    "within_one": Estimand(_ALL, "", Missing.WRONG, _ALL),
    "balanced_accuracy": Estimand(_ALL, _GOLD, Missing.WRONG, _ALL),
    "mcc": Estimand(_ALL, "all, and no answer", Missing.WRONG, _ALL),
    "quadratic_kappa": Estimand(_ALL, "all, in their order", Missing.WORST, _ALL),
    "cost": Estimand(_ALL, "", Missing.WORST, _ALL),
    "roc_auc": Estimand(_ALL, _GOLD, Missing.WORST, _ALL),
    "pr_auc": Estimand(_ALL, _GOLD, Missing.WORST, _ALL),
    "precision:LABEL": Estimand("answered LABEL", _ONE, Missing.LEFT_OUT, _ALL),
    "recall:LABEL": Estimand("of LABEL", _ONE, Missing.WRONG, _ALL),
    "f1:LABEL": Estimand("of LABEL or answered so", _ONE, Missing.WRONG, _ALL),
    "roc_auc:LABEL": Estimand(_ALL, _ONE, Missing.WORST, _ALL),
    "pr_auc:LABEL": Estimand(_ALL, _ONE, Missing.WORST, _ALL),
    "exact_match": Estimand(_ALL, "", Missing.WRONG, _ALL),
    "field:NAME": Estimand("all whose gold value names it", "", Missing.WRONG, _ALL),
    "coverage": Estimand(_ALL, "", Missing.COUNTED, _ALL),
    "conformance": Estimand("all that were written to their end", "", Missing.COUNTED, _ALL),
}
"""By the names listed at `CellScore.metrics`."""


_PHRASES = {
    _ALL: "",
    "answered": "that are answered",
    "answered, with probabilities": "that are answered, with probabilities",
    "answered LABEL": "that are answered {}",
    "of LABEL": "of {}",
    "of LABEL or answered so": "of {} or answered so",
    "all whose gold value names it": "whose gold value names {}",
    "all that were written to their end": "that were written to their end",
}
"""What stands behind "items", of one label or field too."""


def not_defined(metric: str) -> str:
    """Why a cell may have no value of a metric, as the end of a sentence that names it; empty of
    what is no metric."""
    name, of_one, one = metric.partition(":")
    wanted = (f"{name}:LABEL", f"{name}:NAME") if of_one else (name,)
    found = next((ESTIMANDS[key] for key in wanted if key in ESTIMANDS), None)
    if found is None:
        return ""
    phrase = _PHRASES[found.items].format(repr(one))
    return f", which counts only items {phrase}" if phrase else " on these items"


def rows() -> list[tuple[str, ...]]:
    """The table: metric, items, classes, what a missing answer counts, items of a comparison."""
    return [
        (name, each.items, each.classes or "–", each.missing.value, each.paired)
        for name, each in ESTIMANDS.items()
    ]
