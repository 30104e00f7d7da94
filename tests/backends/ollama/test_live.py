"""A server that answers at OLLAMA_HOST, with the default model's own file in it.

    OLLAMA_HOST=127.0.0.1:11434 scripts/test tests/backends/ollama/test_live.py

The file is uploaded under a name of its own, and removed afterwards.
"""

import asyncio
import os
from collections.abc import Iterator
from dataclasses import replace

import pytest

from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.backends.ollama.backend import OllamaBackend
from gateway.backends.ollama.client import Server
from gateway.core.errors import BackendError
from gateway.core.types import Completion, GenerationRequest, Sampling
from gateway.models.environment import ollama_host, ollama_key
from gateway.models.spec import OllamaSource
from tests.support.ollama_server import on_server

NAME = "local-model-gateway-test:smollm2"
PROMPTS = [
    *("The capital of France is", "Water boils at", "One, two, three,", "Monday, Tuesday,"),
    *("The opposite of hot is", "2 + 2 =", "def add(a, b):\n    return", "Once upon a"),
    *("The sun rises in the", "Roses are red, violets are", "import numpy as", "To be or not to"),
    *("for i in range(", "Dear Sir or", "A, B, C, D,", "The quick brown fox jumps over the"),
    *("Happy birthday to", "SELECT * FROM", "January, February,", "Ladies and"),
]
TOKENS = 12
CLEAR = 0.5
"""Nats by which the chosen token must lead: another build of the library, or a prompt that is in a
server's cache, moves log-probabilities by up to 0.3 (README of the recorded exchanges)."""


@pytest.fixture(scope="module")
def live(smollm2: LlamaCppBackend) -> Iterator[OllamaBackend]:
    if not os.environ.get("OLLAMA_HOST"):
        pytest.skip("OLLAMA_HOST is not set: this test uploads a model to the server it names")
    server = Server(ollama_host(), key=ollama_key(ollama_host()))
    try:
        version = asyncio.run(server.version())
    except BackendError as error:
        pytest.skip(str(error))
    own = "+gateway" in version
    name = smollm2.spec.name if own else NAME
    if not own:
        asyncio.run(_create(server, smollm2))
    spec = replace(
        on_server(smollm2.spec, ollama_host(), chat_template=smollm2.chat_template),
        source=OllamaSource(name),
    )
    made = OllamaBackend(spec)
    yield made
    asyncio.run(made.close())
    if not own:
        asyncio.run(server.delete(name))


async def _create(server: Server, model: LlamaCppBackend) -> None:
    digest = await server.upload(model._model.path)
    async for _ in server.create(NAME, files={"model.gguf": digest}):
        pass


def asked(prompt: str) -> GenerationRequest:
    return GenerationRequest("m", prompt=prompt, sampling=Sampling(max_tokens=TOKENS), logprobs=2)


def clear_tokens(done: Completion) -> int:
    """How many tokens lead before the first that does not by enough."""
    leads = [entry.top[0][2] - entry.top[1][2] for entry in done.logprobs or ()]
    return next((n for n, lead in enumerate(leads) if lead < CLEAR), len(leads))


def test_the_same_file_in_process_and_in_ollama_writes_the_same_text(
    live: OllamaBackend, smollm2: LlamaCppBackend
) -> None:
    assert len(PROMPTS) == 20
    compared = 0
    for prompt in PROMPTS:
        ours = asyncio.run(smollm2.generate(asked(prompt)))
        theirs = asyncio.run(live.generate(asked(prompt)))
        assert theirs.usage.prompt_tokens == ours.usage.prompt_tokens
        count = clear_tokens(ours)
        assert theirs.token_ids[:count] == ours.token_ids[:count], prompt
        compared += count
    assert compared >= 2 * len(PROMPTS)


def test_labels_are_scored_alike(live: OllamaBackend, smollm2: LlamaCppBackend) -> None:
    request = GenerationRequest("m", prompt="Yes or no: is Paris in France? Answer:")
    labels = [" Yes", " No"]
    ours = asyncio.run(smollm2.score_labels(request, labels))
    theirs = asyncio.run(live.score_labels(request, labels))
    for bound, a, b in zip(theirs.bounds, theirs.logprobs, ours.logprobs, strict=True):
        assert a > b - CLEAR if bound else a == pytest.approx(b, abs=CLEAR)
