"""Recorded requests asked again: what is the same, what differs, and in what."""

import asyncio
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.backends.fake import FakeBackend, FakeSpec
from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.backends.pool import ModelPool
from gateway.backends.protocol import Backend
from gateway.core.errors import BackendUnavailable, DataError, UnknownModel
from gateway.core.recording import Ending, Recorded, Recording
from gateway.core.types import GenerationRequest, Message, Sampling
from gateway.determinism.replay import Replay, difference, replay
from gateway.models.file import Models
from gateway.models.spec import ModelSpec, PathSource

A, B = (FakeSpec(name, PathSource(Path())) for name in "ab")


def record(path: Path, backend: Backend, prompts: list[str]) -> Recording:
    """A recording in which the backend has answered each prompt."""
    recording = Recording(path)
    recording.add_identity(backend.fingerprint, backend.identity)
    for prompt in prompts:
        request = GenerationRequest(backend.spec.name, prompt=prompt, logprobs=1)
        done = asyncio.run(backend.generate(request))
        recording.add(Recorded("", "", backend.fingerprint, request, Ending.ANSWERED, done))
    return recording


def asked_again(recording: Recording, *specs: ModelSpec, model: str | None = None) -> Replay:
    pool = ModelPool(Models({spec.name: spec for spec in specs}, specs[0].name))
    return asyncio.run(replay(recording, pool, model=model))


def test_the_same_model_answers_the_same(tmp_path: Path) -> None:
    recording = record(tmp_path / "r", FakeBackend(A), ["one", "two", "three"])
    request = GenerationRequest("a", prompt="four")
    recording.add(Recorded("", "", "", request, Ending.FAILED, error="it failed"))
    made = asked_again(recording, A)
    (group,) = made.groups
    assert (group.asked, group.identical, group.texts_equal) == (3, 3, 3)
    assert (group.same, group.mean_difference, made.broken) == (True, 0.0, False)
    assert (made.failed_then, made.cancelled_then) == (1, 0)
    recording.close()


def test_one_changed_log_probability_of_the_same_model_is_found(tmp_path: Path) -> None:
    recording = record(tmp_path / "r", FakeBackend(A), ["one", "two"])
    ((_, request, done), *_) = recording.answered("a")
    assert done.logprobs is not None
    first, *rest = done.logprobs
    other = replace(done, logprobs=(replace(first, logprob=first.logprob - 1e-16), *rest))
    assert other != done
    recording.add(Recorded("", "", done.fingerprint, request, Ending.ANSWERED, other))
    made = asked_again(recording, A)
    (group,) = made.groups
    assert (group.identical, group.texts_equal, group.changed) == (2, 3, (3,))
    assert made.broken
    recording.close()


def test_another_model_may_differ_and_is_named(tmp_path: Path) -> None:
    recording = record(tmp_path / "r", FakeBackend(A), ["one", "two"])
    made = asked_again(recording, A, B, model="b")
    (group,) = made.groups
    assert (group.recorded_model, group.model, group.same) == ("a", "b", False)
    # Both write "answer" and the prompt's digest: the model's name is not in it.
    assert (group.identical, group.differing) == (2, ("weights",))
    assert not made.broken
    recording.close()


def test_a_model_that_changed_under_its_name_is_another(tmp_path: Path) -> None:
    before = FakeBackend(A, script=lambda prompt: "yes it is")
    recording = record(tmp_path / "r", before, ["one"])
    made = asked_again(recording, replace(A, context_length=2048))
    (group,) = made.groups
    assert (group.same, group.differing) == (False, ("context_length",))
    assert (group.identical, group.texts_equal, group.mean_difference) == (0, 0, 1.0)
    assert not made.broken
    recording.close()


def test_a_request_that_fails_now_is_counted_and_breaks_the_replay(tmp_path: Path) -> None:
    def down(prompt: str) -> str:
        raise BackendUnavailable("it is down")

    recording = record(tmp_path / "r", FakeBackend(A), ["one"])
    pool = ModelPool(
        Models({"a": A}, "a"), loader=lambda spec, path: FakeBackend(spec, path, script=down)
    )
    made = asyncio.run(replay(recording, pool))
    (group,) = made.groups
    assert group.failures == ((1, "it is down"),)
    assert group.mean_difference is None
    assert made.broken
    recording.close()


def test_a_model_that_is_gone_is_an_error_before_anything_is_asked(tmp_path: Path) -> None:
    recording = record(tmp_path / "r", FakeBackend(A), ["one"])
    with pytest.raises(UnknownModel, match="known: b"):
        asked_again(recording, B)
    recording.close()


def test_a_row_that_can_not_be_read_is_an_error(tmp_path: Path) -> None:
    recording = record(tmp_path / "r", FakeBackend(A), ["one"])
    with sqlite3.connect(tmp_path / "r") as db:
        db.execute("UPDATE generations SET completion = '{}'")
    db.close()
    with pytest.raises(DataError, match="no completion of this version"):
        asked_again(recording, A)
    recording.close()


def test_differences_of_texts() -> None:
    assert difference("the cat sat", "the cat sat") == 0
    assert difference("the cat sat down", "the dog sat down") == 0.25
    assert difference("yes", "no") == 1


def test_real_weights_answer_their_recording_byte_for_byte(
    tmp_path: Path, smollm2: LlamaCppBackend
) -> None:
    recording = Recording(tmp_path / "r")
    for number in range(6):
        request = GenerationRequest(
            smollm2.spec.name,
            (Message("user", f"Name {number + 2} animals."),),
            sampling=Sampling(temperature=0.8, seed=number, max_tokens=12),
            logprobs=2,
        )
        done = asyncio.run(smollm2.generate(request))
        recording.add(Recorded("", "", done.fingerprint, request, Ending.ANSWERED, done))
    (group,) = asked_again(recording, smollm2.spec).groups
    assert (group.same, group.identical) == (True, 6)
    recording.close()
