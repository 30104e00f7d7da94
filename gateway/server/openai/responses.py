"""POST /v1/responses."""

import json
import time
from typing import Literal

from fastapi import APIRouter, Request, Response

from gateway.core.types import Completion, Constraint, GenerationRequest, Message, Role, Sampling
from gateway.server.exchange import current
from gateway.server.openai import sse
from gateway.server.openai.fields import bound
from gateway.server.openai.responses_wire import (
    Incomplete,
    InputDetails,
    OutputDetails,
    OutputMessage,
    OutputText,
    Responded,
    ResponseRequest,
    ResponseUsage,
)
from gateway.server.service import Service, Session
from gateway.server.streams import Emit, unless_gone


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

    async def create(self, body: ResponseRequest, request: Request) -> Responded | Response:
        """The answer, in one piece or as events. Temperature is 0 and the seed 0 by default."""
        current().parameters |= {"constraint": "text.format", "messages": "input"}
        current().parameters["max_tokens"] = "max_output_tokens"
        if body.stream:
            return await sse.streamed(
                request, lambda emit: self._stream(body, emit), on_error=_error_event
            )
        return await unless_gone(request.receive, self._complete(body))

    async def _complete(self, body: ResponseRequest) -> Responded:
        async with self._service.session(body.model) as session:
            done = await session.generate(await _asked(body, session))
        return _responded(body, done.fingerprint, done)

    async def _stream(self, body: ResponseRequest, emit: Emit[str]) -> None:
        async with self._service.session(body.model) as session:
            events = _Events(body, session.backend.fingerprint, emit)
            async for delta in session.stream(await _asked(body, session)):
                events.begin()
                if delta.text:
                    events.text(delta.text)
                if delta.completion is not None:
                    events.end(delta.completion)


class _Events:
    """The numbered events of one answer."""

    def __init__(self, body: ResponseRequest, fingerprint: str, emit: Emit[str]) -> None:
        self._body = body
        self._fingerprint = fingerprint
        self._emit = emit
        self._number = 0
        self._item = _item_id()

    def begin(self) -> None:
        """Announce the answer, once."""
        if self._number:
            return
        response = _responded(self._body, self._fingerprint, None).model_dump()
        self._send("response.created", response=response)
        self._send("response.in_progress", response=response)
        item = OutputMessage(
            id=self._item, type="message", role="assistant", status="in_progress", content=[]
        )
        self._send("response.output_item.added", output_index=0, item=item.model_dump())
        self._send("response.content_part.added", **self._place(), part=_part(""))

    def text(self, text: str) -> None:
        """The next piece."""
        self._send("response.output_text.delta", **self._place(), delta=text, logprobs=[])

    def end(self, completion: Completion) -> None:
        """The whole, part by part."""
        text = completion.text
        response = _responded(self._body, self._fingerprint, completion)
        self._send("response.output_text.done", **self._place(), text=text, logprobs=[])
        self._send("response.content_part.done", **self._place(), part=_part(text))
        item = response.output[0].model_dump()
        self._send("response.output_item.done", output_index=0, item=item)
        self._send(f"response.{response.status}", response=response.model_dump())

    def _place(self) -> dict[str, object]:
        return {"item_id": self._item, "output_index": 0, "content_index": 0}

    def _send(self, kind: str, **fields: object) -> None:
        event = {"type": kind, "sequence_number": self._number, **fields}
        self._number += 1
        self._emit(sse.named(kind, json.dumps(event)))


async def _asked(body: ResponseRequest, session: Session) -> GenerationRequest:
    turns = [("user", body.input)] if isinstance(body.input, str) else []
    if not isinstance(body.input, str):
        turns = [(turn.role, turn.text) for turn in body.input]
    if body.instructions:
        turns.insert(0, ("system", body.instructions))
    schema = body.text.format.schema_text if body.text and body.text.format else None
    request = GenerationRequest(
        body.model,
        messages=tuple(Message(_role(role), text) for role, text in turns),
        sampling=Sampling(
            temperature=body.temperature or 0.0,
            top_p=1.0 if body.top_p is None else body.top_p,
        ),
        constraint=None if schema is None else Constraint("json_schema", schema),
    )
    return await session.within_context(request, bound(body.max_output_tokens))


def _role(role: str) -> Role:
    if role == "user":
        return "user"
    return "assistant" if role == "assistant" else "system"


def _responded(body: ResponseRequest, fingerprint: str, done: Completion | None) -> Responded:
    """The answer; None: before there is any of it."""
    cut = done is not None and done.finish_reason == "length"
    status: Literal["in_progress", "completed", "incomplete"] = "in_progress"
    if done is not None:
        status = "incomplete" if cut else "completed"
    output = []
    if done is not None:
        content = [OutputText(type="output_text", text=done.text, annotations=[])]
        output.append(
            OutputMessage(
                id=_item_id(),
                type="message",
                role="assistant",
                status="incomplete" if cut else "completed",
                content=content,
            )
        )
    form = body.text.format if body.text and body.text.format else None
    shown = form.model_dump(by_alias=True, exclude_none=True) if form else {"type": "text"}
    return Responded(
        id="resp_" + current().id.removeprefix("req_"),
        object="response",
        created_at=int(time.time()),
        status=status,
        error=None,
        incomplete_details=Incomplete(reason="max_output_tokens") if cut else None,
        instructions=body.instructions,
        max_output_tokens=body.max_output_tokens,
        metadata=body.metadata or {},
        model=body.model,
        output=output,
        parallel_tool_calls=False,
        previous_response_id=None,
        store=False,
        temperature=body.temperature or 0.0,
        text={"format": shown},
        tool_choice="none",
        tools=[],
        top_p=1.0 if body.top_p is None else body.top_p,
        truncation="disabled",
        usage=_usage(done),
        system_fingerprint=fingerprint,
    )


def _usage(done: Completion | None) -> ResponseUsage | None:
    if done is None:
        return None
    read, written = done.usage.prompt_tokens, done.usage.completion_tokens
    return ResponseUsage(
        input_tokens=read,
        input_tokens_details=InputDetails(cached_tokens=0),
        output_tokens=written,
        output_tokens_details=OutputDetails(reasoning_tokens=0),
        total_tokens=read + written,
    )


def _item_id() -> str:
    return "msg_" + current().id.removeprefix("req_")


def _part(text: str) -> dict[str, object]:
    return OutputText(type="output_text", text=text, annotations=[]).model_dump()


def _error_event(error_json: str) -> str:
    error = json.loads(error_json)["error"]
    told = {key: error[key] for key in ("code", "message", "param")}
    event = {"type": "error", "sequence_number": 0, **told}
    return sse.named("error", json.dumps(event))
