"""Which cell to take: quality against size, and one stated rule.

The rule: of the cells shown to be not worse than the best one by more than a margin, the smallest.
"Shown" is what the comparison of the two shows at the margin, corrected for all pairs; of a
difference of which only an interval is known, that the interval stays within the margin on the
worse side. The best one was picked as the best on these very items, which flatters it, so the rule
errs towards the larger cell.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from gateway.core.errors import ConfigError
from gateway.scoring.metrics import merit
from gateway.scoring.results import Metric


@dataclass(frozen=True, slots=True)
class Candidate:
    """A cell with what it costs. None: not known."""

    name: str
    quality: float
    """The estimate of the metric."""
    size_bytes: int | None
    """Of the weights."""
    memory_bytes: int | None = None
    tokens_per_s: float | None = None
    seconds_per_correct: float | None = None
    difference: Metric | None = None
    """Its metric less that of the best cell, with the interval that stands beside the comparison
    (`Comparison.difference`); None where they are not compared. Of the best cell itself it is not
    read."""
    not_worse: bool | None = None
    """Whether the test at the margin shows it to be not worse than the best cell; None: no such
    test was made, and the interval says it."""


class Standing(StrEnum):
    """What the rule says of one cell."""

    BEST = "best"
    NOT_WORSE = "not worse"
    """By more than the margin, and that is shown."""
    WORSE = "worse"
    """By more than the margin, and that is shown."""
    OPEN = "open"
    """Neither is shown: too few items for this margin."""


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What the rule gives, and what it was given."""

    metric: str
    margin: float
    best: Candidate
    chosen: Candidate
    standings: tuple[tuple[Candidate, Standing], ...]
    """Every cell, in the given order."""
    frontier: tuple[Candidate, ...]
    """Cells such that no other is as good and as small and better in one of both; smallest first.
    Cells of unknown size are on none."""

    def with_standing(self, *standings: Standing) -> list[Candidate]:
        """The cells of these standings, in the given order."""
        return [cell for cell, standing in self.standings if standing in standings]


def recommend(candidates: Sequence[Candidate], *, metric: str, margin: float) -> Recommendation:
    """Apply the rule.

    Of equally small cells the one of less memory is taken, then the better one, then the first.
    A cell of unknown size is taken only where it is the best and nothing else is left.

    Args:
        metric: says which way is better (`gateway.scoring.metrics`).
        margin: in units of the metric; more than zero.

    Raises:
        ConfigError: there is no candidate, or the margin is not above zero.
    """
    if not candidates or not margin > 0:
        raise ConfigError(
            "a recommendation needs at least one cell and a margin above zero",
            hint="give the largest loss that would not matter, such as 0.02 for 2 points",
        )
    best = max(candidates, key=lambda cell: merit(metric, cell.quality))
    standings = tuple(
        (cell, Standing.BEST if cell is best else _standing(cell, metric, margin))
        for cell in candidates
    )
    good = [cell for cell, s in standings if s in (Standing.BEST, Standing.NOT_WORSE)]
    sized = [cell for cell in good if cell.size_bytes is not None]
    return Recommendation(
        metric=metric,
        margin=margin,
        best=best,
        chosen=min(sized, key=lambda cell: _cost(cell, metric)) if sized else best,
        standings=standings,
        frontier=_frontier(candidates, metric),
    )


def _standing(cell: Candidate, metric: str, margin: float) -> Standing:
    known = cell.difference
    if cell.not_worse:
        return Standing.NOT_WORSE
    if known is None or known.low is None or known.high is None:
        return Standing.OPEN
    worst, kindest = sorted((merit(metric, known.low), merit(metric, known.high)))
    if cell.not_worse is None and worst > -margin:
        return Standing.NOT_WORSE
    return Standing.WORSE if kindest < -margin else Standing.OPEN


def _cost(cell: Candidate, metric: str) -> tuple[float, float, float]:
    unknown = float("inf")
    size = unknown if cell.size_bytes is None else cell.size_bytes
    memory = unknown if cell.memory_bytes is None else cell.memory_bytes
    return size, memory, -merit(metric, cell.quality)


def _frontier(candidates: Sequence[Candidate], metric: str) -> tuple[Candidate, ...]:
    sized = [
        (cell.size_bytes, merit(metric, cell.quality), cell)
        for cell in candidates
        if cell.size_bytes is not None
    ]
    kept = [
        (size, cell)
        for size, quality, cell in sized
        if not any(s <= size and q >= quality and (s < size or q > quality) for s, q, _ in sized)
    ]
    return tuple(cell for _, cell in sorted(kept, key=lambda row: row[0]))
