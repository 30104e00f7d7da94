"""Tokens that a vocabulary puts around a text, each for its purpose; and numbers that are none."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader

from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.backends.llama_cpp.context import cache_bytes
from gateway.backends.llama_cpp.spec import LlamaCppSpec
from gateway.core.errors import BackendError
from gateway.core.types import GenerationRequest, Message, Sampling
from gateway.models.spec import PathSource
from tests.support.architectures import write

pytestmark = pytest.mark.needs("llama_cpp")

ASKED = GenerationRequest("m", prompt="is it a bug or a feature ", sampling=Sampling(max_tokens=6))
LABELS = ("bug", "feature")
ADDS_EOS = {"tokenizer.ggml.add_eos_token": True}


def load(path: Path, **keys: object) -> LlamaCppBackend:
    spec = LlamaCppSpec("m", PathSource(path), context_length=256, threads=1, parallel=1)
    return LlamaCppBackend(LlamaCppSpec.like(spec, **keys), path)


def answers(path: Path) -> tuple[object, ...]:
    backend = load(path, chat_template="plain")
    turns = GenerationRequest("m", (Message("user", "a"), Message("assistant", "b")) * 2)
    try:
        return (
            asyncio.run(backend.score_labels(ASKED, LABELS)).logprobs,
            asyncio.run(backend.generate(ASKED)).token_ids,
            backend.render(turns).token_ids,
            backend.tokens_of("text"),
        )
    finally:
        asyncio.run(backend.close())


def test_an_eos_that_a_vocabulary_asks_for_is_no_part_of_what_is_to_be_gone_on_from(
    tmp_path: Path,
) -> None:
    plain = write("llama", tmp_path)
    adds = write("llama", tmp_path, says=ADDS_EOS, as_="adds")
    assert answers(adds) == answers(plain)


def test_it_stands_behind_what_is_embedded(tmp_path: Path) -> None:
    plain = load(write("llama", tmp_path))
    adds = load(write("llama", tmp_path, says=ADDS_EOS, as_="adds"))
    eos = adds._model.behind
    assert len(eos) == 1
    try:
        ids = [*plain._embedded("a text"), *eos]
        assert adds._embedded("a text") == ids
        there, here = (asyncio.run(b.embed([x])) for b, x in ((plain, ids), (adds, "a text")))
        assert there.vectors == here.vectors
        assert adds.identity["behind_embedded"] == "</s>"
        assert "behind_embedded" not in plain.identity
    finally:
        for backend in (plain, adds):
            asyncio.run(backend.close())


def test_logits_that_are_no_numbers_are_an_error(tmp_path: Path) -> None:
    path = write("llama", tmp_path)
    reader = GGUFReader(path, "r+")
    (norm,) = (tensor for tensor in reader.tensors if tensor.name == "output_norm.weight")
    norm.data[:] = np.nan
    reader.data.flush()
    backend = load(path)
    sampled = GenerationRequest("m", prompt="x", sampling=Sampling(temperature=1.0, max_tokens=2))
    try:
        for work in (
            lambda: backend.score_labels(ASKED, LABELS),
            lambda: backend.generate(ASKED),
            lambda: backend.generate(sampled),
            lambda: backend.embed(["x"]),
        ):
            with pytest.raises(BackendError, match="not finite"):
                asyncio.run(work())
    finally:
        asyncio.run(backend.close())


@pytest.mark.parametrize("name", ["llama", "mamba2", "falconh1"])
def test_memory_is_told_beforehand_as_the_library_takes_it(name: str, tmp_path: Path) -> None:
    backend = load(write(name, tmp_path), context_length=2048, parallel=3)
    try:
        of_a_token, of_a_sequence = cache_bytes(backend._model, "plain")
        told = 3 * (of_a_token * 2048 + of_a_sequence)
        assert told == pytest.approx(backend.memory.cache, rel=0.2)
        states = 3 * of_a_sequence
        assert backend.memory.state == pytest.approx(states, rel=0.2)
        assert (states > 0) == (name != "llama")
    finally:
        asyncio.run(backend.close())
