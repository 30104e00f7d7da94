"""Certification finds what changes, and does not find what does not."""

import asyncio
import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.backends.fake import FakeBackend, FakeSpec
from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.backends.ollama.spec import OllamaSpec
from gateway.backends.protocol import Backend
from gateway.backends.transformers.spec import TransformersSpec
from gateway.core.types import Completion, GenerationRequest
from gateway.determinism.certify import Loader, Replies, answer_in_order, certify
from gateway.models.certificates import Level
from gateway.models.spec import ModelSpec, OllamaSource, PathSource
from tests.conftest import few_layers

SPEC = FakeSpec("fake", PathSource(Path()), context_length=4096)


class CrowdSensitive(FakeBackend):
    """Answers otherwise when asked several things at once, as a shared batch does."""

    running = 0

    async def generate(self, request: GenerationRequest) -> Completion:
        self.running += 1
        await asyncio.sleep(0.001)
        crowded = self.running > 1
        done = await super().generate(request)
        self.running -= 1
        return replace(done, text=done.text + "!") if crowded else done


class Forgetful(FakeBackend):
    """Never answers twice the same."""

    serial = itertools.count()

    async def generate(self, request: GenerationRequest) -> Completion:
        done = await super().generate(request)
        return replace(done, text=f"{done.text}{next(self.serial)}")


def level(kind: type[FakeBackend]) -> tuple[Level, dict[str, int]]:
    def load(spec: ModelSpec) -> Backend:
        return kind(spec)

    def fresh() -> Replies:
        return asyncio.run(answer_in_order(SPEC, load))

    made = asyncio.run(certify(SPEC, load, fresh))
    return made.level, {trial.name: trial.texts_changed for trial in made.trials}


def test_what_never_changes_is_bitwise() -> None:
    found, changed = level(FakeBackend)
    assert found is Level.BITWISE
    assert set(changed.values()) == {0}
    assert len(changed) == 9


def test_a_server_is_not_told_its_threads_and_chunks() -> None:
    def load(spec: ModelSpec) -> Backend:
        assert (spec.threads, spec.batch_tokens) == (SPEC.threads, SPEC.batch_tokens)
        return FakeBackend(spec)

    served = OllamaSpec.like(SPEC, source=OllamaSource("m"))
    made = asyncio.run(certify(served, load, None))
    names = [trial.name for trial in made.trials]
    assert names == [
        *("alone, one after another", "shuffled, then asked again"),
        *("2 together", "4 together", "8 together"),
    ]


def test_torch_is_tried_on_one_thread_and_not_in_other_chunks() -> None:
    made = asyncio.run(certify(TransformersSpec.like(SPEC), FakeBackend, None))
    names = [trial.name for trial in made.trials]
    assert names[-1] == "alone, on one thread"
    assert not any("chunks" in name for name in names)


def test_chunks_that_make_another_model_are_not_compared_with_it() -> None:
    """One request at a time, the piece that a prompt is read in is part of the identity."""

    def load(spec: ModelSpec) -> Backend:
        backend = FakeBackend(spec)
        backend.fingerprint += str(spec.batch_tokens)
        return backend

    made = asyncio.run(certify(SPEC, load, None))
    assert not any("chunks" in trial.name for trial in made.trials)
    assert made.level is not Level.REPEATABLE


def test_what_changes_in_company_is_repeatable_at_most() -> None:
    found, changed = level(CrowdSensitive)
    assert found is Level.REPEATABLE
    assert changed["alone, one after another"] == changed["in a fresh process"] == 0
    assert changed["8 together"] > 0


def test_what_changes_by_itself_is_not_repeatable() -> None:
    found, changed = level(Forgetful)
    assert found is Level.UNREPEATABLE
    assert all(changed.values())


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers of a few tokens."""
    monkeypatch.setattr("gateway.determinism.certify._TOKENS", 6)


def real(context: int, **changes: object) -> tuple[ModelSpec, Loader]:
    """The default model, asked with prompts that are at most half as long as its context."""
    spec, path = few_layers("smollm2-135m")
    spec = replace(spec, context_length=context, **changes)  # type: ignore[arg-type]
    return spec, lambda entry: LlamaCppBackend(entry, path)


@pytest.mark.usefixtures("all_cores", "short")
def test_real_weights_are_bitwise() -> None:
    made = asyncio.run(certify(*real(224), None))
    assert [t for t in made.trials if t.texts_changed or t.logprobs_changed] == []
    assert made.level is Level.BITWISE


@pytest.mark.usefixtures("short")
def test_a_context_that_is_not_invariant_is_found_out() -> None:
    """Flash attention: another kernel for 64 query tokens or more than for a short tail."""
    made = asyncio.run(certify(*real(160, deterministic="off"), None))
    assert made.level is Level.UNVERIFIED, "no fresh process was asked"
    assert sum(trial.logprobs_changed for trial in made.trials) > 0
