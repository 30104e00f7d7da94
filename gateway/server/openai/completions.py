"""POST /v1/completions."""

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from fastapi import APIRouter, Request, Response

from gateway.core.types import Completion, GenerationRequest, TokenLogprob
from gateway.server.client_work import Emit, unless_gone
from gateway.server.exchange import current
from gateway.server.openai import sse
from gateway.server.openai.completions_wire import (
    CompletionChoice,
    CompletionRequest,
    LegacyLogprobs,
    TextCompletion,
)
from gateway.server.openai.fields import Usage, usage
from gateway.server.service import Service, Session, together
from gateway.server.wire import finite


class CompletionRoutes:
    """The endpoint, on a service."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def add_to(self, router: APIRouter) -> None:
        router.post(
            "/completions",
            response_model=TextCompletion,
            response_model_exclude_unset=True,
            responses=sse.DOCUMENTED,
            summary="Go on with a text",
        )(self.create)

    async def create(self, body: CompletionRequest, request: Request) -> TextCompletion | Response:
        """`n` answers for each prompt, those of one prompt after those of the one before."""
        current().parameters["messages"] = "prompt"
        if body.stream:
            return await sse.streamed(request, lambda emit: self._stream(body, emit))
        return await unless_gone(request.receive, self._complete(body))

    async def _complete(self, body: CompletionRequest) -> TextCompletion:
        async with self._service.session(body.model) as session:
            requests = await _requests(body, session)
            done = await session.generate_all(requests)
            echoes = [_echo(body, session, request) for request in requests]
        choices = [
            CompletionChoice(
                index=number,
                text=echo + answer.text,
                logprobs=_logprobs(answer.logprobs, 0),
                finish_reason=answer.finish_reason,
            )
            for number, (answer, echo) in enumerate(zip(done, echoes, strict=True))
        ]
        return TextCompletion(
            id="cmpl-" + current().id.removeprefix("req_"),
            object="text_completion",
            created=int(time.time()),
            model=body.model,
            choices=choices,
            system_fingerprint=done[0].fingerprint,
            usage=_usage(body, done),
        )

    async def _stream(self, body: CompletionRequest, emit: Emit[str]) -> None:
        async with self._service.session(body.model) as session:
            stream = _Stream(body, session, emit)
            requests = await _requests(body, session)
            done = await together([partial(stream.run, n, r) for n, r in enumerate(requests)])
        if body.stream_options and body.stream_options.include_usage:
            stream.tell_usage(_usage(body, done))
        emit(sse.DONE)


class _Stream:
    """The events of one request."""

    def __init__(self, body: CompletionRequest, session: Session, emit: Emit[str]) -> None:
        self._body = body
        self._session = session
        self._emit = emit
        self._id = "cmpl-" + current().id.removeprefix("req_")
        self._created = int(time.time())
        self._with_usage = bool(body.stream_options and body.stream_options.include_usage)

    async def run(self, number: int, request: GenerationRequest) -> Completion:
        """Stream one choice to its end."""
        echo = _echo(self._body, self._session, request)
        offset = 0
        async for delta in self._session.stream(request):
            logprobs = _logprobs(delta.logprobs, offset) if delta.logprobs else None
            offset += sum(len(entry.text) for entry in delta.logprobs)
            reason = delta.completion.finish_reason if delta.completion else None
            choice = CompletionChoice(
                index=number, text=echo + delta.text, logprobs=logprobs, finish_reason=reason
            )
            echo = ""
            chunk = self._chunk([choice])
            self._send(chunk.model_copy(update={"usage": None}) if self._with_usage else chunk)
            if delta.completion is not None:
                return delta.completion
        raise RuntimeError("the backend's stream ended without its completion")

    def tell_usage(self, spent: Usage) -> None:
        """The event without choices that says what was used."""
        self._send(self._chunk([]).model_copy(update={"usage": spent}))

    def _chunk(self, choices: list[CompletionChoice]) -> TextCompletion:
        return TextCompletion(
            id=self._id,
            object="text_completion",
            created=self._created,
            model=self._body.model,
            choices=choices,
            system_fingerprint=self._session.backend.fingerprint,
        )

    def _send(self, chunk: TextCompletion) -> None:
        self._emit(sse.data(chunk.model_dump_json(exclude_unset=True)))


async def _requests(body: CompletionRequest, session: Session) -> list[GenerationRequest]:
    sampling = body.sampling()
    made = []
    for prompt in body.prompts:
        text, tokens = (prompt, ()) if isinstance(prompt, str) else (None, tuple(prompt))
        request = GenerationRequest(
            body.model,
            prompt=text,
            prompt_tokens=tokens,
            logprobs=body.logprobs,
            sampling=sampling,
        )
        request = await session.within_context(request, body.most_tokens)
        made += [
            replace(request, sampling=replace(request.sampling, sample=number))
            for number in range(body.n or 1)
        ]
    return made


def _echo(body: CompletionRequest, session: Session, request: GenerationRequest) -> str:
    if not body.echo:
        return ""
    return request.prompt if request.prompt is not None else session.backend.render(request).text


def _usage(body: CompletionRequest, done: Sequence[Completion]) -> Usage:
    each = body.n or 1
    prompts = sum(answer.usage.prompt_tokens for answer in done[::each])
    return usage(prompts, sum(answer.usage.completion_tokens for answer in done))


def _logprobs(entries: Sequence[TokenLogprob] | None, offset: int) -> LegacyLogprobs | None:
    """The legacy shape. Of alternatives whose texts are equal the most likely is shown."""
    if entries is None:
        return None
    offsets = []
    for entry in entries:
        offsets.append(offset)
        offset += len(entry.text)
    return LegacyLogprobs(
        tokens=[entry.text for entry in entries],
        token_logprobs=[finite(entry.logprob) for entry in entries],
        top_logprobs=[
            {text: finite(logprob) for _, text, logprob in reversed(entry.top)} for entry in entries
        ],
        text_offset=offsets,
    )
