"""The Python interface: lazy, typed, and the same work as the commands do."""

import asyncio
import csv
import inspect
import os
import re
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

import gateway
from gateway.core import errors
from gateway.core.types import Completion
from gateway.evaluation.run import Progress
from gateway.evaluation.summary import RunResult
from gateway.scoring.results import Status
from tests.conftest import ROOT, entries_of_few_layers
from tests.support.grids import WORDS, shortest, write_data, write_task

MANUAL = ROOT / "gateway" / "manual" / "python.md"
FAKE = """
default = "fake"
[models.fake]
backend = "fake"
source = { path = "none" }
context_length = 4096
"""


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A task "mine", its data, and a fake model as the default one."""
    write_task(tmp_path)
    write_data(tmp_path / "test.csv")
    (tmp_path / "models.toml").write_text(FAKE)
    for name in ("GATEWAY_MODELS", "GATEWAY_PROMPTS", "GATEWAY_DATA"):
        place = {"MODELS": "models.toml", "PROMPTS": "prompts", "DATA": "own"}[name[8:]]
        monkeypatch.setenv(name, str(tmp_path / place))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_name_is_there_and_has_a_docstring() -> None:
    assert set(gateway.__all__) <= set(dir(gateway))
    for name in gateway.__all__:
        assert getattr(gateway, name).__doc__
    assert gateway.errors is errors
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        gateway.nothing  # type: ignore[attr-defined]  # noqa: B018


def test_a_run_is_scored_and_kept(world: Path) -> None:
    found = gateway.run("mine", "test.csv", strategies=["scored"])
    (cell,) = found.report.cells
    assert cell.name == "fake/scored/sum"
    assert found.report.n == len(found.predictions[cell.name]) == 12
    assert not found.report.failed
    again = gateway.run("mine", "test.csv", strategies=["scored"])
    assert again.predictions == found.predictions
    assert again.report == found.report


def test_async_code_awaits_the_same(world: Path) -> None:
    async def both() -> tuple[RunResult, RunResult]:
        first = gateway.run.aio("mine", "test.csv", strategies=["scored"], store=world / "a")
        other = gateway.run.aio("mine", "test.csv", strategies=["scored"], store=world / "b")
        one, two = await asyncio.gather(first, other)
        return one, two

    one, two = asyncio.run(both())
    assert (
        one.predictions
        == two.predictions
        == gateway.run("mine", "test.csv", strategies=["scored"]).predictions
    )


def test_in_an_event_loop_one_is_told_to_await(world: Path) -> None:
    async def wrong() -> None:
        gateway.run("mine", "test.csv", strategies=["scored"])

    with pytest.raises(RuntimeError, match=r"await run\.aio"):
        asyncio.run(wrong())


def test_a_signature_says_what_can_be_asked() -> None:
    options = inspect.signature(gateway.run).parameters
    assert list(options)[:2] == ["task", "data"]
    assert options["seed"].default == 0


def test_texts_are_classified_in_their_order(world: Path) -> None:
    found = gateway.classify(["amber", "birch", "amber"], task="mine", strategy="scored")
    first, second, third = found.answers
    assert found.labels == ("yes", "no")
    assert {first.answer, second.answer} <= {"yes", "no"}
    assert first == third
    assert first.status is Status.OK
    assert sum(second.probabilities.values()) == pytest.approx(1)


def test_what_is_classified_goes_on_where_it_was(world: Path) -> None:
    asked = 0

    def count(event: Progress) -> None:
        nonlocal asked
        asked += event.observation is not None
        if asked == 5:
            raise InterruptedError

    def classified(store: str) -> str:
        found = gateway.classify(
            file=Path("test.csv"),
            task="mine",
            strategy="scored",
            store=world / store,
            watch=lambda _: nullcontext(count),
        )
        return found.csv()

    with pytest.raises(InterruptedError):
        classified("cut.sqlite")
    whole = classified("cut.sqlite")
    assert asked == 12
    assert classified("other.sqlite") == whole
    assert [row["text"] for row in csv.DictReader(whole.splitlines())] == [
        f"{word} {word}ish" for word in WORDS.split()
    ]


def test_a_model_is_open_while_a_block_runs(world: Path) -> None:
    pieces: list[str] = []
    with gateway.open_model() as model:
        done = model.generate("Name a colour.", raw=True, on_text=pieces.append)
        scores = model.score_labels("Is it red?", ["yes", "no"], raw=True)
    assert "".join(pieces) == done.text
    assert scores.labels == ("yes", "no")

    async def awaited() -> Completion:
        async with gateway.open_model("fake") as model:
            return await model.generate.aio("Name a colour.", raw=True)

    assert asyncio.run(awaited()) == done


def test_what_is_wrong_is_one_of_the_errors(world: Path) -> None:
    with pytest.raises(gateway.errors.UnknownModel):
        gateway.open_model("nosuch")
    with pytest.raises(gateway.errors.ConfigError):
        gateway.run("mine", "test.csv", strategies=["nosuch"])
    with pytest.raises(gateway.errors.DataError):
        gateway.classify([" "], task="mine", strategy="scored")


def test_importing_the_package_takes_no_time_worth_speaking_of() -> None:
    code = (
        "import sys; before = set(sys.modules); import gateway; print(*sys.modules.keys() - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {name for name in done.stdout.split() if name.startswith("gateway")} == {"gateway"}


CODE = re.findall(r"```python\n(.*?)```", MANUAL.read_text(encoding="utf-8"), re.DOTALL)


def test_the_smallest_evaluation_is_ten_lines() -> None:
    assert len(CODE[0].strip().splitlines()) <= 10


@pytest.mark.parametrize("code", CODE)
def test_what_the_manual_says_runs(tmp_path: Path, code: str) -> None:
    models = tmp_path / "models.toml"
    models.write_text(entries_of_few_layers("smollm2-135m"))
    samples = ROOT / "prompts" / "issue-triage"
    shortest(samples / "sample.csv", tmp_path / "test.csv", 6)
    shortest(samples / "sample_train.csv", tmp_path / "train.csv", 12)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "GATEWAY_MODELS": str(models)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
