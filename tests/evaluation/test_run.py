"""The loop: every answer kept as it comes, nothing asked twice, nothing failed in silence."""

import asyncio
from pathlib import Path

import pytest

from gateway.backends.fake import Script
from gateway.core.errors import BackendUnavailable, InvalidRequest
from gateway.evaluation import run as asking
from gateway.evaluation.run import Cell, OnProgress, Progress, ask, run
from gateway.evaluation.store import Observation, Store
from gateway.models.file import Models
from gateway.scoring.results import Status
from tests.support.grids import FakePool, prepared

ITEMS = 12


def go(
    root: Path,
    *strategies: str,
    pool: FakePool | None = None,
    on_progress: OnProgress = lambda _: None,
    **wanted: object,
) -> tuple[list[Cell], FakePool]:
    plan = prepared(root, *strategies, **wanted).plan  # type: ignore[arg-type]
    pool = pool or FakePool()
    store = Store(root / "store.sqlite")
    try:
        return asyncio.run(run(plan, pool, store, on_progress)), pool
    finally:
        store.close()


def answers(root: Path, cell: Cell) -> dict[str, Observation]:
    store = Store(root / "store.sqlite")
    try:
        return dict(store.answers(cell.digest))
    finally:
        store.close()


def written(root: Path, script: Script, **more: int) -> list[Observation]:
    """Answers to all items by a template whose text is parsed."""
    (cell,), _ = go(root, "written", pool=FakePool(script, **more))
    return list(answers(root, cell).values())


def test_every_item_is_asked_once_by_every_cell(tmp_path: Path) -> None:
    cells, pool = go(tmp_path, "scored", "constrained")
    assert [cell.name for cell in cells] == ["fake/scored", "fake/constrained"]
    assert all(len(answers(tmp_path, cell)) == ITEMS for cell in cells)
    assert pool.backend.requests == 2 * ITEMS


@pytest.mark.parametrize(("items", "sequences"), [(2, 2), (ITEMS, 3)])
def test_a_model_is_made_with_no_more_sequences_than_it_is_asked_questions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, items: int, sequences: int
) -> None:
    made: list[int] = []

    class Pool(FakePool):
        def __init__(self, models: Models) -> None:
            made.append(models.get("fake").parallel)
            super().__init__()

    monkeypatch.setattr(asking, "ModelPool", Pool)
    plan = prepared(tmp_path, "scored", limit=items).plan
    with Store(tmp_path / "store.sqlite") as store:
        asyncio.run(ask(plan, FakePool().models, store))
    assert made == [sequences]


def test_a_second_run_asks_nothing(tmp_path: Path) -> None:
    go(tmp_path, "scored")
    seen: list[Progress] = []
    _, pool = go(tmp_path, "scored", on_progress=seen.append)
    assert pool.backend.requests == 0
    assert [event.observation for event in seen] == [None] * ITEMS


def test_an_interrupted_run_goes_on_where_it_was(tmp_path: Path) -> None:
    whole, _ = go(tmp_path / "whole", "scored")
    seen = 0

    def stop_after_five(_: Progress) -> None:
        nonlocal seen
        seen += 1
        if seen == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        go(tmp_path / "cut", "scored", on_progress=stop_after_five)
    resumed, pool = go(tmp_path / "cut", "scored")
    assert 0 < pool.backend.requests <= ITEMS - 5
    assert answers(tmp_path / "cut", resumed[0]) == answers(tmp_path / "whole", whole[0])


def test_a_failed_item_is_asked_again_by_the_next_run(tmp_path: Path) -> None:
    broken = True

    def script(prompt: str) -> str:
        if broken and "cedar" in prompt:
            raise InvalidRequest("no cedar today")
        return "yes"

    pool = FakePool(script)
    (cell,), _ = go(tmp_path, "written", pool=pool)
    failed = [o for o in answers(tmp_path, cell).values() if o.status is Status.FAILED]
    assert [o.reason for o in failed] == ["no cedar today"]
    broken = False
    before = pool.backend.requests
    go(tmp_path, "written", pool=pool)
    assert pool.backend.requests == before + 1
    assert all(o.status is Status.OK for o in answers(tmp_path, cell).values())


def test_an_answer_that_can_not_be_read_is_unparsed(tmp_path: Path) -> None:
    for seen in written(tmp_path, lambda _: "yes or no"):
        assert (seen.status, seen.answer) == (Status.UNPARSED, None)
        assert "several labels" in seen.reason
        assert seen.text == "yes or no"


def test_an_unread_answer_that_ran_out_of_tokens_is_truncated(tmp_path: Path) -> None:
    for seen in written(tmp_path, lambda _: "well, " * 100):
        assert (seen.status, seen.completion_tokens) == (Status.TRUNCATED, 80)
        assert "limit of tokens" in seen.reason


def test_a_prompt_that_does_not_fit_is_truncated_and_never_cut(tmp_path: Path) -> None:
    for seen in written(tmp_path, lambda _: "yes", context_length=40):
        assert (seen.status, seen.text) == (Status.TRUNCATED, "")
        assert "the model has 40" in seen.reason


def test_a_model_that_fails_ends_the_run(tmp_path: Path) -> None:
    def script(_: str) -> str:
        raise BackendUnavailable("the engine is gone")

    with pytest.raises(BackendUnavailable, match="the engine is gone"):
        written(tmp_path, script)


def test_a_constrained_answer_is_always_a_label(tmp_path: Path) -> None:
    (cell,), _ = go(tmp_path, "constrained")
    assert {seen.answer for seen in answers(tmp_path, cell).values()} <= {"yes", "no"}


def test_labels_are_scored_after_the_reasoning(tmp_path: Path) -> None:
    prompts: list[str] = []

    def script(prompt: str) -> str:
        prompts.append(prompt)
        return "hm ho" if "cedar" in prompt else "mumble on and on and on"

    (cell,), _ = go(tmp_path, "reasoned", pool=FakePool(script))
    seen = answers(tmp_path, cell)
    assert len(prompts) == ITEMS
    assert sorted({o.text for o in seen.values()}) == ["hm ho", "mumble on an"]
    assert sum(o.reasoning_cut for o in seen.values()) == ITEMS - 1
    assert all(o.status is Status.OK and len(o.logprobs) == 2 for o in seen.values())


def test_calibration_asks_its_own_items_and_never_a_test_item(tmp_path: Path) -> None:
    events: list[Progress] = []
    go(tmp_path, "shown", train=True, rules=("batch", "contextual"), on_progress=events.append)
    purposes = [event.purpose for event in events]
    assert purposes.count("test") == ITEMS
    assert purposes.count("content-free") == 3
    dev = {event.item.id for event in events if event.purpose == "dev"}
    assert dev
    assert not dev & {event.item.id for event in events if event.purpose == "test"}


def test_exemplars_are_recorded_in_the_order_shown(tmp_path: Path) -> None:
    (cell,), _ = go(tmp_path, "shown", train=True)
    shown = {seen.exemplars for seen in answers(tmp_path, cell).values()}
    assert len(shown) == 1
    assert len(shown.pop()) == 2


def test_what_may_change_an_answer_makes_another_cell(tmp_path: Path) -> None:
    (first,), _ = go(tmp_path, "shown", train=True)
    (again,), _ = go(tmp_path, "shown", train=True)
    (seeded,), _ = go(tmp_path, "shown", train=True, seed=1)
    (other,), _ = go(tmp_path, "shown", train=True, pool=FakePool(context_length=999))
    assert first.digest == again.digest
    assert len({first.digest, seeded.digest, other.digest}) == 3
