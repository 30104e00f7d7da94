"""POST /v1/messages and /v1/messages/count_tokens."""

import json
from dataclasses import dataclass

from fastapi import APIRouter, Request, Response

from gateway.core.types import Completion
from gateway.server import streaming
from gateway.server import tools as calling
from gateway.server.anthropic.errors import error_json
from gateway.server.anthropic.request import ask, prompt_of
from gateway.server.anthropic.wire import (
    Called,
    MessageAnswer,
    MessagesBody,
    MessageUsage,
    SaidText,
    SaidThought,
    StopReason,
    TokensAnswer,
    TokensBody,
)
from gateway.server.client_work import Emit, unless_gone
from gateway.server.exchange import current
from gateway.server.openai import sse
from gateway.server.service import Service, Session


class MessageRoutes:
    """The endpoints, on a service."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def add_to(self, router: APIRouter) -> None:
        router.post(
            "/messages",
            response_model=MessageAnswer,
            responses=sse.DOCUMENTED,
            summary="Answer a conversation",
        )(self.create)
        router.post("/messages/count_tokens", summary="Tokens of a prompt")(self.count)

    async def create(self, body: MessagesBody, request: Request) -> MessageAnswer | Response:
        """The answer, in one piece or as events. Temperature is 0 by default."""
        constraint = "tools" if body.enforces_call else "output_config.format"
        current().parameters |= {"constraint": constraint, "stop": "stop_sequences"}
        by_type = body.effort in ("", "on", "off")
        asked = "thinking.type" if by_type else "output_config.effort"
        current().parameters["reasoning_effort"] = asked
        if body.stream:
            return await streaming.streamed(
                request,
                lambda emit: self._stream(body, emit),
                media_type="text/event-stream",
                tell=lambda failure: sse.named("error", error_json(failure)),
            )
        return await unless_gone(request.receive, self._complete(body))

    async def count(self, body: TokensBody, request: Request) -> TokensAnswer:
        """How many tokens the model would read."""
        return await unless_gone(request.receive, self._count(body))

    async def _count(self, body: TokensBody) -> TokensAnswer:
        async with self._service.session(body.model) as session:
            rendered = await session.render(prompt_of(body, session).request)
        return TokensAnswer(input_tokens=len(rendered.token_ids))

    async def _complete(self, body: MessagesBody) -> MessageAnswer:
        async with self._service.session(body.model) as session:
            asked = await ask(body, session)
            done = await session.generate(asked.request)
            end = _end(body, asked, done, session)
        return _answer(body, done, asked.read(done), end)

    async def _stream(self, body: MessagesBody, emit: Emit[str]) -> None:
        async with self._service.session(body.model) as session:
            asked = await ask(body, session)
            read = len((await session.render(asked.request)).token_ids)
            events = _Events(body, session.backend.fingerprint, emit)
            opened = await session.opened(asked.request)
            telling = calling.Telling(asked.offer, opened=opened, only=asked.is_formed)
            async for delta in session.stream(asked.request):
                events.begin(read)
                if delta.completion is None:
                    events.tell(telling.add(delta.text))
                    continue
                said = asked.read(delta.completion)
                events.tell(telling.rest(delta.completion, said))
                end = _end(body, asked, delta.completion, session)
                events.end(delta.completion, said, end)


@dataclass(frozen=True, slots=True)
class _End:
    """Why an answer ended."""

    reason: StopReason
    sequence: str | None = None


def _end(body: MessagesBody, asked: calling.Asked, done: Completion, session: Session) -> _End:
    said = asked.read(done)
    if said.calls and not said.cut:
        return _End("tool_use")
    if done.finish_reason == "length":
        return _End("max_tokens")
    # What ended it stands behind the text in the tokens that were generated.
    written = b"".join(map(session.backend.piece, done.token_ids)).decode("utf-8", "replace")
    behind = written[len(done.text) :]
    for sequence in body.stop_sequences or ():
        if written.startswith(done.text) and behind.startswith(sequence):
            return _End("stop_sequence", sequence)
    return _End("end_turn")


def _answer(
    body: MessagesBody, done: Completion, said: calling.ParsedAnswer, end: _End
) -> MessageAnswer:
    content: list[SaidThought | SaidText | Called] = []
    if said.thought:
        content.append(SaidThought(type="thinking", thinking=said.thought, signature=""))
    if _is_said(said):
        content.append(SaidText(type="text", text=said.content))
    for call in said.calls:
        made = json.loads(call.arguments)
        content.append(Called(type="tool_use", id=call.id, name=call.name, input=made))
    return MessageAnswer(
        id=_id(),
        type="message",
        role="assistant",
        model=body.model,
        content=content,
        stop_reason=end.reason,
        stop_sequence=end.sequence,
        usage=_usage(done.usage.prompt_tokens, done.usage.completion_tokens),
        system_fingerprint=done.fingerprint,
    )


def _is_said(said: calling.ParsedAnswer) -> bool:
    return bool(said.content) or not (said.calls or said.thought)


class _Events:
    """Tells one answer, block by block."""

    def __init__(self, body: MessagesBody, fingerprint: str, emit: Emit[str]) -> None:
        self._body = body
        self._fingerprint = fingerprint
        self._emit = emit
        self._begun = False
        self._blocks = 0
        self._open = ""
        """Kind of the block that is told."""
        self._said = False
        """Whether any text was told."""

    def begin(self, prompt_tokens: int) -> None:
        """Announce the answer, once."""
        if self._begun:
            return
        self._begun = True
        message = MessageAnswer(
            id=_id(),
            type="message",
            role="assistant",
            model=self._body.model,
            content=[],
            stop_reason=None,
            stop_sequence=None,
            usage=_usage(prompt_tokens, 0),
            system_fingerprint=self._fingerprint,
        )
        self._send("message_start", message=message.model_dump())

    def tell(self, new: calling.ParsedAnswer) -> None:
        """The next piece; an empty one is none."""
        if new.thought:
            self._begin("thinking", thinking="", signature="")
            self._add({"type": "thinking_delta", "thinking": new.thought})
        if new.content:
            self._said = True
            self._begin("text", text="")
            self._add({"type": "text_delta", "text": new.content})

    def end(self, done: Completion, said: calling.ParsedAnswer, end: _End) -> None:
        """The rest, and why it ended."""
        if _is_said(said) and not self._said:
            self._begin("text", text="")
        self._stop()
        for call in said.calls:
            index, self._blocks = self._blocks, self._blocks + 1
            block = {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}
            self._send("content_block_start", index=index, content_block=block)
            delta = {"type": "input_json_delta", "partial_json": call.arguments}
            self._send("content_block_delta", index=index, delta=delta)
            self._send("content_block_stop", index=index)
        told = {"stop_reason": end.reason, "stop_sequence": end.sequence}
        spent = _usage(done.usage.prompt_tokens, done.usage.completion_tokens)
        self._send("message_delta", delta=told, usage=spent.model_dump())
        self._send("message_stop")

    def _begin(self, kind: str, **block: object) -> None:
        """Begin a block, unless it is the one that is told; that one ends."""
        if self._open == kind:
            return
        self._stop()
        self._open, self._blocks = kind, self._blocks + 1
        told = {"type": kind, **block}
        self._send("content_block_start", index=self._blocks - 1, content_block=told)

    def _add(self, delta: dict[str, str]) -> None:
        self._send("content_block_delta", index=self._blocks - 1, delta=delta)

    def _stop(self) -> None:
        if self._open:
            self._send("content_block_stop", index=self._blocks - 1)
            self._open = ""

    def _send(self, kind: str, **fields: object) -> None:
        self._emit(sse.named(kind, json.dumps({"type": kind, **fields})))


def _id() -> str:
    return "msg_" + current().id.removeprefix("req_")


def _usage(read: int, written: int) -> MessageUsage:
    return MessageUsage(input_tokens=read, output_tokens=written)
