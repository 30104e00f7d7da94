"""A reasoning model is asked for a thought that its budget ends, and for what follows."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.backends.llama_cpp.spec import LlamaCppSpec
from gateway.determinism.certify import thinking
from gateway.models.spec import PathSource
from tests.support.tiny_gguf import TEMPLATE, write_gguf

pytestmark = pytest.mark.needs("llama_cpp")


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[LlamaCppBackend]:
    path = write_gguf(tmp_path / "m.gguf", template=f"{TEMPLATE}<think>\n")[0]
    spec = LlamaCppSpec("m", PathSource(path), context_length=256, threads=1, parallel=1)
    made = LlamaCppBackend(spec, path)
    yield made
    asyncio.run(made.close())


def test_what_follows_a_closed_thought_is_what_follows_its_tokens(
    backend: LlamaCppBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = asyncio.run(thinking(backend))
    assert trial is not None
    assert (trial.requests, trial.texts_changed) == (1, 0)

    generate = backend.generate

    async def another(request: Any) -> Any:
        done = await generate(request)
        return replace(done, token_ids=(*done.token_ids[:-1], 7)) if request.messages else done

    monkeypatch.setattr(backend, "generate", another)
    trial = asyncio.run(thinking(backend))
    assert trial is not None
    assert trial.texts_changed == 1


def test_a_model_that_does_not_think_is_not_asked(backend: LlamaCppBackend) -> None:
    backend.spec = LlamaCppSpec.like(backend.spec, reasoning="off")
    off = LlamaCppBackend(backend.spec, backend.spec.source.path)  # type: ignore[union-attr]
    assert asyncio.run(thinking(off)) is None
    asyncio.run(off.close())
