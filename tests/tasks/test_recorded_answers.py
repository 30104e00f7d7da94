"""Answers of two real models, each with its right reading, which a person wrote beside it.

`tests/fixtures/answers/README.md` says how they were made and what counts as right.
"""

import json

import pytest

from gateway.models.environment import shipped
from gateway.tasks.parsing import parse_answer
from gateway.tasks.task import load_task
from tests.support.imports import ROOT

RECORDED = [
    json.loads(line)
    for line in (ROOT / "tests/fixtures/answers/recorded.jsonl").read_text("utf-8").splitlines()
]
INTENTS = (
    *("card arrival", "card linking", "exchange rate", "lost or stolen card"),
    *("declined payment", "top up", "verify identity", "cash withdrawal"),
)


def test_there_are_two_hundred_of_two_models() -> None:
    assert len(RECORDED) >= 200
    assert {each["model"] for each in RECORDED} == {"smollm2-135m", "gemma3-270m-plain"}


@pytest.mark.parametrize("number", range(len(RECORDED)))
def test_an_answer_is_read_as_a_person_reads_it(number: int) -> None:
    said = RECORDED[number]
    task = load_task(said["task"], shipped("prompts"))
    labels = tuple(label.name for label in task.labels) or INTENTS
    parsed = parse_answer(said["text"], task, labels, cut=said["cut"], begun=bool(said["start"]))
    assert parsed.answer == said["right"], parsed.reason
