"""A request worked on: one answer, a stream of its pieces, or only a model loaded or unloaded."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from gateway.core.types import Completion, GenerationRequest, TokenLogprob
from gateway.models.spec import ModelSpec
from gateway.server import tools
from gateway.server.client_work import Emit
from gateway.server.exchange import current
from gateway.server.logprobs import token_logprobs
from gateway.server.ollama.keep_alive import Keeper
from gateway.server.ollama.options import Options
from gateway.server.ollama.requests import fitted
from gateway.server.ollama.wire import Answer, GenerationBody
from gateway.server.service import Service, Session

A = TypeVar("A", bound=Answer)

_SECOND_NS = 1_000_000_000
_FIELDS = {
    "constraint": "format",
    "reasoning_effort": "think",
    "max_tokens": "options.num_predict",
    "repetition_penalty": "options.repeat_penalty",
}
"""What Ollama calls the fields of the gateway's own request."""

Ask = Callable[[Session], GenerationRequest]
Shape = Callable[[tools.ParsedAnswer, dict[str, Any]], A]


@dataclass(frozen=True, slots=True)
class OllamaRequest(Generic[A]):
    """What a body asks for."""

    body: GenerationBody
    spec: ModelSpec
    request: Ask
    """Made once the model is there, because whether it can show tools is its template's matter."""
    shape: Shape[A]
    """Puts what was said into the endpoint's answer."""

    @property
    def options(self) -> Options:
        return self.body.options or Options()


class Answering:
    """Works on what is asked, on a service."""

    def __init__(self, service: Service, keeper: Keeper) -> None:
        self._service = service
        self._keeper = keeper

    async def load(self, asked: OllamaRequest[A]) -> A:
        """Load the model, or, where it is to be kept for no time, unload it."""
        if asked.body.keep_seconds == 0:
            await self._keeper.unload(asked.spec.name)
            return self._ended(asked, {"done_reason": "unload"})
        async with self._session(asked):
            pass
        return self._ended(asked, {"done_reason": "load"})

    async def whole(self, asked: OllamaRequest[A]) -> A:
        """The answer in one piece."""
        async with self._session(asked) as session:
            request = await fitted(asked.request(session), asked.options, session)
            done = await session.generate(request)
            said = _read(request, done, session)
            more = _logprobs(done.logprobs or (), session) | _figures(done)
        return asked.shape(said, _frame(asked, done=True) | more)

    async def stream(self, asked: OllamaRequest[A], emit: Emit[str]) -> None:
        """Emit the answer's pieces as JSON, and at last an empty one with counts and durations."""

        def tell(said: tools.ParsedAnswer, frame: dict[str, Any]) -> None:
            emit(asked.shape(said, frame).model_dump_json(exclude_unset=True))

        async with self._session(asked) as session:
            request = await fitted(asked.request(session), asked.options, session)
            figures: dict[str, Any] = {}
            async for said, logprobs, done in _pieces(session, request):
                if said.content or said.calls or said.thought or logprobs:
                    tell(said, _frame(asked, done=False) | _logprobs(logprobs, session))
                if done is not None:
                    figures = _figures(done)
        tell(tools.ParsedAnswer("", ()), _frame(asked, done=True) | figures)

    @asynccontextmanager
    async def _session(self, asked: OllamaRequest[A]) -> AsyncIterator[Session]:
        current().parameters.update(_FIELDS)
        name = asked.spec.name
        async with (
            self._keeper.during(name, asked.body.keep_seconds),
            self._service.session(name) as session,
        ):
            yield session

    def _ended(self, asked: OllamaRequest[A], more: dict[str, Any]) -> A:
        return asked.shape(tools.ParsedAnswer("", ()), _frame(asked, done=True) | more)


Piece = tuple[tools.ParsedAnswer, tuple[TokenLogprob, ...], Completion | None]


async def _pieces(session: Session, request: GenerationRequest) -> AsyncIterator[Piece]:
    """What is new to say; the last one has the completion. Text that may become a call waits."""
    if not request.messages:
        async for delta in session.stream(request):
            yield tools.ParsedAnswer(delta.text, ()), delta.logprobs, delta.completion
        return
    opened = await session.opened(request)
    offer = tools.Offer(request.tools, syntax=session.backend.call_syntax)
    telling = tools.Telling(offer, opened=opened, only=request.constraint is not None)
    async for delta in session.stream(request):
        if delta.completion is None:
            yield telling.add(delta.text), delta.logprobs, None
            continue
        whole = _read(request, delta.completion, session)
        rest = telling.rest(delta.completion, whole)
        yield replace(rest, calls=whole.calls), delta.logprobs, delta.completion
        return
    raise RuntimeError("the backend's stream ended without its completion")


def _read(request: GenerationRequest, done: Completion, session: Session) -> tools.ParsedAnswer:
    """Part an answer into what was thought, what was said and what is to be called; that to a raw
    prompt stays as it was written, as Ollama leaves it."""
    if not request.messages:
        return tools.ParsedAnswer(done.text, ())
    offer = tools.Offer(request.tools, syntax=session.backend.call_syntax)
    return tools.read(done, offer, request.messages)


def _frame(asked: OllamaRequest[A], *, done: bool) -> dict[str, Any]:
    return {"model": asked.body.model, "created_at": timestamp(datetime.now(UTC)), "done": done}


def _logprobs(entries: tuple[TokenLogprob, ...], session: Session) -> dict[str, Any]:
    if not entries:
        return {}
    return {"logprobs": token_logprobs(entries, session.backend.piece, always_top=False)}


def _figures(done: Completion) -> dict[str, Any]:
    """Why it ended, counts, and durations in nanoseconds."""
    exchange, times = current(), done.timings
    return {
        "done_reason": done.finish_reason,
        "total_duration": nanoseconds(exchange.seconds),
        "load_duration": nanoseconds(exchange.waited_s),
        "prompt_eval_count": done.usage.prompt_tokens,
        "prompt_eval_duration": nanoseconds(times.prefill_s),
        "eval_count": done.usage.completion_tokens,
        "eval_duration": nanoseconds(times.decode_s),
    }


def nanoseconds(seconds: float) -> int:
    """Durations as Ollama counts them."""
    return int(seconds * _SECOND_NS)


def timestamp(moment: datetime) -> str:
    """RFC 3339, in UTC."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
