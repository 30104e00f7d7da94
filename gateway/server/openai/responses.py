"""POST /v1/responses."""

import json
from collections.abc import Iterator
from itertools import pairwise

from fastapi import APIRouter, Request, Response

from gateway.core.errors import InvalidRequest
from gateway.core.types import Completion
from gateway.models.reasoning import tags_in
from gateway.server import tools as calling
from gateway.server.client_work import Emit, unless_gone
from gateway.server.exchange import current
from gateway.server.logprobs import TokenLogprobs, token_logprobs
from gateway.server.message_tokens import message_tokens
from gateway.server.openai import sse
from gateway.server.openai.response_events import Events
from gateway.server.openai.response_request import ask, prompt_of
from gateway.server.openai.response_shape import responded
from gateway.server.openai.responses_wire import InputTokens, Responded, ResponseRequest
from gateway.server.service import Service, Session


class ResponseRoutes:
    """The endpoint, on a service."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def add_to(self, router: APIRouter) -> None:
        router.post(
            "/responses",
            response_model=Responded,
            responses=sse.DOCUMENTED,
            summary="Answer a text",
        )(self.create)
        router.post("/responses/input_tokens", summary="Tokens of a prompt")(self.count)
        router.post("/responses/compact", include_in_schema=False)(self.compact)

    async def create(self, body: ResponseRequest, request: Request) -> Responded | Response:
        """The answer, in one piece or as events. Temperature is 0 and the seed 0 by default."""
        current().parameters |= {"constraint": "text.format", "messages": "input"}
        current().parameters["max_tokens"] = "max_output_tokens"
        current().parameters["reasoning_effort"] = "reasoning.effort"
        if body.stream:
            events: list[Events] = []
            return await sse.streamed(
                request,
                lambda emit: self._stream(body, emit, events),
                on_error=lambda error: _error_events(error, events),
            )
        return await unless_gone(request.receive, self._complete(body))

    async def count(self, body: ResponseRequest, request: Request) -> InputTokens:
        """How many tokens the model would read."""
        current().parameters["messages"] = "input"
        return await unless_gone(request.receive, self._count(body))

    async def compact(self) -> None:
        """Refuse by name what agents ask for when a conversation grows long.

        Raises:
            InvalidRequest: always.
        """
        raise InvalidRequest(
            "conversations are not compacted here",
            hint="send the turns that still matter, or a summary of them",
        )

    async def _count(self, body: ResponseRequest) -> InputTokens:
        async with self._service.session(body.model) as session:
            rendered = await session.render(prompt_of(body, session).request)
        return InputTokens(input_tokens=len(rendered.token_ids))

    async def _complete(self, body: ResponseRequest) -> Responded:
        async with self._service.session(body.model) as session:
            asked = await ask(body, session)
            done = await session.generate(asked.request)
            said = asked.read(done)
            logprobs = await _logprobs(asked, done, said, session)
            if done.reasoning is None:
                return responded(body, done.fingerprint, done, said, logprobs=logprobs)
            opened = await session.opened(asked.request)
        events = Events(body, done.fingerprint, _to_nobody, session.backend.piece)
        telling = calling.Telling(asked.offer, opened=opened, only=asked.is_formed)
        for piece in _parts(done.text):
            events.tell(telling.add(piece))
        events.tell(telling.rest(done, said))
        return events.end(done, said, logprobs)

    async def _stream(self, body: ResponseRequest, emit: Emit[str], begun: list[Events]) -> None:
        async with self._service.session(body.model) as session:
            asked = await ask(body, session)
            events = Events(body, session.backend.fingerprint, emit, session.backend.piece)
            begun.append(events)
            opened = await session.opened(asked.request)
            telling = calling.Telling(asked.offer, opened=opened, only=asked.is_formed)
            async for delta in session.stream(asked.request):
                events.begin()
                if delta.completion is None:
                    events.tell(telling.add(delta.text), delta.logprobs)
                    continue
                said = asked.read(delta.completion)
                events.tell(telling.rest(delta.completion, said), delta.logprobs, last=True)
                events.end(delta.completion, said)


def _to_nobody(_: str) -> None:
    """A whole answer has no events; it is put together as a stream's."""


def _parts(text: str) -> Iterator[str]:
    """What stands between the tags around thoughts, and the tags."""
    places = [0, *(place for tag in tags_in(text) for place in tag), len(text)]
    return (text[start:end] for start, end in pairwise(places))


async def _logprobs(
    asked: calling.Asked, done: Completion, said: calling.ParsedAnswer, session: Session
) -> list[TokenLogprobs]:
    """Of the message; none where they were not asked for."""
    if done.logprobs is None:
        return []
    opened = await session.opened(asked.request)
    telling = calling.Telling(asked.offer, opened=opened, only=asked.is_formed)
    found = message_tokens(done, said, telling, session.backend.piece)
    return token_logprobs(found, session.backend.piece, always_top=True)


def _error_events(error_json: str, begun: list[Events]) -> str:
    """The error in sequence, and the answer that failed where one had begun."""
    error = json.loads(error_json)["error"]
    if begun:
        return begun[0].failed(error["code"] or error["type"], error["message"], error["param"])
    told = {key: error[key] for key in ("code", "message", "param")}
    return sse.named("error", json.dumps({"type": "error", "sequence_number": 0, **told}))
