"""All that a run comes to, as one value: what every report is made from."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from gateway.core.types import TaskKind
from gateway.scoring.contest import Comparison
from gateway.scoring.flips import Flip
from gateway.scoring.groups import ByGroup
from gateway.scoring.metrics import merit, rewards_silence
from gateway.scoring.results import CellScore, Status
from gateway.scoring.selection import Winner


class Conclusion(StrEnum):
    """What follows from a run, for somebody who reads one sentence."""

    NOTHING_ANSWERED = "no cell has the metric"
    NO_BASELINE = "no baseline shows what can be had without a model"
    WORTH_IT = "the best cell beats every baseline"
    NOT_WORTH_IT = "a baseline beats the best cell"
    NOT_SHOWN = "the best cell is not shown to beat every baseline"


@dataclass(frozen=True, slots=True)
class Report:
    """All that a reader needs to decide, and all of it reproducible."""

    run_id: str
    task: str
    kind: TaskKind
    primary_metric: str
    n: int
    labels: tuple[str, ...]
    settings: Mapping[str, str]
    """What made the run: data and its digest, seed, versions, models and their digests."""
    cells: tuple[CellScore, ...]
    comparisons: tuple[Comparison, ...]
    """Every pair of model cells that have the metric. `b` is the one that is better here, of equals
    the one asked first. Empty where a report does not compare."""
    disagreements: Sequence[Flip]
    """The items that any two model cells answer differently; empty as `comparisons`."""
    conclusion: Conclusion | None
    """None where a report does not compare."""
    margin: float | None = None
    """Of the comparisons; None: none was set."""
    warnings: tuple[str, ...] = ()
    groups: ByGroup | None = None
    """Cells by group, as `cells` has them; None where the run has no groups."""
    winner: Winner | None = None
    """The model cell with the best value, and that value less its luck; None where a report does
    not compare."""

    @property
    def failed(self) -> bool:
        """Whether any item got no answer from its backend."""
        return any(cell.statuses.get(Status.FAILED.value, 0) for cell in self.cells)

    @property
    def best(self) -> CellScore | None:
        """The model cell with the best metric, of equals the first; None where none has it, or none
        answered anything."""
        models = (cell for cell in self.cells if cell.kind == "model" and cell.answered)
        return next(iter(best_first(models, self.primary_metric)), None)

    @property
    def against_best(self) -> tuple[Comparison, ...]:
        """The comparisons in which the best cell is `b`: one of each other cell."""
        best = self.best
        return tuple(c for c in self.comparisons if best and c.contest.b == best.name)


def best_first(cells: Iterable[CellScore], metric: str) -> list[CellScore]:
    """The cells that have a metric, the best one first, equals as they come; those that answered
    nothing come last, whatever they have. Where the metric does not count what was left out, so
    do before them those that left some out: what they answered may be the easy part."""

    def place(cell: CellScore) -> tuple[bool, bool, float]:
        silent = rewards_silence(metric) and cell.left_out > 0
        return not cell.answered, silent, -merit(metric, cell.metrics[metric].value)

    return sorted((cell for cell in cells if metric in cell.metrics), key=place)
