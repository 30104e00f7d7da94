"""On route "chat" the server is told how much to think, and what it thinks is parted from the
answer."""

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from gateway.backends.ollama.backend import OllamaBackend
from gateway.core.errors import BackendError, GatewayError, InvalidRequest, Unsupported
from gateway.core.types import Constraint, Delta, GenerationRequest, Message, Reasoning, Sampling
from gateway.models.reasoning import Parting
from tests.backends.ollama.conftest import entry_for, standing
from tests.support.ollama_replay import Answer, Exchange, Replay

ASKED = GenerationRequest("m", (Message("user", "How?"),), sampling=Sampling(max_tokens=20))
SCHEMA = Constraint("json_schema", '{"type": "object"}')
CHOICES = Constraint("choices", ("bug", "feature"))
Make = Callable[..., OllamaBackend]


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Replay, Make]]:
    """A server whose model thinks, or does not, and what makes a backend of it."""
    replay, made = Replay(), []

    @cache
    def make(*, thinks: bool = True, **entry: Any) -> OllamaBackend:
        shown = Exchange("026-show").answer()
        able = shown.saying('["completion"', '["thinking","completion"')
        replay.always(*standing("smol:plain"), able if thinks else shown)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("OLLAMA_MODELS", "/nonexistent")
            with replay.answering(Exchange("005-ps-empty").answer()):
                spec = entry_for("smol:plain", replay.url, route="chat", **entry)
                made.append(OllamaBackend(spec))
        return made[-1]

    yield replay, make
    for each in made:
        asyncio.run(each.close())
    replay.close()


def said(*pieces: tuple[str, str], reason: str = "stop") -> Answer:
    """What a server says that thinks the first of each and writes the other."""
    lines = [
        {
            "message": {"role": "assistant", "content": content, "thinking": thinking},
            "done": False,
            "logprobs": [{"token": thinking or content, "logprob": -1.0}],
        }
        for thinking, content in pieces
    ]
    end = {
        "message": {"role": "assistant", "content": ""},
        "done": True,
        "done_reason": reason,
        "prompt_eval_count": 9,
        "eval_count": 20,
    }
    told = tuple(json.dumps(line) for line in [*lines, end])
    return Answer("POST /api/chat", kind="application/x-ndjson", lines=told)


THINKS = (("I ", ""), ("see.\n", ""), ("", '{"a"'), ("", ": 1}"))


@pytest.mark.parametrize(
    ("asked", "entry", "sent"),
    [
        (ASKED, {}, False),
        (replace(ASKED, reasoning="off"), {"reasoning": "on"}, False),
        (replace(ASKED, reasoning="on"), {}, True),
        (replace(ASKED, reasoning="medium"), {}, "medium"),
        (ASKED, {"reasoning": "high"}, "high"),
        (replace(ASKED, reasoning="low", constraint=SCHEMA, thinks_first=True), {}, "low"),
        (replace(ASKED, constraint=SCHEMA), {"reasoning": "on"}, False),
    ],
)
def test_the_server_is_told_how_much_to_think(
    served: tuple[Replay, Make],
    asked: GenerationRequest,
    entry: dict[str, Any],
    sent: bool | str,
) -> None:
    replay, make = served
    backend = make(**entry)
    with replay.answering(said(*(THINKS if sent else THINKS[2:]))) as received:
        done = asyncio.run(backend.generate(asked))
    (body,) = [each.body for each in received if each.path == "/api/chat"]
    assert body["think"] == sent
    if sent:
        assert done.reasoning == Reasoning("I see.", '{"a": 1}')
        assert done.usage.reasoning_tokens == 2
    else:
        assert (done.reasoning, done.usage.reasoning_tokens) == (None, 0)
    assert done.said == '{"a": 1}'


@pytest.mark.parametrize("constraint", [None, SCHEMA, CHOICES])
def test_a_stream_joins_to_the_whole_and_parts_as_it(
    served: tuple[Replay, Make], constraint: Constraint | None
) -> None:
    replay, make = served
    backend = make(reasoning="on")
    first = constraint is not None
    asked = replace(ASKED, constraint=constraint, thinks_first=first)
    answer = (*THINKS[:2], ("", '"bu'), ("", 'g"')) if constraint is CHOICES else THINKS

    async def pieces() -> list[Delta]:
        return [delta async for delta in backend.stream(asked)]

    with replay.answering(said(*answer), said(*answer)):
        deltas = asyncio.run(pieces())
        whole = asyncio.run(backend.generate(asked))
    assert "".join(delta.text for delta in deltas) == whole.text
    parting = Parting(only=first)
    told = [parting.add(delta.text) for delta in deltas]
    told.append(parting.rest("I see.", whole.said))
    assert "".join(thought for thought, _ in told) == "I see."
    assert "".join(content for _, content in told) == whole.said
    assert whole.said == ("bug" if constraint is CHOICES else '{"a": 1}')


def test_a_thought_that_fills_the_answer_has_none(served: tuple[Replay, Make]) -> None:
    replay, make = served
    backend = make(reasoning="on")
    with replay.answering(said(*THINKS[:2], reason="length")):
        done = asyncio.run(backend.generate(ASKED))
    assert (done.finish_reason, done.reasoning) == ("length", Reasoning("I see.", None))


def test_what_was_thought_before_is_sent_back(served: tuple[Replay, Make]) -> None:
    replay, make = served
    before = (*ASKED.messages, Message("assistant", "So.", reasoning="hm"), *ASKED.messages)
    backend = make()
    with replay.answering(said(*THINKS[2:])) as received:
        asyncio.run(backend.generate(replace(ASKED, messages=before)))
    (body,) = [each.body for each in received if each.path == "/api/chat"]
    assert body["messages"][1] == {"role": "assistant", "content": "So.", "thinking": "hm"}


@pytest.mark.parametrize(
    ("asked", "thinks", "error", "why"),
    [
        (replace(ASKED, reasoning="on"), False, InvalidRequest, "does not think"),
        (replace(ASKED, reasoning="minimal"), True, InvalidRequest, "of the level 'minimal'"),
        (replace(ASKED, reasoning="on", thinking_budget=9), True, Unsupported, "a budget"),
        (replace(ASKED, template_variables='{"a": 1}'), True, Unsupported, "variables"),
    ],
)
def test_what_a_server_cannot_be_asked_is_refused_by_name(
    served: tuple[Replay, Make],
    asked: GenerationRequest,
    thinks: bool,
    error: type[GatewayError],
    why: str,
) -> None:
    _, make = served
    with pytest.raises(error, match=why):
        asyncio.run(make(thinks=thinks).generate(asked))


def test_a_model_that_thinks_unasked_is_an_error(served: tuple[Replay, Make]) -> None:
    replay, make = served
    backend = make()
    with (
        replay.answering(said(*THINKS)),
        pytest.raises(BackendError, match="though told not to"),
    ):
        asyncio.run(backend.generate(ASKED))


def test_how_much_is_thought_is_part_of_the_identity(served: tuple[Replay, Make]) -> None:
    _, make = served
    assert len({make(**entry).fingerprint for entry in ({}, {"reasoning": "on"})}) == 2
