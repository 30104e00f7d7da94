"""What a comparison of cells comes to: plain frozen values without a clock in them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.evaluation.ab.needs import Needs
from gateway.models.certificates import Level
from gateway.quantization.stored_weights import Held
from gateway.scoring.contest import Comparison, NotCompared
from gateway.scoring.flips import Flip, KeptAnswers
from gateway.scoring.frontier import Recommendation
from gateway.scoring.report import Report


@dataclass(frozen=True, slots=True)
class NoiseFloor:
    """The reference asked again, past all that is kept, in another order."""

    cell: str
    n: int
    level: Level
    """What `gateway certify` had measured for the reference."""
    answers_changed: int
    logprobs_changed: int
    """Items on which the log-probability of any label differs by any bit."""
    texts_changed: int
    largest: float
    """The largest change of a log-probability, in nats."""

    @property
    def silent(self) -> bool:
        """Whether nothing differs, by any bit."""
        return not (self.answers_changed or self.logprobs_changed or self.texts_changed)

    @property
    def broken(self) -> bool:
        """Whether it differs although the level says that it cannot."""
        return self.level is Level.BITWISE and not self.silent


@dataclass(frozen=True, slots=True)
class Stopping:
    """Items were taken in the seeded order, in batches, until each pair with the reference was
    decided."""

    asked: int
    planned: int
    batch: int
    """Items between two looks."""
    decided: bool
    """Whether all pairs were; otherwise every item was asked."""

    @property
    def saved(self) -> int:
        """Items that were not asked."""
        return self.planned - self.asked


@dataclass(frozen=True, slots=True)
class Outcome:
    """All of a comparison."""

    report: Report
    """Cells and baselines, scored on the items that were asked."""
    reference: str
    metric: str
    margin: float
    noise: NoiseFloor
    pairs: tuple[Comparison, ...]
    """Each cell held against those named before it; the pairs with the reference come first. Those
    of cells without the metric are not among them."""
    items: tuple[Flip, ...]
    """Those that any two cells answer differently."""
    fidelity: tuple[KeptAnswers, ...]
    """Of every other cell to the reference."""
    recommendation: Recommendation | None
    """None where items were taken until right answers were decided, and the margin is of a metric
    that right answers say nothing about; and where a metric of answered items alone would reward a
    cell for what it left out. Cells without the metric are none of it, and where but one has it
    there is none."""
    stopping: Stopping | None
    """None: all items were asked, as planned."""
    sizes: Mapping[str, int | None]
    """Cell -> bytes of its weights' files, adapter included; None: not known here."""
    memory: Mapping[str, int | None]
    """Cell -> bytes that its model took while it was loaded; None: a server has it."""

    not_compared: tuple[NotCompared, ...] = ()
    """The pairs that lack, because a cell has no such metric or no item was answered by both."""
    held: Mapping[str, Held | None] = field(default_factory=dict)
    """Cell -> what its model's weights are on disk; None: nothing says."""
    needs: Mapping[str, Needs] = field(default_factory=dict)
    """Cell or baseline -> what it needed before it answered; empty where no model was tuned."""

    @property
    def against_reference(self) -> tuple[Comparison, ...]:
        """The pairs of which the reference is one."""
        return tuple(pair for pair in self.pairs if pair.contest.b == self.reference)
