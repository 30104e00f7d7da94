"""Label scores of the five grades -> one grade, which is an expected value.

The grade is the sum of p(k) * k over the judge's probabilities of the labels "1" to "5", normalised
over these five: the scoring function of G-Eval (Liu et al. 2023, "G-Eval: NLG Evaluation using
GPT-4 with Better Human Alignment", section 2). There the probabilities are estimated from 20
samples; here they are read from the model, so that nothing is sampled and no digit is drawn.

An answer that cannot be graded has a status and no grade: it never gets a middle or a lowest one.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product

from gateway.evaluation.judge.rubric import GRADES
from gateway.evaluation.store import Observation
from gateway.scoring.results import Status
from gateway.scoring.rules import Calibrator, ScoreRule
from gateway.tasks.task import Item

_BY_SUM = Calibrator.fit(ScoreRule.SUM, GRADES)


@dataclass(frozen=True, slots=True)
class Grade:
    """What a judge says of one answer."""

    item_id: str
    item_digest: str
    status: Status
    expected: float | None = None
    """From 1 to 5; None unless `status` is OK, and so are the next three."""
    spread: float | None = None
    """Standard deviation of the five probabilities: 0 sure of one grade, 2 torn between 1 and 5."""
    most_probable: int | None = None
    """Of several equally probable grades the lowest."""
    mass: float | None = None
    """Probability that the judge answers with one of the five at all, before they are normalised;
    at most so much, where `exact` is not set."""
    probabilities: Mapping[str, float] = field(default_factory=dict)
    """Of the five, with sum 1; empty unless `status` is OK."""
    exact: bool = True
    """False: a probability rests on a bound or an approximation, and so does the grade."""
    limits: tuple[float, float] | None = None
    """Between which the expected grade lies, whatever the probabilities are of which only a bound
    is known; None where there are none."""
    reason: str = ""
    """Why there is no grade."""
    reasoning: str = ""
    """What the judge wrote before it graded, where its template lets it reason."""
    human: int | None = None
    shortened: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Fields that the template's rule shortened: tokens before and after."""
    prompt_digest: str = ""


def grade(item: Item, seen: Observation) -> Grade:
    """The grade of an item, from what the judge was observed to say of it."""
    known = Grade(
        item_id=item.id,
        item_digest=item.digest,
        status=seen.status,
        exact=seen.exact,
        reason=seen.reason,
        reasoning=seen.text,
        human=int(item.gold) if isinstance(item.gold, str) else None,
        shortened=dict(seen.shortened or {}),
        prompt_digest=seen.prompt_digest,
    )
    return _graded(known, seen) if seen.status is Status.OK else known


def _graded(known: Grade, seen: Observation) -> Grade:
    if all(math.isinf(logprob) for logprob in seen.logprobs):
        return _ungraded(known, "the judge gives none of the five grades any probability")
    probabilities = _BY_SUM.probabilities(seen)
    best = _BY_SUM.best(probabilities)
    if _BY_SUM.undecided(seen, best):
        count = sum(seen.bounds)
        return _ungraded(
            known, f"of {count} of 5 grades only a bound is known, and the most probable is one"
        )
    shares = tuple(probabilities.values())
    expected = expected_grade(shares)
    return replace(
        known,
        expected=expected,
        spread=math.sqrt(math.fsum(p * (k - expected) ** 2 for k, p in enumerate(shares, start=1))),
        most_probable=int(best),
        mass=min(1.0, math.fsum(map(math.exp, seen.logprobs))),
        probabilities=probabilities,
        limits=_limits(shares, seen.bounds),
    )


def _ungraded(known: Grade, reason: str) -> Grade:
    return replace(known, status=Status.UNPARSED, reason=reason)


def expected_grade(shares: Sequence[float]) -> float:
    """Sum of p(k) * k for the probabilities of the grades 1 to 5, in this order, with sum 1."""
    value = math.fsum(k * p for k, p in enumerate(shares, start=1))
    # Probabilities whose sum is one but for rounding must not lead beyond the grades.
    return min(max(value, 1.0), 5.0)


def _limits(shares: Sequence[float], bounds: Sequence[bool]) -> tuple[float, float] | None:
    """The least and the greatest expected grade that the bounded probabilities allow.

    Each may be anything from zero to its bound. The expected grade is a quotient of two linear
    functions of them, so its extremes lie where each is at one of its two ends.
    """
    if not any(bounds):
        return None
    ends = [(0.0, p) if bound else (p,) for p, bound in zip(shares, bounds, strict=True)]
    values = [expected_grade([p / math.fsum(chosen) for p in chosen]) for chosen in product(*ends)]
    return min(values), max(values)
