"""A rubric, answers to grade, and what a judge was observed to say of them."""

import math
from collections.abc import Sequence
from pathlib import Path

from gateway.evaluation.judge.rubric import GRADES, Rubric, load_rubric
from gateway.evaluation.store import Observation
from gateway.models.environment import shipped
from gateway.scoring.results import Status
from gateway.tasks.task import Item

SHIPPED = shipped("prompts")
ROWS = (
    ("tuesday", "The meeting is on Tuesday at ten in room 4.", "It is on Tuesday at ten.", 5),
    ("cancelled", "The meeting is on Tuesday at ten in room 4.", "It was cancelled.", 1),
    ("cheese", "The shop sells bread and milk.", "The shop sells bread and cheese.", 3),
)

RUBRIC = """
description = "Grade it."
[fields]
answer = ["answer"]
[grades]
1 = "bad"
2 = "poor"
3 = "fair"
4 = "good"
5 = "best"
"""
TEMPLATE = '{# mode = "score" #}{% block user %}{{ answer }}{% endblock %}'


def write_rubric(root: Path, rubric: str = RUBRIC, template: str = TEMPLATE) -> Path:
    """A folder of prompts with the one rubric "mine", which is shorter than the shipped ones."""
    folder = root / "mine"
    folder.mkdir(parents=True)
    (folder / "rubric.toml").write_text(rubric)
    (folder / "grade.j2").write_text(template)
    return root


def faithfulness() -> Rubric:
    return load_rubric("faithfulness", SHIPPED)


def write_answers(path: Path, rows: Sequence[tuple[str, str, str, object]] = ROWS) -> str:
    lines = [f'{id_},"{source}","{answer}",{grade}\n' for id_, source, answer, grade in rows]
    path.write_text("id,source,answer,grade\n" + "".join(lines))
    return str(path)


def item(human: str | None = None, *, name: str = "one") -> Item:
    return Item(name, {"source": "s", "answer": "a"}, human, 2, f"digest of {name}")


def observed(
    probabilities: Sequence[float],
    *,
    bounds: tuple[bool, ...] = (),
    status: Status = Status.OK,
    reason: str = "",
) -> Observation:
    """What is kept of a judge that gives the five grades these probabilities, of all texts."""
    return Observation(
        status,
        reason=reason,
        labels=GRADES,
        logprobs=tuple(math.log(p) if p else -math.inf for p in probabilities),
        token_counts=(2,) * 5,
        byte_counts=(1,) * 5,
        exact=not any(bounds),
        bounds=bounds,
    )
