import json
from pathlib import Path

import pytest

from gateway.backends.fake import FakeBackend
from gateway.core.types import GenerationRequest, LabelScores
from tests.cli.conftest import Gateway

GRID = ("run", "-t", "mine", "-s", "scored", "--data", "test.csv", "--store", "s.sqlite")


@pytest.fixture(autouse=True)
def _own_data_folder(fake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_DATA", str(fake / "data"))


def level_in_report(gateway: Gateway) -> str:
    assert gateway(*GRID, "--out", "out").code == 0
    cells = json.loads(Path("out/report.json").read_text())["cells"]
    return str(cells[0]["details"]["level"])


def test_a_report_shows_the_level_that_was_measured_and_no_other(gateway: Gateway) -> None:
    assert level_in_report(gateway) == "unverified"
    done = gateway("certify", "fake")
    assert done.code == 0, done.err
    assert "in a fresh process" in done.out
    assert "bitwise" in done.out.splitlines()[-1]
    assert level_in_report(gateway) == "bitwise"


def test_the_evidence_can_be_read_by_a_machine(gateway: Gateway) -> None:
    found = json.loads(gateway("certify", "fake", "--json").out)
    assert (found["model"], found["level"]) == ("fake", "bitwise")
    assert [trial["logprobs_changed"] for trial in found["trials"]] == [0] * 9


def test_a_model_that_breaks_its_promise_exits_1(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = FakeBackend.score_labels

    async def elsewhere(
        self: FakeBackend, request: GenerationRequest, labels: tuple[str, ...]
    ) -> LabelScores:
        return await honest(self, request, labels[::-1])

    # In this process only: the fresh one answers otherwise.
    with monkeypatch.context() as changed:
        changed.setattr(FakeBackend, "score_labels", elsewhere)
        done = gateway("certify", "fake")
    assert done.code == 1
    assert "not repeatable" in done.out
    assert level_in_report(gateway) == "not repeatable"


def test_an_unknown_model_is_an_error(gateway: Gateway) -> None:
    done = gateway("certify", "nope")
    assert (done.code, "no model is called 'nope'" in done.err) == (2, True)
