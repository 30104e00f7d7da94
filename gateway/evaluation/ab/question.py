"""What is asked of the cells of a comparison."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.core.errors import ConfigError
from gateway.core.types import TaskKind
from gateway.evaluation.ab.cells import Asked
from gateway.tasks.task import METRICS, Task

RIGHT: Mapping[TaskKind, str] = {
    "classification": "accuracy",
    "number": "within_one",
    "extraction": "exact_match",
}
"""The metric that is the share of right answers."""

_MORE: Mapping[TaskKind, tuple[str, ...]] = {
    "classification": ("log_loss", "brier"),
    "number": (),
    "extraction": (),
}
"""Metrics beside those of `METRICS` by which cells may be compared."""
_IN_SHARES = frozenset({"macro_f1", "weighted_f1", *RIGHT.values()})


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of the cells, the reference first."""

    asked: tuple[Asked, ...]
    metric: str
    margin: float
    """In units of the metric."""

    @property
    def share_margin(self) -> float | None:
        """The margin in shares of right answers; None where the metric's unit is another."""
        in_shares = self.metric in _IN_SHARES or self.metric.startswith("field:")
        return self.margin if in_shares else None


def check_question(question: Question, task: Task) -> None:
    """Refuse what no answer could decide, before any model is loaded.

    Raises:
        ConfigError: the metric is none of the task's, or the margin is none of the metric's.
    """
    known = (*METRICS[task.kind], *_MORE[task.kind], *(f"field:{n}" for n in task.answer_values))
    if question.metric not in known:
        raise ConfigError(
            f"cells of {task.name} are not compared by {question.metric!r}",
            hint=f"--metric with one of: {', '.join(known)}",
        )
    most = math.inf if question.share_margin is None else 1.0
    # Written so that a NaN fails too.
    if not 0 < question.margin < most:
        raise ConfigError(
            f"a margin of {question.margin:g} in {question.metric}: it has to be above 0"
            + (" and below 1" if most == 1 else ""),
            hint="give the largest loss that would not matter, such as 0.02 for 2 points",
        )
