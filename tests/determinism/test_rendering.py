"""Prompts are compared with transformers' own renderer, or it is said that they were not."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.backends.llama_cpp.spec import LlamaCppSpec
from gateway.determinism import rendering
from gateway.determinism.rendering import CONVERSATIONS, by_transformers
from gateway.models.spec import PathSource
from tests.support.tiny_gguf import write_gguf

pytestmark = pytest.mark.needs("llama_cpp", "transformers")

DATED = "{{ strftime_now('%Y') }}{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
NO_SYSTEM = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}" + DATED
)
THINKING = DATED + "{% if add_generation_prompt %}<assistant><think>{% endif %}"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(tmp_path_factory.mktemp("rendering") / "m.gguf", template=DATED)[0]


@pytest.fixture(params=[DATED, NO_SYSTEM, THINKING, "plain"])
def backend(path: Path, request: pytest.FixtureRequest) -> Iterator[LlamaCppBackend]:
    spec = LlamaCppSpec("m", PathSource(path), context_length=256, threads=1, parallel=1)
    made = LlamaCppBackend(LlamaCppSpec.like(spec, chat_template=request.param), path)
    yield made
    asyncio.run(made.close())


def test_prompts_are_those_of_transformers(backend: LlamaCppBackend) -> None:
    trial = by_transformers(backend)
    assert trial is not None
    assert 2 <= trial.requests <= len(CONVERSATIONS)
    assert trial.texts_changed == 0


def test_other_prompts_are_counted(
    backend: LlamaCppBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rendering, "rendered", lambda *_: "another")
    trial = by_transformers(backend)
    assert trial is not None
    assert trial.texts_changed == trial.requests


def test_it_is_said_where_nothing_was_compared(
    backend: LlamaCppBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rendering, "is_installed", lambda _: False)
    trial = by_transformers(backend)
    assert trial is not None
    assert (trial.requests, trial.texts_changed) == (0, 0)
    assert trial.name.endswith("not installed, not compared")
