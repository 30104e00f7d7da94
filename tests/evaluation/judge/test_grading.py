import asyncio
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.evaluation.judge.grading import expected_grade, grade
from gateway.evaluation.judge.rubric import GRADES
from gateway.evaluation.run import Strategy, answer, question
from gateway.scoring.results import Status
from tests.evaluation.judge.answers import faithfulness, item, observed
from tests.support.grids import FakePool

PROBABILITIES = st.lists(st.floats(0.0, 1.0), min_size=5, max_size=5).filter(lambda ps: sum(ps) > 0)


def test_a_grade_is_the_expected_value_and_not_a_digit() -> None:
    made = grade(item("4"), observed([0.05, 0.1, 0.2, 0.1, 0.05]))
    assert made.expected == pytest.approx(3.0)
    assert made.spread == pytest.approx(math.sqrt(1.2))
    assert made.most_probable == 3
    assert made.mass == pytest.approx(0.5)
    assert made.probabilities == pytest.approx(
        dict(zip(GRADES, [0.1, 0.2, 0.4, 0.2, 0.1], strict=True))
    )
    assert (made.status, made.human, made.exact, made.limits) == (Status.OK, 4, True, None)


def test_a_judge_torn_between_the_ends_is_in_the_middle_and_says_so() -> None:
    made = grade(item(), observed([0.5, 0, 0, 0, 0.5]))
    assert (made.expected, made.spread, made.most_probable) == (3.0, 2.0, 1)
    sure = grade(item(), observed([0, 0, 0, 0.2, 0]))
    assert (sure.expected, sure.spread, sure.most_probable) == (4.0, 0.0, 4)
    assert sure.mass == pytest.approx(0.2)


def test_the_grade_is_made_of_the_scores_that_the_backend_gives() -> None:
    rubric, asked = faithfulness(), item()
    judge, strategy = FakePool().backend, Strategy(rubric.template)
    seen = asyncio.run(answer(rubric.task, GRADES, strategy, judge, asked))
    request = question(rubric.task, GRADES, strategy, judge, asked).request
    scores = asyncio.run(judge.score_labels(request, GRADES))
    shares = [math.exp(logprob) for logprob in scores.logprobs]
    expected = sum(k * p for k, p in enumerate(shares, start=1)) / sum(shares)
    assert grade(asked, seen).expected == pytest.approx(expected, rel=1e-12)


@given(PROBABILITIES)
def test_an_expected_grade_lies_within_the_grades_and_its_spread_within_two(
    probabilities: list[float],
) -> None:
    made = grade(item(), observed(probabilities))
    assert made.expected is not None
    assert made.spread is not None
    assert 1.0 <= made.expected <= 5.0
    assert 0.0 <= made.spread <= 2.0 + 1e-12
    possible = [k for k, p in zip(GRADES, made.probabilities.values(), strict=True) if p]
    assert int(possible[0]) - 1e-9 <= made.expected <= int(possible[-1]) + 1e-9
    assert str(made.most_probable) in possible


@given(PROBABILITIES, st.floats(0.01, 1.0))
def test_only_the_proportions_of_the_five_make_the_grade(
    probabilities: list[float], factor: float
) -> None:
    kept = [p if p > 1e-6 else 0.0 for p in (*probabilities[:4], max(probabilities[4], 0.1))]
    whole = grade(item(), observed(kept))
    less = grade(item(), observed([p * factor for p in kept]))
    turned = grade(item(), observed(kept[::-1]))
    assert less.expected == pytest.approx(whole.expected)
    assert turned.expected == pytest.approx(6 - (whole.expected or 0))


def test_no_grade_at_all_is_no_middle_grade() -> None:
    made = grade(item("3"), observed([0, 0, 0, 0, 0]))
    assert (made.status, made.expected, made.most_probable) == (Status.UNPARSED, None, None)
    assert made.probabilities == {}
    assert "none of the five" in made.reason


@pytest.mark.parametrize("status", [Status.FAILED, Status.TRUNCATED, Status.UNPARSED])
def test_what_was_not_scored_keeps_its_status_and_gets_no_grade(status: Status) -> None:
    made = grade(item("3"), observed([0.2] * 5, status=status, reason="why"))
    assert (made.status, made.reason, made.human) == (status, "why", 3)
    assert (made.expected, made.spread, made.most_probable, made.mass) == (None,) * 4


def test_what_a_judge_wrote_before_its_grade_is_kept() -> None:
    seen = replace(observed([0, 0, 0, 0, 1.0]), text="All of it is in the source.")
    assert grade(item(), seen).reasoning == "All of it is in the source."


def test_a_bound_can_lose_but_not_win() -> None:
    won = grade(
        item(), observed([0.1, 0.1, 0.5, 0.1, 0.1], bounds=(False, False, True, True, False))
    )
    assert (won.status, won.expected, won.exact) == (Status.UNPARSED, None, False)
    assert "of 2 of 5 grades only a bound is known" in won.reason
    lost = grade(item(), observed([0.1, 0, 0, 0, 0.4], bounds=(True, False, False, False, False)))
    assert (lost.status, lost.exact) == (Status.OK, False)
    assert lost.expected == pytest.approx(4.2)
    assert lost.limits == pytest.approx((4.2, 5.0))


@given(
    st.lists(st.floats(0.01, 0.9), min_size=4, max_size=4),
    st.lists(st.booleans(), min_size=4, max_size=4).filter(any),
    st.lists(st.floats(0.0, 1.0), min_size=4, max_size=4),
)
def test_the_limits_hold_whatever_the_bounds_stand_for(
    others: list[float], bounded: list[bool], shares: list[float]
) -> None:
    most = [*others, 1.0]
    made = grade(item(), observed(most, bounds=(*bounded, False)))
    true = [p * s if b else p for p, b, s in zip(others, bounded, shares, strict=True)] + [1.0]
    assert made.limits is not None
    least, greatest = made.limits
    expected = expected_grade([p / sum(true) for p in true])
    assert least - 1e-9 <= expected <= greatest + 1e-9
    assert least <= (made.expected or 0) + 1e-9
