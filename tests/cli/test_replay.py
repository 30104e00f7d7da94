"""`gateway replay` as a person and a script meet it."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

from gateway.backends.fake import FakeBackend
from gateway.backends.registry import load_models
from gateway.core.recording import Ending, Recorded, Recording
from gateway.core.types import GenerationRequest, Sampling
from tests.cli.conftest import Gateway


def recorded(folder: Path, *, text: str | None = None, tokens: int = 256) -> Path:
    """A recording of the folder's fake model; with `text`, its second answer is another."""
    backend = FakeBackend(load_models(folder / "models.toml").get("fake"))
    recording = Recording(folder / "traffic.sqlite")
    for prompt in ("one", "two"):
        request = GenerationRequest("fake", prompt=prompt, sampling=Sampling(max_tokens=tokens))
        done = asyncio.run(backend.generate(request))
        if text is not None and prompt == "two":
            done = replace(done, text=text)
        recording.add(Recorded("", "", done.fingerprint, request, Ending.ANSWERED, done))
    recording.close()
    return folder / "traffic.sqlite"


def test_equal_answers_end_well(gateway: Gateway, fake: Path) -> None:
    done = gateway("replay", recorded(fake), "--json")
    assert done.code == 0
    said = json.loads(done.out)
    (group,) = said["groups"]
    assert (said["broken"], group["asked"], group["identical"]) == (False, 2, 2)
    assert done.err == ""


def test_another_answer_of_the_same_model_is_exit_code_1(gateway: Gateway, fake: Path) -> None:
    file = recorded(fake, text="another answer")
    done = gateway("replay", file)
    assert done.code == 1
    assert "answered otherwise, requests 2" in done.out
    assert gateway("replay", file, "--limit", "1").code == 0


def test_what_can_not_be_replayed_is_said(gateway: Gateway, fake: Path) -> None:
    missing = gateway("replay", fake / "none.sqlite")
    assert (missing.code, "--record" in missing.err) == (1, True)
    unknown = gateway("replay", recorded(fake), "--model", "gpt-4o")
    assert (unknown.code, "known:" in unknown.err) == (2, True)


def test_help_teaches_how_to_record_and_replay(gateway: Gateway) -> None:
    said = gateway("replay", "--help").out
    for word in ("--record traffic.sqlite", "--model", "fingerprint", "Exit code 1"):
        assert word in said
