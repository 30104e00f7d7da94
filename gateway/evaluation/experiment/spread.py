"""How far a result depends on which exemplars happened to be shown."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy.special import stdtrit

from gateway.core.errors import ConfigError
from gateway.evaluation.plan import Prepared
from gateway.evaluation.record import RunRecord
from gateway.evaluation.summary import RunResult
from gateway.scoring.metrics import limits, merit, rewards_silence
from gateway.scoring.results import Metric


@dataclass(frozen=True, slots=True)
class Spread:
    """One cell over all exemplar seeds."""

    cell: str
    metric: str
    values: Mapping[int, float]
    """Exemplar seed -> the metric. A cell that shows no exemplars, or the same ones whatever the
    seed, has the first seed's alone; one that answered nothing has none."""
    first: Metric | None
    """Of the first seed, with its interval over items."""

    @property
    def mean(self) -> float | None:
        """None where there is no value."""
        return statistics.fmean(self.values.values()) if self.values else None

    @property
    def deviation(self) -> float | None:
        """Standard deviation of a sample (n - 1); None below two values."""
        return statistics.stdev(self.values.values()) if len(self.values) > 1 else None

    @property
    def over_all(self) -> Metric | None:
        """The mean over seeds, with a 95% interval over items and seeds; None where there is none.

        Both reaches are added as squares on each side (Zou and Donner 2008, "Construction of
        confidence limits about effect measures"). All seeds ask the same items, so that what the
        items vary by is not divided by the number of seeds. Of seeds it is Student's.
        """
        if self.first is None or self.mean is None:
            return None
        low, high, count = self.first.low, self.first.high, len(self.values)
        if low is None or high is None:
            return Metric(self.mean)
        seeds = 0.0
        if self.deviation is not None:
            seeds = float(-stdtrit(count - 1, 0.025)) * self.deviation / math.sqrt(count)
        least, most = limits(self.metric)
        return Metric(
            self.mean,
            max(least, self.mean - math.hypot(self.first.value - low, seeds)),
            min(most, self.mean + math.hypot(high - self.first.value, seeds)),
        )

    @property
    def least(self) -> float | None:
        """The smallest value, None where there is none."""
        return min(self.values.values(), default=None)

    @property
    def most(self) -> float | None:
        """The largest value, None where there is none."""
        return max(self.values.values(), default=None)


def require_variation(prepared: Mapping[int, Prepared]) -> None:
    """Refuse seeds that change nothing, before any model is loaded.

    Raises:
        ConfigError: there are several, and no strategy shows other exemplars for another one.
    """
    shown = [_exemplars(each) for each in prepared.values()]
    if len(shown) > 1 and all(each == shown[0] for each in shown):
        raise ConfigError(
            "exemplar_seeds: every seed shows the same exemplars",
            hint="name a strategy with exemplars, and choose them by exemplars = "
            '"stratified" from training data',
        )


def spreads(runs: Mapping[int, RunResult], metric: str) -> tuple[Spread, ...]:
    """The model cells over all seeds, the best mean first, cells without a value last. Where the
    metric does not count what was left out, those that left some out come after the others.

    Args:
        runs: by exemplar seed, of the same grid.
    """
    first, *_ = runs.values()
    names = [cell.name for cell in first.report.cells if cell.kind == "model"]
    found = [_spread(name, runs, metric) for name in names]
    with_value = [(merit(metric, each.mean), each) for each in found if each.mean is not None]
    silent = {c.name for run in runs.values() for c in run.report.cells if c.left_out}
    last = silent if rewards_silence(metric) else set[str]()
    in_order = sorted(with_value, key=lambda pair: (pair[1].cell in last, -pair[0]))
    return (*(each for _, each in in_order), *(each for each in found if each.mean is None))


def _spread(name: str, runs: Mapping[int, RunResult], metric: str) -> Spread:
    cells = {
        seed: next(cell for cell in run.report.cells if cell.name == name)
        for seed, run in runs.items()
    }
    values: dict[int, float] = {}
    seen: set[str] = set()
    for seed, cell in cells.items():
        digest = _digest(runs[seed].record, cell.details["model"], cell.details["strategy"])
        if metric in cell.metrics and digest not in seen:
            values[seed] = cell.metrics[metric].value
        seen.add(digest)
    first, *_ = cells.values()
    return Spread(cell=name, metric=metric, values=values, first=first.metrics.get(metric))


def _digest(record: RunRecord, model: str, strategy: str) -> str:
    return next(c.digest for c in record.cells if (c.model, c.strategy) == (model, strategy))


def _exemplars(prepared: Prepared) -> Sequence[str]:
    return [s.selector.digest for s in prepared.plan.strategies if s.selector]
