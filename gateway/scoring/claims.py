"""The one rule by which a cell is called better than another.

Whatever says of two cells that one is better, beats the other, leads, is the best, or that both are
equivalent, says what is decided here: from the direction of the difference, the p-value of its
test, corrected for the whole family of comparisons that a reader sees beside it, and the number of
items that decide. Below `FEWEST_DECIDING` of those no test can decide, and nothing is claimed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from gateway.scoring.mcnemar import FEWEST_DECIDING
from gateway.scoring.metrics import merit
from gateway.scoring.results import Verdict
from gateway.scoring.sequential import Decision, Sequential

ALPHA = 0.05
"""How often, at most, a family of comparisons between equal cells claims anything."""


class Correction(StrEnum):
    """How a p-value allows for the other comparisons of its family."""

    NONE = "no other comparison to correct for"
    MAX_T = "max-T"
    HOLM = "Holm"
    EVERY_LOOK = "every look, alpha shared among the pairs"


@dataclass(frozen=True, slots=True)
class Claim:
    """What a comparison allows to say of its first cell, and what that rests on."""

    verdict: Verdict
    p_value: float | None
    """Corrected; None where no test decides, or one that looks after every item."""
    deciding: int
    """Items that the test goes by, or clusters of them."""
    correction: Correction
    family: int
    """Comparisons that are corrected for together, this one among them."""

    @property
    def shown(self) -> bool:
        """Whether the two are told apart."""
        return self.verdict in (Verdict.BETTER, Verdict.WORSE)


def claim(
    metric: str,
    difference: float,
    p_value: float | None,
    *,
    deciding: int,
    family: int,
    correction: Correction = Correction.MAX_T,
) -> Claim:
    """What a test of the difference a minus b allows to say of `a`.

    Args:
        metric: says which way is better.
        p_value: two-sided, corrected for the family.
        deciding: as `Claim.deciding`.
        family: as `Claim.family`.
    """
    how = Correction.NONE if family == 1 else correction
    if deciding < FEWEST_DECIDING or p_value is None:
        return Claim(Verdict.TOO_FEW, None, deciding, how, family)
    gain = merit(metric, difference)
    if p_value > ALPHA or gain == 0:
        return Claim(Verdict.NOT_TOLD_APART, p_value, deciding, how, family)
    verdict = Verdict.BETTER if gain > 0 else Verdict.WORSE
    return Claim(verdict, p_value, deciding, how, family)


def claim_of_looks(looks: Sequential, *, deciding: int, family: int) -> Claim:
    """The same where items were looked at one by one, at an alpha that the family shares."""
    verdict = {
        Decision.A_BETTER: Verdict.BETTER,
        Decision.B_BETTER: Verdict.WORSE,
        Decision.EQUIVALENT: Verdict.NOT_TOLD_APART,
        Decision.UNDECIDED: Verdict.NOT_TOLD_APART,
    }[looks.decision]
    return Claim(verdict, None, deciding, Correction.EVERY_LOOK, family)


def leads(claims: Sequence[Claim]) -> bool:
    """Whether a cell, held against by every other one of these, is the best: all are shown to be
    worse than it."""
    return bool(claims) and all(each.verdict is Verdict.WORSE for each in claims)
