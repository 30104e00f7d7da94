"""The best prompt is found by the metric, and training is paid back in seconds or never."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway.evaluation.ab.outcome import Outcome
from gateway.evaluation.perplexity import Reading
from gateway.evaluation.tuning_gain import BeforeAfter, BreakEven, Cost
from gateway.models.adapters.timings import Took
from gateway.quantization.perplexity import Measured
from gateway.report.pages.tuning_gain import section
from gateway.scoring.claims import claim
from gateway.scoring.results import CellScore, Metric

CELLS = {"m/zero_shot/sum": 0.45, "m/few_shot/sum": 0.5, "m+mine/zero_shot/sum": 0.8}


def found(metric: str = "macro_f1", **changes: Any) -> BeforeAfter:
    scores = [
        CellScore(name, "model", 10, {}, {metric: Metric(value, value - 0.1, value + 0.1)})
        for name, value in CELLS.items()
    ]
    pairs = [
        SimpleNamespace(
            contest=SimpleNamespace(a="m+mine/zero_shot/sum", b=name),
            claim=claim(metric, 0.3, 0.01, deciding=8, family=3),
            difference=Metric(0.3, 0.2, 0.4),
        )
        for name in list(CELLS)[:2]
    ]
    outcome = cast(
        Outcome,
        SimpleNamespace(report=SimpleNamespace(cells=scores), pairs=pairs, metric=metric),
    )
    costs = (
        Cost("m/zero_shot/sum", 250, 100, 0.5),
        Cost("m/few_shot/sum", 900, 300, 2.0),
        Cost("m+mine/zero_shot/sum", 250, 100, 0.5),
    )
    return replace(BeforeAfter(outcome, costs, Took(5, 100, 60_000, 3000.0), None), **changes)


def said(made: BeforeAfter) -> str:
    return " ".join(section(made).sentences)


def test_the_best_prompt_is_the_base_s_best_cell() -> None:
    assert found().best_prompt.name == "m/few_shot/sum"
    assert found("mae").best_prompt.name == "m/zero_shot/sum"
    assert found().comparison.contest.b == "m/few_shot/sum"
    assert "+0.300 [+0.200, +0.400]" in said(found())


def test_training_is_paid_back_by_shorter_prompts() -> None:
    even = found().break_even("m/few_shot/sum")
    assert (even.by_seconds, even.by_tokens) == (2000, 300)
    assert "m/few_shot/sum that is paid back after 2,000 items by seconds, 300 items by" in said(
        found()
    )


@pytest.mark.parametrize("seconds", [2.0, 3.0])
def test_or_never(seconds: float) -> None:
    slow = found()
    slow = replace(slow, costs=(*slow.costs[:-1], replace(slow.costs[-1], seconds=seconds)))
    assert slow.break_even("m/few_shot/sum").by_seconds is None
    assert "paid back after no number of items by seconds, 300 items by tokens" in said(slow)


def test_what_is_not_known_is_said() -> None:
    unknown = found(training=None)
    assert unknown.break_even("m/few_shot/sum") == BreakEven(None, None)
    assert "no break-even" in said(unknown)
    assert "What it forgot is not known" in said(unknown)


def test_forgetting_is_the_rise_of_perplexity() -> None:
    before, after = Measured(20.0, 0.1, 0.5), Measured(25.0, 0.1, 0.6)
    readings = (Reading(before, 10_240), Reading(after, 10_240))
    assert "20.00 ± 0.50 before, 25.00 ± 0.60 after (+25.0%, 10,240 tokens)" in said(
        found(readings=readings)
    )
