"""Split models whose first parts are equal are two models all the same."""

import asyncio
from pathlib import Path

import pytest

from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.backends.llama_cpp.spec import LlamaCppSpec
from gateway.core.types import GenerationRequest
from gateway.models.spec import PathSource
from tests.support.tiny_gguf import drawn, write_gguf

pytestmark = pytest.mark.needs("llama_cpp")


def backend_of(first: Path) -> LlamaCppBackend:
    spec = LlamaCppSpec("m", PathSource(first), context_length=256, threads=1, parallel=1)
    return LlamaCppBackend(spec, first)


def answer(backend: LlamaCppBackend) -> tuple[float, ...]:
    request = GenerationRequest("m", prompt="is it a bug ")
    return asyncio.run(backend.score_labels(request, ("yes", "no"))).logprobs


def test_neither_answers_with_the_other_s_second_part(tmp_path: Path) -> None:
    firsts = []
    for seed in (0, 1):
        folder = tmp_path / str(seed)
        folder.mkdir()
        other = drawn(seed)
        changed = {**drawn(0), "output.weight": other["output.weight"]}
        firsts.append(write_gguf(folder / "m.gguf", changed, tensors_a_part=12)[0])
    assert firsts[0].read_bytes() == firsts[1].read_bytes()
    alone = []
    for first in firsts:
        backend = backend_of(first)
        assert backend.abilities.parts == 2
        alone.append((answer(backend), backend.fingerprint))
        asyncio.run(backend.close())
    both = [backend_of(first) for first in firsts]
    assert [(answer(backend), backend.fingerprint) for backend in both] == alone
    assert alone[0][0] != alone[1][0]
    assert alone[0][1] != alone[1][1]
    for backend in both:
        asyncio.run(backend.close())
