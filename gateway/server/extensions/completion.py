"""POST /completion, as clients of llama.cpp's server ask it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from fastapi import APIRouter, Request, Response

from gateway.core.types import Completion, Constraint, GenerationRequest, TokenLogprob
from gateway.server.client_work import Emit, unless_gone
from gateway.server.exchange import current
from gateway.server.extensions.completion_wire import (
    LlamaCompletion,
    LlamaCompletionBody,
    Piece,
    Probability,
    Speed,
    TokenProbability,
)
from gateway.server.openai import sse
from gateway.server.service import Service, Session, together
from gateway.server.wire import finite


class LlamaCompletionRoutes:
    """The endpoint, on a service."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def add_to(self, router: APIRouter) -> None:
        router.post(
            "/completion",
            response_model=LlamaCompletion | list[LlamaCompletion],
            response_model_exclude_unset=True,
            responses=sse.DOCUMENTED,
            summary="Go on with a text, as llama.cpp's server does",
        )(self.create)

    async def create(
        self, body: LlamaCompletionBody, request: Request
    ) -> LlamaCompletion | list[LlamaCompletion] | Response:
        """One answer for each prompt, in one piece or streamed."""
        named = {"messages": "prompt", "max_tokens": "n_predict", "constraint": "json_schema"}
        current().parameters |= named
        body = body.model_copy(update={"model": self._service.meant(body.model)})
        if body.stream:
            return await sse.streamed(request, lambda emit: self._stream(body, emit))
        done = await unless_gone(request.receive, self._complete(body))
        return done if body.asks_for_several else done[0]

    async def _complete(self, body: LlamaCompletionBody) -> list[LlamaCompletion]:
        async with self._service.session(body.model) as session:
            asked = await _asked(body, session)
            done = await session.generate_all([each.request for each in asked])
            return [each.whole(answer) for each, answer in zip(asked, done, strict=True)]

    async def _stream(self, body: LlamaCompletionBody, emit: Emit[str]) -> None:
        async with self._service.session(body.model) as session:
            asked = await _asked(body, session)
            await together([partial(each.stream, emit) for each in asked])


@dataclass(frozen=True, slots=True)
class _Asked:
    """One prompt of a body."""

    index: int
    body: LlamaCompletionBody
    request: GenerationRequest
    session: Session
    prompt: str
    tokens: int
    """Of the prompt."""

    def whole(self, done: Completion) -> LlamaCompletion:
        """The answer in one piece."""
        ids = list(done.token_ids) if self.body.return_tokens else []
        return self._ended(done, done.text, ids, done.logprobs or ())

    async def stream(self, emit: Emit[str]) -> None:
        """Tell it piece by piece; the last one has what is known at the end."""
        made = 0
        async for delta in self.session.stream(self.request):
            ids = [entry.token_id for entry in delta.logprobs]
            made += len(ids)
            if delta.completion is not None:
                told: Piece = self._ended(delta.completion, delta.text, ids, delta.logprobs)
            else:
                told = Piece(**self._piece(delta.text, ids, made, delta.logprobs), stop=False)
            emit(sse.data(told.model_dump_json(exclude_unset=True)))

    def _piece(
        self, text: str, ids: list[int], made: int, logprobs: Sequence[TokenLogprob]
    ) -> dict[str, Any]:
        told = {
            "index": self.index,
            "content": text,
            "tokens": ids,
            "tokens_evaluated": self.tokens,
            "tokens_predicted": made,
        }
        if self.body.n_probs:
            shown = [_probability(entry, self.session) for entry in logprobs]
            told["completion_probabilities"] = shown
        return told

    def _ended(
        self, done: Completion, text: str, ids: list[int], logprobs: Sequence[TokenLogprob]
    ) -> LlamaCompletion:
        kind, word = self._end(done)
        return LlamaCompletion(
            **self._piece(text, ids, done.usage.completion_tokens, logprobs),
            stop=True,
            model=self.body.model,
            prompt=self.prompt,
            generation_settings=self._settings(),
            has_new_line="\n" in done.text,
            truncated=kind == "limit" and self._wants_more,
            stop_type=kind,
            stopping_word=word,
            timings=_speed(done),
            system_fingerprint=done.fingerprint,
        )

    def _end(self, done: Completion) -> tuple[Literal["eos", "limit", "word"], str]:
        """Why it ended, and at which stop: the tokens behind the text spell it."""
        if done.finish_reason == "length":
            return "limit", ""
        data = b"".join(map(self.session.backend.piece, done.token_ids))
        behind = data.decode("utf-8", "replace")[len(done.text) :]
        word = next((s for s in self.request.sampling.stop if behind.startswith(s)), "")
        return ("word", word) if word else ("eos", "")

    @property
    def _wants_more(self) -> bool:
        """Whether the request has room for fewer tokens than it asks for."""
        most = self.body.most_tokens
        return most is None or most > self.request.sampling.max_tokens

    def _settings(self) -> dict[str, Any]:
        """What the answer was made with."""
        sampling = self.request.sampling
        return {
            "n_predict": sampling.max_tokens,
            "temperature": sampling.temperature,
            "seed": sampling.seed,
            "top_k": sampling.top_k,
            "top_p": sampling.top_p,
            "min_p": sampling.min_p,
            "repeat_penalty": sampling.repetition_penalty,
            "presence_penalty": sampling.presence_penalty,
            "frequency_penalty": sampling.frequency_penalty,
            "logit_bias": [{"token": t, "bias": bias} for t, bias in sampling.logit_bias],
            "stop": list(sampling.stop),
            "n_probs": self.body.n_probs or 0,
            "stream": bool(self.body.stream),
        }


async def _asked(body: LlamaCompletionBody, session: Session) -> list[_Asked]:
    schema, made = body.schema_text, []
    for index, prompt in enumerate(body.prompts):
        text, tokens = (prompt, ()) if isinstance(prompt, str) else (None, tuple(prompt))
        request = GenerationRequest(
            body.model,
            prompt=text,
            prompt_tokens=tokens,
            logprobs=body.logprobs,
            sampling=body.sampling(),
            constraint=None if schema is None else Constraint("json_schema", schema),
        )
        request = await session.within_context(request, body.most_tokens)
        rendered = await session.render(request)
        length = len(rendered.token_ids)
        made.append(_Asked(index, body, request, session, rendered.text, length))
    return made


def _probability(entry: TokenLogprob, session: Session) -> TokenProbability:
    def shown(token: int, text: str, logprob: float) -> dict[str, Any]:
        data = list(session.backend.piece(token))
        return {"id": token, "token": text, "bytes": data, "logprob": finite(logprob)}

    top = [Probability(**shown(*each)) for each in entry.top]
    return TokenProbability(**shown(entry.token_id, entry.text, entry.logprob), top_logprobs=top)


def _speed(done: Completion) -> Speed:
    times, made = done.timings, done.usage.completion_tokens
    read = done.usage.prompt_tokens - times.cached_tokens
    passes = max(made - 1, 0)  # the prompt's own pass tells the first token
    return Speed(
        cache_n=times.cached_tokens,
        prompt_n=read,
        prompt_ms=1000 * times.prefill_s,
        prompt_per_token_ms=_share(1000 * times.prefill_s, read),
        prompt_per_second=_share(read, times.prefill_s),
        predicted_n=made,
        predicted_ms=1000 * times.decode_s,
        predicted_per_token_ms=_share(1000 * times.decode_s, passes),
        predicted_per_second=_share(passes, times.decode_s),
    )


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
