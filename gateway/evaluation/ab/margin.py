"""By which metric cells are compared, and which loss would not matter."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.core.errors import ConfigError
from gateway.core.types import TaskKind
from gateway.evaluation.ab.cells import CellName
from gateway.scoring.metrics import in_shares
from gateway.tasks.task import METRICS, Task, is_metric

DEFAULT_MARGIN = 0.02
_MORE: Mapping[TaskKind, tuple[str, ...]] = {
    "classification": ("log_loss", "brier"),
    "number": (),
    "extraction": (),
}
"""Metrics beside those of `METRICS` by which cells may be compared."""


@dataclass(frozen=True, slots=True)
class Criterion:
    """What cells are compared by, the reference first."""

    cells: tuple[CellName, ...]
    metric: str
    margin: float
    """The largest loss that would not matter, in units of the metric."""


def check_margin(metric: str, margin: float, task: Task) -> None:
    """Refuse what no answer could decide, before any model is loaded.

    Raises:
        ConfigError: the metric is none of the task's, or the margin is none of the metric's.
    """
    known = (*METRICS[task.kind], *_MORE[task.kind], *(f"field:{n}" for n in task.answer_values))
    if metric not in known and not is_metric(metric, task.kind):
        raise ConfigError(
            f"cells of {task.name} are not compared by {metric!r}",
            hint=f"--metric with one of: {', '.join(known)}",
        )
    most = 1.0 if in_shares(metric) else math.inf
    # Written so that a NaN fails too.
    if not 0 < margin < most:
        raise ConfigError(
            f"a margin of {margin:g} in {metric}: it has to be above 0"
            + (" and below 1" if most == 1 else ""),
            hint="give the largest loss that would not matter, such as 0.02 for 2 points",
        )
