"""A reasoning model reasons in its own thought, within a budget, and answers behind it."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.backends.fake import Script
from gateway.evaluation.plan import record
from gateway.evaluation.predictions import answers_of, predictions_of
from gateway.evaluation.run import Cell, own_thought, run
from gateway.evaluation.store import Observation, Store
from gateway.evaluation.summary import evaluate
from gateway.scoring.results import Status
from tests.support.grids import FakePool, prepared
from tests.support.rendering import CHATML, OPENS_A_THOUGHT, RenderingBackend

SWITCHED = CHATML.replace(
    "assistant\n{% endif",
    "assistant\n{% if enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif",
)
CHANNELS = (
    "{% for m in messages %}<|start|>{{ m.role }}<|channel|>final<|message|>{{ m.content }}<|end|>"
    "{% endfor %}{# <|channel|>analysis<|message|> #}"
    "{% if add_generation_prompt %}<|start|>assistant{% endif %}"
)
THINKS = "hm</think>ho"


class Recording(FakePool):
    """A pool with one model that renders by a template, and remembers its prompts."""

    def __init__(self, template: str, script: Script, **entry: object) -> None:
        super().__init__()
        self.prompts: list[str] = []
        spec = replace(self.backend.spec, chat_template=template, **entry)  # type: ignore[arg-type]

        def said(prompt: str) -> str:
            self.prompts.append(prompt)
            return script(prompt)

        self.backend = RenderingBackend(spec, said)


def asked(
    root: Path, template: str, script: Script, strategy: str = "reasoned", **entry: object
) -> tuple[Cell, list[Observation], Recording]:
    pool = Recording(template, script, **entry)
    plan = replace(prepared(root, strategy, limit=3).plan)
    with Store(root / "store.sqlite") as store:
        (cell,) = asyncio.run(run(plan, pool, store, lambda _: None))
        return cell, list(store.answers(cell.digest).values()), pool


@pytest.mark.parametrize(
    ("template", "begins", "opening", "script", "text"),
    [
        (OPENS_A_THOUGHT, "<think>\n", "", THINKS, "hm\n</think>\n\n"),
        (SWITCHED, "<think>\n", "<think>\n", THINKS, "<think>\nhm\n</think>\n\n"),
        (
            CHANNELS,
            "<|channel|>analysis<|message|>",
            "<|channel|>analysis<|message|>",
            "hm<|end|><|start|>assistant",
            "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>",
        ),
    ],
)
def test_labels_are_scored_behind_the_closed_thought(
    tmp_path: Path, template: str, begins: str, opening: str, script: str, text: str
) -> None:
    cell, seen, pool = asked(tmp_path, template, lambda _: script)
    assert all(prompt.endswith(begins) for prompt in pool.prompts)
    for each in seen:
        assert (each.status, each.text, each.thought_cut) == (Status.OK, text, False)
        assert len(each.logprobs) == 2
    assert text.startswith(opening)
    assert cell.mode == "score"


def test_a_thought_that_uses_its_budget_up_is_closed_and_counted(tmp_path: Path) -> None:
    cell, seen, _ = asked(tmp_path, OPENS_A_THOUGHT, lambda _: "mumble on and on and on")
    assert {each.text for each in seen} == {"mumble on an\n</think>\n\n"}
    assert all(each.thought_cut and each.status is Status.OK for each in seen)
    made = prepared(tmp_path, "reasoned", limit=3)
    with Store(tmp_path / "store.sqlite") as store:
        kept = record(made, [cell])
        report = evaluate(kept, predictions_of(kept, store), answers_of(kept, store))
    (warning,) = [each for each in report.warnings if "thought" in each]
    assert warning.startswith("fake/reasoned: 3 of 3 thoughts were cut at the budget")
    (scored,) = [each for each in report.cells if each.kind == "model"]
    assert scored.details["thought cut at its budget and closed"] == "3 of 3"


def test_the_budget_of_the_entry_goes_before_that_of_the_strategy(tmp_path: Path) -> None:
    _, seen, _ = asked(tmp_path, OPENS_A_THOUGHT, lambda _: "mumble on and on", thinking_budget=6)
    assert {each.text for each in seen} == {"mumble\n</think>\n\n"}


def test_without_thoughts_the_reasoning_is_text_as_before(tmp_path: Path) -> None:
    for name, template, entry in (
        ("plain", CHATML, {}),
        ("off", SWITCHED, {"reasoning": "off"}),
    ):
        _, seen, pool = asked(tmp_path / name, template, lambda _: "hm! ho", **entry)
        assert {each.text for each in seen} == {"hm"}
        assert not any(each.thought_cut for each in seen)
        (strategy,) = prepared(tmp_path / name, "reasoned").plan.strategies
        assert own_thought(strategy, pool.backend) is None


def test_another_budget_is_another_cell(tmp_path: Path) -> None:
    cells = [
        asked(tmp_path, OPENS_A_THOUGHT, lambda _: THINKS, thinking_budget=budget)[0]
        for budget in (0, 5, 6)
    ]
    assert len({cell.digest for cell in cells}) == 3
    assert len({cell.fingerprint for cell in cells}) == 3
