"""What a comparison of cells comes to: plain frozen values without a clock in them."""

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.models.certificates import Level
from gateway.scoring.contest import Contest
from gateway.scoring.flips import Fidelity
from gateway.scoring.frontier import Recommendation
from gateway.scoring.results import Report


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
        """Whether it differs although the level says that it can not."""
        return self.level is Level.BITWISE and not self.silent


@dataclass(frozen=True, slots=True)
class Differing:
    """An item to which the two cells of a pair answer differently."""

    item_id: str
    gold: str
    excerpt: str
    a: str
    b: str
    a_right: bool
    b_right: bool


@dataclass(frozen=True, slots=True)
class Pair:
    """Two cells; `a` is held against `b`, which is the reference or was named before it."""

    contest: Contest
    permutation_p: float | None
    """Of the metric, by Holm's correction over all pairs. None: the test decides nothing, or items
    were taken until something was decided."""
    mcnemar_p: float | None
    """The same of right answers, in a family of its own."""
    needed: int | None
    """Items with which a difference as large as the margin would be found; None: not known."""
    differing: tuple[Differing, ...]

    @property
    def told_apart(self) -> bool:
        """Whether the interval of the difference excludes zero."""
        low, high = self.contest.difference.low, self.contest.difference.high
        return low is not None and high is not None and (low > 0 or high < 0)


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
    pairs: tuple[Pair, ...]
    """Those with the reference first."""
    fidelity: tuple[Fidelity, ...]
    """Of every other cell to the reference."""
    recommendation: Recommendation | None
    """None where items were taken until right answers were decided, and the margin is of a metric
    that right answers say nothing about."""
    stopping: Stopping | None
    """None: all items were asked, as planned."""
    sizes: Mapping[str, int | None]
    """Cell -> bytes of its weights' files, adapter included; None: not known here."""
    memory: Mapping[str, int | None]
    """Cell -> bytes that its model took while it was loaded; None: a server has it."""

    @property
    def against_reference(self) -> tuple[Pair, ...]:
        """The pairs of which the reference is one."""
        return tuple(pair for pair in self.pairs if pair.contest.b == self.reference)
