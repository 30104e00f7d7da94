"""POST /v1/chat/completions."""

import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response

from gateway.core.types import Completion, TokenLogprob, ToolCall
from gateway.server import tools
from gateway.server.client_work import Emit, unless_gone
from gateway.server.exchange import current
from gateway.server.logprobs import token_logprobs
from gateway.server.openai import sse
from gateway.server.openai.chat_request import ChatChoices, ask
from gateway.server.openai.chat_wire import (
    AnswerMessage,
    ChatChunk,
    ChatCompletion,
    ChatRequest,
    Choice,
    ChoiceLogprobs,
    ChunkChoice,
    ChunkDelta,
    DeltaCall,
    FinishReason,
    FunctionCall,
    MessageCall,
)
from gateway.server.openai.fields import Usage, usage
from gateway.server.service import Service, Session, together


class ChatRoutes:
    """The endpoint, on a service."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def add_to(self, router: APIRouter) -> None:
        router.post(
            "/chat/completions",
            response_model=ChatCompletion,
            response_model_exclude_unset=True,
            responses=sse.DOCUMENTED,
            summary="Answer a conversation",
        )(self.create)

    async def create(self, body: ChatRequest, request: Request) -> ChatCompletion | Response:
        """One answer, or `n`, in one piece or streamed.

        Temperature is 0 and the seed 0 unless the request says otherwise, and without `max_tokens`
        the answer may fill the context.
        """
        if body.stream:
            return await sse.streamed(request, lambda emit: self._stream(body, emit))
        return await unless_gone(request.receive, self._complete(body))

    async def _complete(self, body: ChatRequest) -> ChatCompletion:
        async with self._service.session(body.model) as session:
            asked = await ask(body, session)
            done = await session.generate_all(asked.requests)
            choices = [_choice(n, asked, answer, session) for n, answer in enumerate(done)]
        return ChatCompletion(
            id=answer_id(),
            object="chat.completion",
            created=int(time.time()),
            model=body.model,
            choices=choices,
            usage=_usage(done),
            system_fingerprint=done[0].fingerprint,
        )

    async def _stream(self, body: ChatRequest, emit: Emit[str]) -> None:
        async with self._service.session(body.model) as session:
            asked = await ask(body, session)
            stream = _Stream(body, asked, session, emit)
            done = await together([partial(stream.run, n) for n in range(len(asked.requests))])
        if body.stream_options and body.stream_options.include_usage:
            stream.tell_usage(done)
        emit(sse.DONE)


class _Stream:
    """The chunks of one request."""

    def __init__(
        self, body: ChatRequest, asked: ChatChoices, session: Session, emit: Emit[str]
    ) -> None:
        self._asked = asked
        self._session = session
        self._emit = emit
        self._id, self._created, self._model = answer_id(), int(time.time()), body.model
        self._with_usage = bool(body.stream_options and body.stream_options.include_usage)

    async def run(self, number: int) -> Completion:
        """Stream one choice to its end."""
        request = self._asked.requests[number]
        opened = await self._session.opened(request)
        only = request.constraint is not None
        telling = tools.Telling(self._asked.offer, opened=opened, only=only)
        begun = False
        async for delta in self._session.stream(request):
            if not begun:
                begun = True
                self._tell(number, ChunkDelta(role="assistant", content="", refusal=None))
            if delta.completion is not None:
                self._finish(number, delta.completion, delta.logprobs, telling)
                return delta.completion
            new = telling.add(delta.text)
            self._tell_thought(number, new.thought)
            if new.content or delta.logprobs:
                self._tell(number, ChunkDelta(content=new.content), logprobs=delta.logprobs)
        raise RuntimeError("the backend's stream ended without its completion")

    def tell_usage(self, done: list[Completion]) -> None:
        """The chunk without choices that says what was used."""
        self._send(self._chunk([]).model_copy(update={"usage": _usage(done)}))

    def _finish(
        self,
        number: int,
        completion: Completion,
        logprobs: tuple[TokenLogprob, ...],
        telling: tools.Telling,
    ) -> None:
        said = self._asked.read(completion, number)
        rest = telling.rest(completion, said)
        self._tell_thought(number, rest.thought)
        if rest.content:
            self._tell(number, ChunkDelta(content=rest.content))
        if said.calls:
            calls = [DeltaCall(index=i, **_call(c).model_dump()) for i, c in enumerate(said.calls)]
            self._tell(number, ChunkDelta(tool_calls=calls))
        if logprobs:
            self._tell(number, ChunkDelta(content=""), logprobs=logprobs)
        self._tell(number, ChunkDelta(), finish=_reason(completion, said))

    def _tell_thought(self, number: int, thought: str) -> None:
        if thought and self._asked.tells_thoughts:
            self._tell(number, ChunkDelta(reasoning_content=thought))

    def _tell(
        self,
        number: int,
        delta: ChunkDelta,
        *,
        logprobs: tuple[TokenLogprob, ...] = (),
        finish: FinishReason | None = None,
    ) -> None:
        shown = _logprobs(logprobs, self._session) if logprobs else None
        choice = ChunkChoice(index=number, delta=delta, logprobs=shown, finish_reason=finish)
        chunk = self._chunk([choice])
        self._send(chunk.model_copy(update={"usage": None}) if self._with_usage else chunk)

    def _chunk(self, choices: list[ChunkChoice]) -> ChatChunk:
        return ChatChunk(
            id=self._id,
            object="chat.completion.chunk",
            created=self._created,
            model=self._model,
            choices=choices,
            system_fingerprint=self._session.backend.fingerprint,
        )

    def _send(self, chunk: ChatChunk) -> None:
        self._emit(sse.data(chunk.model_dump_json(exclude_unset=True)))


def answer_id() -> str:
    """Ids differ from request to request; the answer in them need not."""
    return "chatcmpl-" + current().id.removeprefix("req_")


def _choice(number: int, asked: ChatChoices, answer: Completion, session: Session) -> Choice:
    said = asked.read(answer, number)
    told = said.thought and asked.tells_thoughts
    more: dict[str, Any] = {"reasoning_content": said.thought} if told else {}
    if said.calls:
        more["tool_calls"] = [_call(call) for call in said.calls]
    nothing = said.calls or answer.answer is None
    content = said.content or None if nothing else said.content
    message = AnswerMessage(role="assistant", content=content, refusal=None, **more)
    logprobs = None if answer.logprobs is None else _logprobs(answer.logprobs, session)
    return Choice(
        index=number, message=message, logprobs=logprobs, finish_reason=_reason(answer, said)
    )


def _usage(done: Sequence[Completion]) -> Usage:
    """Of all choices together."""
    written = sum(each.usage.completion_tokens for each in done)
    thought = sum(each.usage.reasoning_tokens for each in done)
    return usage(done[0].usage.prompt_tokens, written, thought)


def _logprobs(entries: Sequence[TokenLogprob], session: Session) -> ChoiceLogprobs:
    content = token_logprobs(entries, session.backend.piece, always_top=True)
    return ChoiceLogprobs(content=content, refusal=None)


def _call(call: ToolCall) -> MessageCall:
    return MessageCall(
        id=call.id,
        type="function",
        function=FunctionCall(name=call.name, arguments=call.arguments),
    )


def _reason(answer: Completion, said: tools.ParsedAnswer) -> FinishReason:
    return "tool_calls" if said.calls and not said.cut else answer.finish_reason
