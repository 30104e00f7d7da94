"""Answers and chat templates of the kinds that once gave a wrong number, through the run's loop."""

import asyncio
from pathlib import Path

import pytest

from gateway.backends.fake import FakeSpec, Script
from gateway.backends.pool import ModelPool
from gateway.core.errors import ConfigError
from gateway.evaluation.plan import RunOptions, prepare
from gateway.evaluation.run import run
from gateway.evaluation.store import Observation, Store
from gateway.models.environment import shipped
from gateway.models.file import Models
from gateway.models.spec import PathSource
from gateway.scoring.results import Status
from tests.support import rendering as kinds

WRITTEN = (
    '{# mode = "generate"\nmax_tokens = 60 #}{% block system %}Answer.{% endblock %}'
    "{% block user %}{{ title }}{% endblock %}"
)
DATA = {
    "issue-triage": "title,body,label\na,b,bug\n",
    "story-points": "title,description,storypoint\na,b,3\n",
}


def said(root: Path, task: str, text: str) -> Observation:
    """What is stored of an answer with that text."""
    (seen,) = asked(root, task, lambda _: text, kinds.CHATML)
    return seen


def asked(root: Path, task: str, script: Script, template: str) -> list[Observation]:
    folder = root / "prompts" / task
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "task.toml").write_text((shipped("prompts") / task / "task.toml").read_text())
    (folder / "written.j2").write_text(WRITTEN)
    (root / "d.csv").write_text(DATA[task])
    plan = prepare(
        RunOptions(
            task=task,
            data=str(root / "d.csv"),
            models=("fake",),
            strategies=("written",),
            prompts=root / "prompts",
        )
    ).plan
    pool = pool_of(template, script)
    with Store(root / "s.sqlite") as store:
        (cell,) = asyncio.run(run(plan, pool, store, lambda _: None))
        return list(store.answers(cell.digest).values())


def pool_of(template: str, script: Script | None = None) -> ModelPool:
    """With a model that has no weights and this chat template."""
    spec = FakeSpec("fake", PathSource(Path()), chat_template=template)
    backend = kinds.RenderingBackend(spec, script)
    return ModelPool(Models({"fake": spec}, "fake"), loader=lambda *_: backend)


@pytest.mark.parametrize(
    ("task", "text", "answer"),
    [
        ("issue-triage", "<think>\nBug or feature? It asks how.\n</think>\n\nquestion", "question"),
        ("issue-triage", "[THINK]Bug or feature?[/THINK]question", "question"),
        ("story-points", ".5", 0.5),
        ("story-points", "1. Read the issue.\n2. Estimate: 8", 8.0),
    ],
)
def test_14_what_is_an_answer_is_read(tmp_path: Path, task: str, text: str, answer: object) -> None:
    seen = said(tmp_path, task, text)
    assert (seen.status, seen.answer) == (Status.OK, answer)


@pytest.mark.parametrize(
    ("task", "text", "status", "reason"),
    [
        ("issue-triage", "<think>\nOkay, this could be a bug", Status.TRUNCATED, "within the"),
        ("story-points", "<think>\nThe work has 3 parts. " * 9, Status.TRUNCATED, "within the"),
        ("issue-triage", "<reasoning>It is a bug", Status.TRUNCATED, "within the"),
        ("story-points", "3-5", Status.UNPARSED, "is a range"),
    ],
)
def test_14_what_is_no_answer_says_why(
    tmp_path: Path, task: str, text: str, status: Status, reason: str
) -> None:
    seen = said(tmp_path, task, text)
    assert (seen.status, seen.answer) == (status, None)
    assert reason in seen.reason


@pytest.mark.parametrize("template", [kinds.REFUSES_SYSTEM, kinds.DROPS_SYSTEM])
def test_16_system_text_that_a_template_does_not_show_goes_into_the_users_turn(
    tmp_path: Path, template: str
) -> None:
    seen: list[str] = []

    def script(prompt: str) -> str:
        seen.append(prompt)
        return "bug"

    (answer,) = asked(tmp_path, "issue-triage", script, template)
    assert answer.status is Status.OK
    assert "Answer.\n\na" in seen[-1]


def test_18_labels_are_not_read_within_a_thought_that_the_template_opens(tmp_path: Path) -> None:
    script: Script = lambda _: "Could be a bug.\n</think>\nquestion"  # noqa: E731
    (seen,) = asked(tmp_path, "issue-triage", script, kinds.OPENS_A_THOUGHT)
    assert seen.answer == "question"
    with pytest.raises(ConfigError, match="within that thought"):
        scored(tmp_path, kinds.OPENS_A_THOUGHT)


def scored(root: Path, template: str) -> None:
    path = root / "prompts" / "issue-triage" / "written.j2"
    (root / "prompts" / "issue-triage" / "scored.j2").write_text(
        path.read_text().replace('"generate"\nmax_tokens = 60', '"score"')
    )
    wanted = RunOptions(
        task="issue-triage",
        data=str(root / "d.csv"),
        models=("fake",),
        strategies=("scored",),
        prompts=root / "prompts",
    )
    pool = pool_of(template)
    with Store(root / "s.sqlite") as store:
        asyncio.run(run(prepare(wanted).plan, pool, store, lambda _: None))
