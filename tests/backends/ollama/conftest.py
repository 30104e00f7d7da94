"""The Ollama backend in front of the recorded server, a backend a model."""

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from gateway.backends.ollama.backend import OllamaBackend
from gateway.backends.ollama.spec import OllamaSpec
from gateway.models.gguf import read_header
from gateway.models.spec import ModelSpec, OllamaSource
from tests.conftest import spec_and_path
from tests.support.ollama_replay import Answer, Exchange, Replay
from tests.support.ollama_server import on_server
from tests.support.plain_http import no_authorities as no_authorities

SHOWN = {
    "smol:plain": "026-show",
    "smol:t0": "027-show-parameters",
    "smol:lora": "028-show-adapter",
    "smol:derived": "029-show-derived",
    "gemma:base": "109-base-model-show",
}
CONTEXT = 2048
"""Tokens, as the recordings were made with."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """A backend and the server that it asks."""

    backend: OllamaBackend
    replay: Replay


Serve = Callable[..., Replayed]


@pytest.fixture
def replay(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Replay]:
    """A server that knows no answer yet, and whose store, empty at first, is `tmp_path`."""
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path))
    made = Replay()
    yield made
    made.close()


@pytest.fixture(scope="session")
def serve() -> Iterator[Serve]:
    """Makes the backend of a recorded model, once for each model and entry of models.toml."""
    made: list[Replayed] = []

    @cache
    def one(model: str, **entry: Any) -> Replayed:
        facts = standing(model, int(entry.get("context_length", CONTEXT)))
        empty = Exchange("005-ps-empty").answer()
        replay = Replay()
        replay.always(*facts)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("OLLAMA_MODELS", "/nonexistent")
            with replay.answering(empty):
                backend = OllamaBackend(entry_for(model, replay.url, **entry))
        made.append(Replayed(backend, replay))
        return made[-1]

    yield one
    for each in made:
        asyncio.run(each.backend.close())
        each.replay.close()


def entry_for(model: str, url: str, **changes: Any) -> OllamaSpec:
    """An entry of models.toml for a recorded model."""
    own = _spec(model)
    fields = {"source": OllamaSource(model), "context_length": CONTEXT, **changes}
    return on_server(own, url, **fields)


def own_template(model: str) -> str:
    """The chat template in the model's file, which the server does not tell."""
    return str(read_header(_path(model), arrays=False).metadata["tokenizer.chat_template"])


def standing(model: str, context: int = CONTEXT) -> list[Answer]:
    """What is answered whenever it is asked: the facts about a model."""
    return [
        Exchange("002-version").answer(),
        Exchange("118-tags-all").answer(),
        Exchange(SHOWN[model]).answer(),
        shown_verbose(model),
        Exchange("030-load").answer(),
        running(model, context),
        Exchange("086-unload").answer(),
    ]


def running(model: str, context: int = CONTEXT) -> Answer:
    """The model alone in the server's memory: recorded for smol:plain, and made alike."""
    recorded = Exchange("031-ps").answer()
    recorded = recorded.saying('"context_length":2048', f'"context_length":{context}')
    plain = digest_of("smol:plain")
    return recorded.saying("smol:plain", model).saying(plain, digest_of(model))


def digest_of(model: str) -> str:
    """Of the recorded model's manifest."""
    listed = Exchange("118-tags-all").json["models"]
    return str(next(each["digest"] for each in listed if each["name"] == model))


@cache
def shown_verbose(model: str) -> Answer:
    """What `verbose` adds to the recorded show: the arrays of the file's metadata.

    It was not recorded. All metadata of the file and of the server's copy are equal.
    """
    exchange = Exchange(SHOWN[model])
    shown = exchange.json
    metadata = read_header(_path(model), arrays=True).metadata
    info = {
        key: metadata[key] if value is None else value for key, value in shown["model_info"].items()
    }
    answer = exchange.answer("POST /api/show verbose")
    return replace(answer, lines=(json.dumps({**shown, "model_info": info}),))


def _spec(model: str) -> ModelSpec:
    return spec_and_path(_own_name(model))[0]


def _path(model: str) -> Path:
    return spec_and_path(_own_name(model))[1]


def _own_name(model: str) -> str:
    return "gemma3-270m" if model.startswith("gemma") else "smollm2-135m"
