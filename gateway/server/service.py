"""The layer under every wire format: a model's name and a request in, completions out.

A route opens a `Session` for the model that its client names. The session has passed the key's
allow-list, has a place among the running requests and a loaded model, and ends by the deadline.
Everything that it does is counted in the current `Exchange`. Cancelling the task cancels the work.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar, cast

from gateway.backends.pool import ModelPool
from gateway.backends.protocol import Backend, Recovering
from gateway.core.errors import (
    ConfigError,
    ContextOverflow,
    GatewayError,
    InvalidRequest,
    UnknownModel,
    Unsupported,
)
from gateway.core.types import (
    Completion,
    Delta,
    EmbeddingInput,
    Embeddings,
    GenerationRequest,
    LabelScores,
    RenderedRequest,
    Troubles,
)
from gateway.models.locate import weights_path
from gateway.models.spec import ModelSpec
from gateway.server.admission import Admission
from gateway.server.exchange import Exchange, current
from gateway.server.http_errors import DeadlinePassed, Forbidden
from gateway.server.recorder import Open, Recorder, unrecorded
from gateway.server.settings import Limits

LATEST = ":latest"
_SHOWN = 100
"""Characters of a name that nobody has, in an error."""

T = TypeVar("T")


class Service:
    """Models behind limits. One for an application, whatever wire formats it speaks.

    Args:
        recorder: keeps every generation; it is closed with the service. None: nothing is kept.
    """

    def __init__(self, pool: ModelPool, limits: Limits, recorder: Recorder | None = None) -> None:
        self.pool = pool
        self.limits = limits
        self._recorder = recorder
        self.admission = Admission(limits.running, limits.waiting)
        self.ready = False
        self._first: tuple[str, ...] = ()
        """Models that were loaded before the first request."""

    async def preload(self, names: Sequence[str]) -> None:
        """Load models before the first request asks for them; then the server is ready.

        Raises:
            ConfigError, BackendError: one of them cannot be loaded, or not beside the others.
        """
        for name in names:
            async with self.pool.lease(name):
                pass
        if evicted := sorted(set(names) - self.pool.loaded.keys()):
            raise ConfigError(
                f"the models do not fit in memory together: {', '.join(evicted)} had to go again",
                hint="name fewer of them, or give more --memory",
            )
        self._first = tuple(names)
        self.ready = True

    def troubles(self) -> dict[str, Troubles]:
        """Of each loaded model whose engine has failed since it was loaded."""
        loaded = self.pool.loaded.items()
        found = {name: b.troubles for name, b in loaded if isinstance(b, Recovering)}
        return {name: troubles for name, troubles in found.items() if troubles.count}

    async def close(self) -> None:
        """Close the pool; then what was recorded is written to its end."""
        await self.pool.close()
        if self._recorder is not None:
            await asyncio.to_thread(self._recorder.close)

    def models(self) -> list[ModelSpec]:
        """Entries that the current caller may use and whose files are on this machine."""
        return [spec for spec in self._allowed() if _is_here(spec)]

    def model(self, name: str) -> ModelSpec:
        """The entry of that name; NAME:latest, as Ollama lists it, is NAME.

        Raises:
            UnknownModel: there is none; the hint lists those that the caller may use.
            Forbidden: the caller's key does not allow it.
            ModelNotPulled: its file is not on this machine.
        """
        specs = self.pool.models.specs
        name = name if name in specs else name.removesuffix(LATEST)
        if name not in specs:
            known = ", ".join(spec.name for spec in self._allowed())
            raise UnknownModel(f"no model is called {name[:_SHOWN]!r}", hint=f"known: {known}")
        spec = self.pool.models.get(name)
        key = current().key
        if key is not None and not key.allows(name):
            raise Forbidden(f"this API key does not allow the model {name!r}")
        if name not in self.pool.loaded:
            weights_path(spec)
        return spec

    def meant(self, name: str) -> str:
        """The name; or, where a request of llama.cpp's clients has none, that of the one model that
        was loaded at the start, or of the only one: of those that the caller may use.

        Raises:
            InvalidRequest: several could be meant.
        """
        if name:
            return name
        allowed = [spec.name for spec in self._allowed()]
        one = [first for first in self._first if first in allowed] or allowed
        if len(one) == 1:
            return one[0]
        known = ", ".join(allowed)
        raise InvalidRequest(
            "model is missing, and this server has several",
            hint=f"name one of: {known}",
            parameter="model",
        )

    @asynccontextmanager
    async def session(self, name: str) -> AsyncIterator["Session"]:
        """A place and a loaded model, for as long as the block runs.

        Raises:
            TooMany, Draining, DeadlinePassed: as their names say.
            UnknownModel, Forbidden, ModelNotPulled, ModelLoadError: as `model` and the pool do.
        """
        spec = self.model(name)
        exchange = current()
        exchange.model = spec.name
        exchange.adapter = spec.adapter.stem if spec.adapter else ""
        left = max(self.limits.deadline_s - exchange.seconds, 0.0)
        try:
            async with asyncio.timeout(left) as deadline:
                async with self.admission.place(), self.pool.lease(spec.name) as backend:
                    exchange.waited_s = exchange.seconds
                    yield Session(backend, exchange, self.limits, self._recorder)
        except TimeoutError:
            if not deadline.expired():
                raise
            raise DeadlinePassed(
                f"the request was not done within {self.limits.deadline_s:g} seconds",
                hint="ask for fewer tokens, or raise the server's --deadline",
            ) from None

    def _allowed(self) -> list[ModelSpec]:
        key = current().key
        specs = self.pool.models.specs
        return [specs[name] for name in sorted(specs) if key is None or key.allows(name)]


@dataclass(frozen=True, slots=True)
class Session:
    """A loaded model that works for one exchange."""

    backend: Backend
    exchange: Exchange
    limits: Limits
    recorder: Recorder | None = None

    async def filling_context(self, request: GenerationRequest) -> GenerationRequest:
        """The request with as many tokens for its answer as its prompt leaves in the context.

        Raises:
            ContextOverflow: it leaves none.
        """
        rendered = await self.render(request)
        left = self.backend.context_length - len(rendered.token_ids)
        if left < 1:
            raise ContextOverflow(len(rendered.token_ids) + 1, self.backend.context_length)
        return replace(request, sampling=replace(request.sampling, max_tokens=left))

    async def within_context(
        self, request: GenerationRequest, most: int | None
    ) -> GenerationRequest:
        """The request with at most so many tokens for its answer, and no more than fit.

        Raises:
            ContextOverflow: the prompt leaves none.
        """
        filling = await self.filling_context(request)
        if most is None or most >= filling.sampling.max_tokens:
            return filling
        return replace(filling, sampling=replace(filling.sampling, max_tokens=most))

    async def generate(self, request: GenerationRequest) -> Completion:
        """As the backend does."""
        async with self._recorded(request) as record:
            self._check_length(request)
            completion = await self.backend.generate(request)
            self.exchange.note(completion)
            await record.answer(completion)
        return completion

    async def generate_all(self, requests: Sequence[GenerationRequest]) -> list[Completion]:
        """Several side by side, answers in the order asked. The first error ends them all."""
        return await together([partial(self.generate, request) for request in requests])

    async def stream(self, request: GenerationRequest) -> AsyncIterator[Delta]:
        """As the backend does."""
        deltas = cast("aclosing[AsyncIterator[Delta]]", aclosing(self.backend.stream(request)))  # type: ignore[type-var]
        async with self._recorded(request) as record, deltas as pieces:
            self._check_length(request)
            async for delta in pieces:
                if delta.completion is not None:
                    self.exchange.note(delta.completion)
                    await record.answer(delta.completion)
                yield delta

    async def score(self, request: GenerationRequest, labels: Sequence[str]) -> LabelScores:
        """As the backend's `score_labels`."""
        self._check_length(request)
        scores = await self.backend.score_labels(request, labels)
        self.exchange.prompt_tokens += scores.prompt_tokens
        self.exchange.cached_tokens += scores.timings.cached_tokens
        return scores

    async def embed(
        self, texts: Sequence[EmbeddingInput], dimensions: int | None = None
    ) -> Embeddings:
        """As the backend does.

        Args:
            dimensions: the first so many of each vector; None: all.

        Raises:
            InvalidRequest: more dimensions are asked for than the model has.
        """
        self.check_characters(sum(map(len, texts)), "input")
        found = await self.backend.embed(texts)
        self.exchange.prompt_tokens += found.prompt_tokens
        return found if dimensions is None else found.cut(dimensions)

    def _recorded(self, request: GenerationRequest) -> AbstractAsyncContextManager[Open]:
        if self.recorder is None:
            return unrecorded()
        return self.recorder.open(self.exchange.id, self.backend, request)

    def _check_length(self, request: GenerationRequest) -> None:
        parts = [m.content for m in request.messages] + [t.parameters for t in request.tools]
        parts += [call.arguments for m in request.messages for call in m.tool_calls]
        parts.append(request.prompt or "")
        self.check_characters(sum(map(len, parts)), "messages" if request.messages else "prompt")

    async def opened(self, request: GenerationRequest) -> bool:
        """Whether the prompt ends within a thought, as far as it is known here."""
        try:
            return (await self.render(request)).thinking
        except Unsupported:
            return False

    async def render(self, request: GenerationRequest) -> RenderedRequest:
        """As the backend does, beside the event loop."""
        self._check_length(request)
        return await asyncio.to_thread(self.backend.render, request)

    def check_characters(self, count: int, parameter: str) -> None:
        """Refuse a text that is longer than the server's limit.

        Raises:
            InvalidRequest: it is.
        """
        if count > self.limits.prompt_chars:
            raise InvalidRequest(
                f"{count} characters are more than the server's limit of "
                f"{self.limits.prompt_chars}",
                parameter=parameter,
            )


async def together(works: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
    """Results of several works side by side, in their order.

    Raises:
        GatewayError: the first one that any of them raises; the others are cancelled.
    """
    if len(works) == 1:
        return [await works[0]()]

    async def call(work: Callable[[], Awaitable[T]]) -> T:
        return await work()

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(call(work)) for work in works]
    except ExceptionGroup as several:
        raise several.exceptions[0] from None
    return [task.result() for task in tasks]


def _is_here(spec: ModelSpec) -> bool:
    try:
        weights_path(spec)
    except GatewayError:
        return False
    return True
