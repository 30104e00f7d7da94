"""What is said of a file of answers, from what a judge was observed to say of each."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway.evaluation.judge.jsonfile import grades_jsonl, totals_json
from gateway.evaluation.judge.judgement import OWN_ANSWERS, UNTESTED, Judgement, judgement, plan_of
from gateway.evaluation.judge.rubric import GRADES
from gateway.evaluation.run import Cell
from gateway.evaluation.store import Observation
from gateway.scoring.results import Status
from gateway.tasks.task import Dataset, Item
from tests.evaluation.judge.answers import faithfulness, item, observed

FIVE = observed([0, 0, 0, 0, 0.9])
FOUR = observed([0, 0, 0, 0.9, 0])
ONE = observed([0.9, 0, 0, 0, 0])
CELL = Cell(
    "small",
    "grade",
    "digest",
    "score",
    "fingerprint",
    identity={"backend": "fake", "weights": "w" * 64},
    warnings=("the build repacks weights",),
)


def judged(
    seen: Sequence[Observation], humans: Sequence[str] | None = None, *, seed: int = 0
) -> Judgement:
    items = tuple(item(humans[n] if humans else None, name=f"item {n}") for n in range(len(seen)))
    data = Dataset("some/answers.csv", items, "data digest", ())
    observations = {asked.digest: o for asked, o in zip(items, seen, strict=True)}
    return judgement(faithfulness(), data, CELL, "bitwise", observations, seed=seed)


def test_the_judge_is_known_by_model_weights_backend_and_rubric() -> None:
    judge = judged([FIVE]).judge
    assert (judge.model, judge.backend, judge.weights) == ("small", "fake", "w" * 64)
    assert (judge.fingerprint, judge.level) == ("fingerprint", "bitwise")
    assert (judge.rubric, judge.rubric_digest) == ("faithfulness", faithfulness().digest)


def test_the_mean_is_of_the_graded_answers_and_the_others_are_counted() -> None:
    failed = observed([], status=Status.FAILED, reason="no room")
    cut = observed([], status=Status.TRUNCATED, reason="too long")
    nothing = observed([0] * 5)
    made = judged([FIVE, FOUR, failed, cut, nothing, FOUR])
    assert made.statuses == {"ok": 3, "unparsed": 1, "truncated": 1, "failed": 1}
    assert made.mean is not None
    assert made.mean.value == pytest.approx(13 / 3)
    assert made.most_probable == {"1": 0, "2": 0, "3": 0, "4": 2, "5": 1}
    assert made.mean_probabilities == pytest.approx(
        {**dict.fromkeys(GRADES, 0), "4": 2 / 3, "5": 1 / 3}
    )
    assert made.mean_spread == 0.0
    assert made.mean_mass == pytest.approx(0.9)


def test_without_any_grade_there_is_no_mean() -> None:
    made = judged([observed([0] * 5)], ["3"])
    assert (made.mean, made.agreement, made.mean_mass, made.mean_probabilities) == (None,) * 3 + (
        {},
    )
    assert any("there is no kappa" in remark for remark in made.remarks())
    assert totals_json(made)["mean"] is None


def test_the_interval_of_the_mean_needs_no_seed() -> None:
    seen = [observed([n, 3, 1, 2, 12 - n]) for n in range(12)]
    made = judged(seen, seed=1)
    assert made.mean == judged(seen, seed=2).mean
    assert made.mean is not None
    assert (made.mean.low or 9) < made.mean.value < (made.mean.high or 0)


def test_every_reader_is_told_that_a_judge_favours_its_own_answers() -> None:
    for made in (judged([FIVE]), judged([FIVE, ONE], ["5", "1"])):
        assert OWN_ANSWERS in made.remarks()
    assert UNTESTED in judged([FIVE]).remarks()
    assert UNTESTED not in judged([FIVE, ONE], ["5", "1"]).remarks()


def test_agreement_is_of_answers_that_have_both_grades() -> None:
    seen = [FIVE, ONE, observed([0] * 5), FOUR]
    made = judged(seen, ["5", "1", "2", "4"])
    assert made.agreement is not None
    assert made.agreement.n == 3
    assert made.agreement.kappa is not None
    assert made.agreement.kappa.value == 1.0
    assert any("too few for any interval" in remark for remark in made.remarks())


def test_a_judge_that_is_not_better_than_chance_is_said_to_be_none() -> None:
    humans = ["1", "5", "3", "1", "5", "3", "2", "4"]
    blind = judged([FIVE] * 8, humans)
    assert any("beyond chance is not shown" in remark for remark in blind.remarks())
    told = {"1": ONE, "5": FIVE}
    good = judged([told.get(human, observed([0, 0, 1, 0, 0])) for human in humans], humans)
    assert not any("chance" in remark for remark in good.remarks())
    same = judged([FIVE] * 8, ["5"] * 8)
    assert any("the same grade" in remark for remark in same.remarks())


def test_bounds_are_counted_and_the_mean_says_how_far_they_reach() -> None:
    bounded = observed([0.1, 0, 0, 0, 0.4], bounds=(True, False, False, False, False))
    made = judged([bounded, FOUR])
    assert made.approximated == 1
    assert made.limits == pytest.approx(((4.2 + 4) / 2, (5 + 4) / 2))
    assert any(remark.startswith("1 of 2 grades rest on bounds") for remark in made.remarks())
    assert judged([FOUR]).limits is None


def test_a_judge_that_would_say_something_else_is_shown_to() -> None:
    remarks = list(judged([observed([0, 0, 0.01, 0, 0.01])]).remarks())
    assert any("0.020 is the probability" in remark for remark in remarks)
    assert "the build repacks weights" in remarks
    assert not any("is the probability" in remark for remark in judged([FIVE]).remarks())


def test_json_has_everything_and_no_clock() -> None:
    made = judged([FIVE, ONE, observed([0] * 5)], ["5", "2", "1"])
    said = json.loads(json.dumps(totals_json(made)))
    assert said["statuses"]["unparsed"] == 1
    assert said["agreement"]["n"] == 2
    assert said["judge"]["identity"] == {"backend": "fake", "weights": "w" * 64}
    lines = [json.loads(line) for line in grades_jsonl(made).splitlines()]
    assert [line["human"] for line in lines] == [5, 2, 1]
    assert [line["expected"] for line in lines] == [5.0, 1.0, None]
    assert lines[2]["status"] == "unparsed"
    again = judged([FIVE, ONE, observed([0] * 5)], ["5", "2", "1"])
    assert (totals_json(again), grades_jsonl(again)) == (totals_json(made), grades_jsonl(made))


def test_a_plan_asks_one_judge_for_one_grade_an_answer(tmp_path: Path) -> None:
    items: tuple[Item, ...] = (item(name="a"), item(name="b"))
    plan = plan_of(faithfulness(), Dataset("x.csv", items, "", ()), "small")
    assert (plan.models, plan.labels, plan.items) == (("small",), GRADES, items)
    assert [rule.value for rule in plan.rules] == ["sum"]
