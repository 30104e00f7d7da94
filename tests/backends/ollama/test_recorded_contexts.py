"""Prompts and answers that do not fit the context: what a real server does in silence is told."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from gateway.core.errors import BackendError, ContextOverflow
from gateway.core.types import GenerationRequest
from tests.backends.ollama.conftest import CONTEXT, Serve
from tests.support.ollama_replay import Exchange

CUT = ["068-generate-raw-too-long", "071-chat-too-long"]
REFUSED = [
    "069-generate-raw-too-long-truncate-false",
    "070-generate-raw-too-long-no-shift",
    "072-chat-too-long-truncate-false",
]
PAST = ["073-chat-past-context", "074-chat-past-context-no-shift"]


async def pieces(backend: Any, request: GenerationRequest) -> list[str]:
    return [delta.text async for delta in backend.stream(request)]


@pytest.mark.parametrize("name", CUT + REFUSED)
def test_nothing_may_be_cut_is_said_with_every_recorded_prompt_that_was_too_long(
    serve: Serve, name: str
) -> None:
    """The context is larger than the recorded one here, so that the gateway does not refuse first;
    the server's refusal is the same."""
    exchange, refusal = Exchange(name), Exchange(REFUSED[0])
    served = serve("smol:plain", context_length=8192)
    answer = refusal.answer(f"POST {exchange.path}")
    with served.replay.answering(answer) as asked, pytest.raises(ContextOverflow) as caught:
        asyncio.run(served.backend.generate(exchange.request()))
    (body,) = [each.body for each in asked if each.path == exchange.path]
    assert (body["truncate"], body["shift"]) == (False, False)
    assert (caught.value.needed, caught.value.available) == (3001, 512)


@pytest.mark.parametrize("name", REFUSED)
def test_a_server_s_refusal_of_a_long_prompt_is_an_overflow_also_when_streamed(
    serve: Serve, name: str
) -> None:
    exchange = Exchange(name)
    served = serve("smol:plain", context_length=8192)
    with served.replay.answering(exchange.answer()), pytest.raises(ContextOverflow):
        asyncio.run(pieces(served.backend, exchange.request()))


def test_a_raw_prompt_that_the_server_cut_in_silence_is_an_overflow(serve: Serve) -> None:
    exchange = Exchange("068-generate-raw-too-long")
    served = serve("smol:plain", context_length=8192)
    with served.replay.answering(exchange.answer()), pytest.raises(ContextOverflow) as caught:
        asyncio.run(served.backend.generate(exchange.request()))
    assert (caught.value.needed, caught.value.available) == (3001, 258)
    assert "cut" in caught.value.hint


def test_a_raw_prompt_that_can_not_fit_is_refused_before_the_server_is_asked(
    serve: Serve,
) -> None:
    served = serve("smol:plain")
    with served.replay.answering() as asked, pytest.raises(ContextOverflow) as caught:
        asyncio.run(served.backend.generate(Exchange("068-generate-raw-too-long").request()))
    assert asked == []
    assert (caught.value.needed, caught.value.available) == (3001 + 4, CONTEXT)


def test_dropped_messages_can_not_be_noticed_afterwards(serve: Serve) -> None:
    """The server renders them, so that only `truncate: false` keeps it from dropping some: this is
    what an answer looks like that did not heed it."""
    exchange = Exchange("071-chat-too-long")
    served = serve("smol:plain")
    with served.replay.answering(exchange.answer()):
        done = asyncio.run(served.backend.generate(exchange.request()))
    assert done.usage.prompt_tokens == 52


@pytest.mark.parametrize("name", PAST)
def test_an_answer_that_ran_past_the_context_is_an_overflow(serve: Serve, name: str) -> None:
    """14 tokens and 100 in a context of 64, though `shift` was false in one of them."""
    exchange = Exchange(name)
    served = serve("smol:plain", context_length=64)
    for ask in (served.backend.generate, lambda request: pieces(served.backend, request)):
        with served.replay.answering(exchange.answer()), pytest.raises(ContextOverflow) as caught:
            asyncio.run(ask(exchange.request()))
        assert (caught.value.needed, caught.value.available) == (114, 64)


def test_an_answer_that_stops_where_the_context_ends_is_an_overflow(serve: Serve) -> None:
    exchange = Exchange("050-chat-length")
    served = serve("smol:plain")
    request = exchange.request(max_tokens=6)
    with served.replay.answering(exchange.answer()), pytest.raises(ContextOverflow) as caught:
        asyncio.run(served.backend.generate(request))
    assert (caught.value.needed, caught.value.available) == (15 + 6, 15 + 5)


def test_room_for_the_answer_counts_on_both_routes(serve: Serve) -> None:
    """As in process: prompt and `max_tokens` must fit, whether or not the answer ends earlier."""
    chat, raw = Exchange("032-chat"), Exchange("053-generate-raw")
    served = serve("smol:plain", context_length=64)
    with served.replay.answering(), pytest.raises(ContextOverflow) as caught:
        asyncio.run(served.backend.generate(raw.request()))
    assert caught.value.needed == 52 + 32
    with served.replay.answering(chat.answer()), pytest.raises(ContextOverflow) as caught:
        asyncio.run(served.backend.generate(chat.request()))
    assert caught.value.needed == 52 + 32


def test_a_longer_prompt_than_was_sent_is_another_vocabulary(serve: Serve) -> None:
    exchange = Exchange("053-generate-raw")
    served = serve("smol:plain")
    shorter = replace(exchange.request(), prompt="The capital of France is")
    with (
        served.replay.answering(exchange.answer()),
        pytest.raises(BackendError, match="read 52 tokens where 5 were sent"),
    ):
        asyncio.run(served.backend.generate(shorter))
