"""The advice, the ranges, running a model, and the whole plan."""

import json
from itertools import product

import pytest

from gateway.core.errors import ConfigError
from gateway.models.gguf import read_header
from gateway.quantization.estimate import estimate
from gateway.tuning.plan.architecture import families, from_path
from gateway.tuning.plan.guide import ENOUGH_EXAMPLES, RULES, Advice, Answers, advise
from gateway.tuning.plan.hyperparameters import RANKS, ranges, steps
from gateway.tuning.plan.inference_memory import cache, inference_memory, remarks
from gateway.tuning.plan.parameters import targets_of
from gateway.tuning.plan.plan import make_plan, plan_json, plan_model
from gateway.tuning.plan.setup import Setup
from tests.conftest import spec_and_path

A = families()["llama-3.1-8b"]
SETUP = Setup("lora", context=1024, targets=targets_of(A, "all-linear"))


def names(advice: Advice) -> set[str]:
    return {rule.name for rule in advice.reasons}


@pytest.mark.parametrize(
    ("answers", "verdict"),
    [
        (Answers(), "prompt first"),
        (Answers("labels", 900, best_prompt=0.8, needed=0.75), "prompt"),
        (Answers("labels", 900, best_prompt=0.51, needed=0.75), "fine-tune"),
        (
            Answers("labels", 40, best_prompt=0.51, needed=0.75),
            "prompt with exemplars, and gather examples",
        ),
        (Answers("knowledge", 900, best_prompt=0.51, needed=0.75), "retrieve"),
        (
            Answers("style", 900, "often", best_prompt=0.51, needed=0.75),
            "both: retrieve and fine-tune",
        ),
        (Answers("format", 500, best_prompt=0.8, needed=0.7, latency="tight"), "fine-tune"),
    ],
)
def test_the_framework_decides(answers: Answers, verdict: str) -> None:
    assert advise(answers).verdict == verdict


def test_every_combination_of_answers_has_a_verdict_with_reasons() -> None:
    for goal, n, changes, best, latency in product(
        (None, "labels", "format", "style", "knowledge"),
        (None, 0, ENOUGH_EXAMPLES - 1, ENOUGH_EXAMPLES),
        (None, "never", "rarely", "often"),
        (None, 0.4, 0.9),
        (None, "free", "tight"),
    ):
        answers = Answers(goal, n, changes, best, None if best is None else 0.8, latency)  # type: ignore[arg-type]
        advice = advise(answers)
        assert advice.verdict
        assert advice.reasons or not advice.questions or answers.reached is False
        if goal == "knowledge":
            assert "behaviour is missing" not in names(advice)


def test_each_rule_says_why_and_where_from_and_holds_for_somebody() -> None:
    assert all(rule.because and rule.source for rule in RULES)
    people = (
        Answers(),
        Answers("labels", 900, best_prompt=0.9, needed=0.8, latency="tight"),
        Answers("labels", 900, best_prompt=0.5, needed=0.8),
        Answers("labels", 9, best_prompt=0.5, needed=0.8),
        Answers("knowledge", changes="often"),
    )
    assert {name for who in people for name in names(advise(who))} == {r.name for r in RULES}


def test_what_was_not_said_is_named_as_a_question() -> None:
    assert len(advise(Answers()).questions) == 6
    (question,) = advise(Answers("labels", 9, "never", 0.5, 0.8)).questions
    assert question.startswith("--latency")


def test_steps_follow_from_examples_batch_and_devices() -> None:
    long = steps(900, Setup("full", batch=2, accumulate=4, devices=2))
    assert (long.each, long.total, long.warm_up) == (57, 285, 15)
    assert long.formula == "5 x ceil(900 / (2 x 4 x 2))"


def test_ranges_are_those_of_the_rank_and_every_one_has_a_source() -> None:
    found = {r.name: r for r in ranges(SETUP)}
    assert found["alpha"].range == "r to 2r: 16 to 32"
    assert all(r.source for r in found.values())
    assert all(rank.source for rank in RANKS)


@pytest.mark.parametrize("entry", ["smollm2-135m", "gemma3-270m-plain"])
def test_keys_and_values_are_what_the_estimate_from_the_file_says(entry: str) -> None:
    path = spec_and_path(entry)[1]
    found = estimate(read_header(path), 2048)
    assert cache(from_path(path), 2048).value == found.cache


def test_weights_at_a_level_are_what_llama_cpp_s_own_table_says() -> None:
    """tools/quantize/README.md: 4.58 GiB as Q4_K_M, 7.95 as Q8_0."""
    mixed, plain = inference_memory(A, ["Q4_K_M", "Q8_0"], [4096])
    assert mixed.weights.value / 2**30 == pytest.approx(4.58, abs=0.01)
    assert plain.weights.value / 2**30 == pytest.approx(7.95, abs=0.01)
    assert mixed.totals == (mixed.weights.value + 2 * 32 * 4096 * 8 * 128 * 2,)


def test_where_rows_fit_no_block_the_table_says_that_files_are_larger() -> None:
    assert any("rows of 576" in line for line in remarks(families()["smollm2-135m"]))
    assert not any("rows of" in line for line in remarks(A))


def test_a_level_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="names no quantization level"):
        inference_memory(A, ["Q9"], [1])


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        (None, "--memory"),
        (24e9, "LoRA: it fits"),
        (12e9, "QLoRA: it fits"),
        (8e9, "with ZeRO 3"),
        (1e9, "a smaller model"),
    ],
)
def test_the_method_is_the_first_that_fits(budget: float | None, said: str) -> None:
    made = plan_model(A, SETUP, None if budget is None else int(budget))
    assert said in made.with_what()


def test_a_plan_is_json_in_which_every_size_has_its_formula() -> None:
    made = plan_json(make_plan(Answers("labels", 900), SETUP, A, 24 * 10**9))
    found = json.loads(json.dumps(made))
    assert found["advice"]["verdict"] == "prompt first"
    for memory in found["model"]["training"].values():
        assert memory["total"] == memory["moments"][memory["peak"]]["total"]
        assert all(t["formula"] for m in memory["moments"].values() for t in m["terms"])


def test_without_a_model_there_is_advice_only() -> None:
    made = make_plan(Answers(), Setup("full"), None)
    assert made.model is None
    assert made.advice.verdict == "prompt first"
    assert plan_json(made)["model"] is None
