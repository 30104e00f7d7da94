"""What a model wrote -> an observation: a thought is no answer, and a guess is none either."""

import asyncio
from pathlib import Path

import pytest

from gateway.backends.fake import FakeBackend
from gateway.evaluation.run import Strategy, answer
from gateway.evaluation.store import Observation
from gateway.models.environment import shipped
from gateway.models.spec import ModelSpec, PathSource
from gateway.scoring.results import Status
from gateway.tasks.prompts import PromptTemplate
from gateway.tasks.task import Item, load_task

LABELS = ("bug", "feature", "question")


def observed(task_name: str, said: str, *, tokens: int = 400, settings: str = "") -> Observation:
    """What is kept of a text; a token of this model is a byte."""
    task = load_task(task_name, shipped("prompts"))
    source = f'{{# mode = "generate"\nmax_tokens = {tokens}\n{settings} #}}'
    source += "{% block user %}{{ title }}{% endblock %}"
    template = PromptTemplate(Path("mine.j2"), source, task)
    backend = FakeBackend(ModelSpec("fake", PathSource(Path())), script=lambda _: said)
    labels = LABELS if task.kind == "classification" else ()
    item = Item("1", dict.fromkeys(task.fields, "x"), None, None, "1")
    return asyncio.run(answer(task, labels, Strategy(template), backend, item))


THOUGHT = "<think>\nA bug or a feature? It asks how to set it up.\n</think>\n\nquestion"


@pytest.mark.parametrize(
    ("task", "said", "found"),
    [
        ("issue-triage", THOUGHT, "question"),
        ("story-points", "<think>\n3 parts and 8 risks\n</think>\n\n5", 5.0),
        ("story-points", ".5", 0.5),
        ("story-points", "1. Read the issue.\n2. Estimate: 8", 8.0),
        (
            "issue-fields",
            '<think>{"type": "bug"}</think>{"type":"bug","priority":"low","component":"ui"}',
            {"type": "bug", "priority": "low", "component": "ui"},
        ),
    ],
)
def test_the_answer_behind_a_thought_is_read(task: str, said: str, found: object) -> None:
    seen = observed(task, said)
    assert (seen.status, seen.answer) == (Status.OK, found)
    assert seen.text == said


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("issue-triage", "<think>\nThis is a bug at first sight, but the reporter asks"),
        ("story-points", "<think>\nThe work has 3 parts. First I would compare it"),
    ],
)
def test_an_answer_that_is_still_a_thought_is_truncated(task: str, said: str) -> None:
    for tokens in (30, 400):
        seen = observed(task, said, tokens=tokens)
        assert (seen.status, seen.answer) == (Status.TRUNCATED, None)
        assert "within the model's thought" in seen.reason


def test_a_range_is_unparsed() -> None:
    seen = observed("story-points", "3-5")
    assert (seen.status, seen.reason) == (Status.UNPARSED, "'3-5' is a range")


def test_a_number_that_the_limit_cut_is_truncated() -> None:
    seen = observed("story-points", "The estimate is 13", tokens=17)
    assert (seen.text, seen.status) == ("The estimate is 1", Status.TRUNCATED)


def test_labels_are_not_scored_behind_an_open_thought() -> None:
    reasoning = "[reasoning]\ntokens = 20"
    cut = observed("issue-triage", "<think>a bug, I would say", settings=reasoning)
    assert (cut.status, cut.answer) == (Status.TRUNCATED, None)
    closed = observed("issue-triage", "<think>no</think> a bug", settings=reasoning)
    assert closed.text.startswith("<think>no</think>")
