"""Stored answers are read by the grammar that reads new ones: a cell never mixes two."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.evaluation import run as running
from gateway.evaluation.reading import begins_a_line, read_again
from gateway.evaluation.run import Cell, run
from gateway.evaluation.store import Observation, Store
from gateway.scoring.results import Status
from gateway.tasks.prompts import load_template
from gateway.tasks.task import load_task
from tests.support.grids import FakePool, prepared, write_task

LABELS = ("yes", "no")


@pytest.fixture
def with_grammar(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let answers be read by the grammar of that number."""
    return lambda number: monkeypatch.setattr(running, "READING", number)


def go(root: Path, strategy: str, said: str = "yes", limit: int | None = None) -> tuple[Cell, int]:
    """The cell, and how often the model was asked."""
    plan = prepared(root, strategy, limit=limit).plan
    told: list[str] = []
    pool = FakePool(lambda _: said)
    with Store(root / "store.sqlite") as store:
        (cell,) = asyncio.run(run(replace(plan, tell=told.append), pool, store, lambda _: None))
    (root / "told.txt").write_text("\n".join(told))
    return cell, pool.backend.requests


def answers(root: Path, cell: Cell) -> list[Observation]:
    with Store(root / "store.sqlite") as store:
        return list(store.answers(cell.digest).values())


def of_before(root: Path, cell: Cell, **wrong: object) -> None:
    """Give the stored answers the form of an earlier version, and its wrong reading."""
    path = root / "store.sqlite"
    with Store(path) as store:
        known = store.answers(cell.digest)
    path.unlink()
    with Store(path) as store:
        for digest, seen in known.items():
            old = replace(seen, said=None, cut=False, begun=False, **wrong)  # type: ignore[arg-type]
            store.put(cell.digest, digest, old, 2.0, 1.0)


def test_answers_of_an_earlier_grammar_are_read_again_and_that_is_told(
    tmp_path: Path, with_grammar: Callable[[int], None]
) -> None:
    with_grammar(1)
    old, _ = go(tmp_path, "written", "not yes, no")
    of_before(tmp_path, old, status=Status.OK, answer="yes")
    with_grammar(2)
    new, asked = go(tmp_path, "written", "not yes, no")
    assert (asked, new.digest == old.digest) == (0, False)
    assert {seen.answer for seen in answers(tmp_path, new)} == {"no"}
    assert {seen.answer for seen in answers(tmp_path, old)} == {"yes"}, "as reports of then have it"
    assert (tmp_path / "told.txt").read_text() == (
        "fake/written: 12 stored answers read again, since answers are read otherwise now; 12 of "
        "them otherwise than before"
    )
    go(tmp_path, "written", "not yes, no")
    assert (tmp_path / "told.txt").read_text() == ""


def test_what_was_never_stored_is_asked_beside_what_is_read_again(
    tmp_path: Path, with_grammar: Callable[[int], None]
) -> None:
    with_grammar(1)
    old, _ = go(tmp_path, "written", limit=4)
    of_before(tmp_path, old)
    with_grammar(2)
    new, asked = go(tmp_path, "written")
    assert (asked, len(answers(tmp_path, new))) == (8, 12)


def test_scores_are_not_read_and_stay(tmp_path: Path, with_grammar: Callable[[int], None]) -> None:
    with_grammar(1)
    old, _ = go(tmp_path, "scored")
    with_grammar(2)
    assert go(tmp_path, "scored") == (old, 0)


def again(root: Path, known: Observation, strategy: str) -> Observation | None:
    task = load_task("mine", write_task(root))
    template = load_template(task, strategy, root / "prompts")
    return read_again(known, "", template, task, LABELS)


@pytest.mark.parametrize(
    ("known", "strategy", "found"),
    [
        (Observation(Status.OK, "no", answer="yes", completion_tokens=2), "written", "no"),
        (Observation(Status.OK, "it may be no", completion_tokens=80), "written", None),
        (Observation(Status.OK, "<think>no", said="yes", completion_tokens=9), "written", "yes"),
        (Observation(Status.OK, "a So: no", said="no", completion_tokens=9), "reasoned", "no"),
    ],
)
def test_a_stored_answer_is_read_from_what_was_said(
    tmp_path: Path, known: Observation, strategy: str, found: str | None
) -> None:
    read = again(tmp_path, known, strategy)
    assert read is not None
    assert read.answer == found
    assert read.status is (Status.OK if found else Status.TRUNCATED)


@pytest.mark.parametrize(
    ("known", "strategy"),
    [
        (Observation(Status.FAILED, "no", completion_tokens=1), "written"),
        (Observation(Status.TRUNCATED, "<think>no", completion_tokens=1), "written"),
        (Observation(Status.TRUNCATED, ""), "written"),
        (Observation(Status.OK, "a So: no", completion_tokens=9), "reasoned"),
    ],
)
def test_what_the_store_says_too_little_of_is_asked_again(
    tmp_path: Path, known: Observation, strategy: str
) -> None:
    assert again(tmp_path, known, strategy) is None


def test_the_line_of_an_answer_may_be_begun() -> None:
    assert [begins_a_line(start) for start in ("", "Label:", "Label: ", "Label:\n")] == [
        *(False, True, True, False)
    ]
