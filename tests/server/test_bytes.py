"""The same request gives the same bytes over HTTP: alone, again, in company, streamed or not."""

import asyncio
from dataclasses import replace
from typing import Any

import openai
import pytest

from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.core.types import GenerationRequest, Message, Sampling
from gateway.models.spec import PathSource
from tests.conftest import few_layers
from tests.server.conftest import CHAT

CLIENTS = 10
TOKENS = 8

Bytes = tuple[str, tuple[tuple[str, float], ...]]
"""Text, and the log-probability of each token."""


def prompts() -> list[str]:
    """Some with a common beginning, so that cached prefixes are used; of different lengths."""
    story = "The harbour was quiet that morning. Two boats came in with the tide. "
    return [story * (1 + n % 4) + f"What did boat {n} bring?" for n in range(CLIENTS)]


def options(number: int) -> dict[str, Any]:
    """Every second request samples."""
    return {"temperature": 0.8 if number % 2 else 0.0, "seed": number, "max_tokens": TOKENS}


@pytest.fixture(scope="module")
def own(client: openai.OpenAI) -> list[Bytes]:
    """What the backend itself says to each, one after another, without any HTTP."""
    spec, path = few_layers(CHAT)
    spec = replace(spec, source=PathSource(path), parallel=4, context_length=2048)
    backend = LlamaCppBackend(spec, path)

    async def ask() -> list[Bytes]:
        said = []
        for number, text in enumerate(prompts()):
            request = GenerationRequest(
                CHAT,
                (Message("user", text),),
                sampling=Sampling(**options(number)),
                logprobs=0,
            )
            done = await backend.generate(request)
            entries = done.logprobs or ()
            said.append((done.text, tuple((e.text, e.logprob) for e in entries)))
        await backend.close()
        return said

    return asyncio.run(ask())


async def over_http(client: openai.AsyncOpenAI, number: int, text: str, *, stream: bool) -> Bytes:
    asked: dict[str, Any] = {
        "model": CHAT,
        "messages": [{"role": "user", "content": text}],
        "logprobs": True,
        **options(number),
    }
    if not stream:
        done = await client.chat.completions.create(**asked)
        choices = [done.choices[0]]
        said = done.choices[0].message.content
    else:
        choices = [
            c.choices[0] async for c in await client.chat.completions.create(**asked, stream=True)
        ]
        said = "".join(choice.delta.content or "" for choice in choices)
    entries = [e for c in choices if c.logprobs for e in c.logprobs.content or []]
    return said or "", tuple((e.token, e.logprob) for e in entries)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("together", [1, CLIENTS])
def test_bytes_over_http_are_the_backend_s_own(
    url: str, own: list[Bytes], together: int, stream: bool
) -> None:
    async def ask() -> list[Bytes]:
        room = asyncio.Semaphore(together)
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0) as client:

            async def one(number: int, text: str) -> Bytes:
                async with room:
                    return await over_http(client, number, text, stream=stream)

            return await asyncio.gather(*(one(n, text) for n, text in enumerate(prompts())))

    assert asyncio.run(ask()) == own
