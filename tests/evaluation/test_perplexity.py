"""A text's perplexity through the engine is the one that llama-perplexity prints."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.backends.transformers.backend import TransformersBackend
from gateway.core.errors import DataError
from gateway.evaluation.perplexity import Reading, read
from gateway.models.gguf import read_header
from gateway.quantization.chunks import read_text
from gateway.quantization.fidelity import Wanted, measure
from gateway.quantization.source import Given
from tests.conftest import few_layers
from tests.support.torch_models import NAME, torch_spec

TEXT = Path(__file__).parents[2] / "README.md"
CHUNK, CHUNKS = 64, 3


def reading(backend: LlamaCppBackend | TransformersBackend) -> Reading:
    async def ask() -> Reading:
        try:
            return await read(
                backend, read_text(TEXT), lambda _: lambda: None, chunk=CHUNK, most=CHUNKS
            )
        finally:
            await backend.close()

    return asyncio.run(ask())


def test_it_is_that_of_gateway_fidelity_and_torch_is_near_it() -> None:
    spec, path = few_layers(NAME)
    wanted = Wanted(TEXT, context=CHUNK, chunks=CHUNKS, threads=1)
    known = measure(Given(spec, path, read_header(path)), (), wanted)
    small = replace(spec, context_length=256, parallel=1)
    here = reading(LlamaCppBackend(small, path))
    assert here.tokens == known.tokens
    # The engine adds up in another order than the quantizer's double precision.
    assert here.perplexity.value == pytest.approx(known.perplexity.value, rel=1e-5)
    assert here.perplexity.error == pytest.approx(known.perplexity.error, rel=1e-4)
    there = reading(TransformersBackend(torch_spec(context_length=256), path))
    # llama.cpp rounds activations to 8 bits, torch does not.
    assert there.perplexity.value == pytest.approx(here.perplexity.value, rel=0.1)


def test_a_text_shorter_than_a_chunk_says_nothing() -> None:
    spec, path = few_layers(NAME)
    backend = LlamaCppBackend(replace(spec, context_length=256, parallel=1), path)

    async def ask() -> None:
        try:
            await read(backend, "A few words.", lambda _: lambda: None)
        finally:
            await backend.close()

    with pytest.raises(DataError, match="at least 256 are needed"):
        asyncio.run(ask())
