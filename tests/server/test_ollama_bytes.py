"""The same request gives the same bytes through /api, through /v1 and without any HTTP."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import ollama
import openai
import pytest

from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.core.types import Completion, GenerationRequest, Message, Sampling
from gateway.models.spec import PathSource
from tests.conftest import few_layers
from tests.server.conftest import CHAT

QUESTION = "What came into the quiet harbour with the tide?"
RAW = "<|im_start|>user\nWhat is a boat?<|im_end|>\n<|im_start|>assistant\n"
TOKENS = 8
CLIENTS = 8

OPTIONS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"seed": 42, "temperature": 0}, {"seed": 42}),
    ({"temperature": 0.9, "seed": 7}, {"temperature": 0.9, "seed": 7}),
    (
        {"temperature": 1.5, "seed": 1, "top_k": 20, "top_p": 0.9, "min_p": 0.05},
        {"temperature": 1.5, "seed": 1, "top_k": 20, "top_p": 0.9, "min_p": 0.05},
    ),
    ({"repeat_penalty": 1.5}, {"repetition_penalty": 1.5}),
    ({"repeat_penalty": 1.5, "repeat_last_n": -1}, {"repetition_penalty": 1.5}),
    (
        {"presence_penalty": 1.5, "frequency_penalty": 0.5},
        {"presence_penalty": 1.5, "frequency_penalty": 0.5},
    ),
]
"""Options of Ollama's, and what they mean to the gateway."""

Bytes = tuple[str, list[tuple[str, float]]]
"""Text, and the log-probability of each token."""


@pytest.fixture(scope="module")
def api(url: str) -> Iterator[ollama.Client]:
    with ollama.Client(url) as made:
        yield made


@pytest.fixture(scope="module")
def backend(url: str) -> Iterator[LlamaCppBackend]:
    """The server's model, asked without a server."""
    spec, path = few_layers(CHAT)
    made = LlamaCppBackend(
        replace(spec, source=PathSource(path), parallel=4, context_length=2048), path
    )
    yield made
    asyncio.run(made.close())


def bytes_of(done: Completion) -> Bytes:
    return done.text, [(entry.text, entry.logprob) for entry in done.logprobs or ()]


def own(backend: LlamaCppBackend, request: GenerationRequest) -> Bytes:
    return bytes_of(asyncio.run(backend.generate(request)))


def shown(text: str | None, entries: Any) -> Bytes:
    return text or "", [(entry.token, entry.logprob) for entry in entries or ()]


@pytest.mark.parametrize(("options", "meaning"), OPTIONS)
def test_options_mean_what_the_gateway_s_own_fields_mean(
    api: ollama.Client, backend: LlamaCppBackend, options: dict[str, Any], meaning: dict[str, Any]
) -> None:
    expected = own(
        backend,
        GenerationRequest(
            CHAT,
            (Message("user", QUESTION),),
            sampling=Sampling(max_tokens=TOKENS, **meaning),
            logprobs=0,
        ),
    )
    asked: dict[str, Any] = {"options": {"num_predict": TOKENS, **options}, "logprobs": True}
    chat = api.chat(CHAT, [{"role": "user", "content": QUESTION}], **asked)
    assert shown(chat.message.content, chat.logprobs) == expected
    generated = api.generate(CHAT, QUESTION, **asked)
    assert shown(generated.response, generated.logprobs) == expected


def test_options_change_what_is_said(api: ollama.Client) -> None:
    """Otherwise the test above compares one text with itself."""
    said = {
        api.generate(CHAT, QUESTION, options={"num_predict": TOKENS, **options}).response
        for options, _ in OPTIONS
    }
    assert len(said) >= 4


def test_a_raw_prompt_is_read_as_it_is(api: ollama.Client, backend: LlamaCppBackend) -> None:
    sampling = Sampling(max_tokens=TOKENS)
    expected = own(backend, GenerationRequest(CHAT, prompt=RAW, sampling=sampling, logprobs=0))
    done = api.generate(CHAT, RAW, raw=True, logprobs=True, options={"num_predict": TOKENS})
    assert shown(done.response, done.logprobs) == expected
    assert done.prompt_eval_count == len(
        backend.render(GenerationRequest(CHAT, prompt=RAW)).token_ids
    )


@pytest.mark.parametrize("stream", [False, True])
def test_many_clients_of_both_apis_together_get_the_backend_s_own_bytes(
    url: str, client: openai.OpenAI, backend: LlamaCppBackend, stream: bool
) -> None:
    questions = [
        f"{'The tide came in. ' * (1 + n % 4)}What did boat {n} bring?" for n in range(CLIENTS)
    ]

    async def through_api(asking: ollama.AsyncClient, text: str) -> Bytes:
        asked: dict[str, Any] = {"options": {"num_predict": TOKENS}, "logprobs": True}
        messages = [{"role": "user", "content": text}]
        if not stream:
            done = await asking.chat(CHAT, messages, **asked)
            return shown(done.message.content, done.logprobs)
        parts = [part async for part in await asking.chat(CHAT, messages, stream=True, **asked)]
        said = "".join(part.message.content or "" for part in parts)
        return shown(said, [entry for part in parts for entry in part.logprobs or ()])

    async def through_v1(asking: openai.AsyncOpenAI, text: str) -> Bytes:
        done = await asking.chat.completions.create(
            model=CHAT,
            messages=[{"role": "user", "content": text}],
            max_tokens=TOKENS,
            logprobs=True,
        )
        choice = done.choices[0]
        return shown(choice.message.content, choice.logprobs.content if choice.logprobs else ())

    async def ask() -> tuple[list[Bytes], list[Bytes]]:
        async with (
            openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0) as other,
            ollama.AsyncClient(url) as asking,
        ):
            both = await asyncio.gather(
                asyncio.gather(*(through_api(asking, text) for text in questions)),
                asyncio.gather(*(through_v1(other, text) for text in questions)),
            )
        return both[0], both[1]

    through = asyncio.run(ask())
    expected = [
        own(
            backend,
            GenerationRequest(
                CHAT,
                (Message("user", text),),
                sampling=Sampling(max_tokens=TOKENS),
                logprobs=0,
            ),
        )
        for text in questions
    ]
    assert through == (expected, expected)
