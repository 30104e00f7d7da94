"""POST /api/embed and the older /api/embeddings."""

from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import Field, Tag

from gateway.core.errors import InvalidRequest
from gateway.core.types import Embeddings
from gateway.core.whole import Whole
from gateway.server.client_work import unless_gone
from gateway.server.exchange import current
from gateway.server.ollama.answers import nanoseconds
from gateway.server.ollama.keep_alive import KeepAlive, Keeper, seconds_of
from gateway.server.ollama.names import entry_of
from gateway.server.ollama.options import Options
from gateway.server.ollama.unsupported import WhereItFits
from gateway.server.service import Service
from gateway.server.wire import Answered, ByKind, Text, Wire

_MOST_TEXTS = 2048
_SAMPLING = Options().sampling()


class EmbeddingBody(Wire):
    """What both endpoints take."""

    model: Text
    options: Options | None = None
    """Only `num_ctx`: a text that is longer is refused."""
    keep_alive: KeepAlive = None


class EmbedBody(EmbeddingBody):
    """Texts to turn into vectors."""

    input: (
        Annotated[
            Annotated[Text, Tag("str")]
            | Annotated[list[Text], Field(max_length=_MOST_TEXTS), Tag("list")],
            ByKind,
        ]
        | None
    ) = None
    """No text, or an empty one, has no vector: the model is not asked."""
    truncate: WhereItFits = None
    dimensions: Annotated[Whole, Field(ge=0)] | None = None
    """As at /v1/embeddings; 0: all."""

    @property
    def texts(self) -> list[str]:
        """All of them."""
        if not self.input:
            return []
        return [self.input] if isinstance(self.input, str) else self.input


class EmbedAnswer(Answered):
    """One unit vector a text, in their order."""

    model: str
    embeddings: list[list[float]]
    total_duration: int = 0
    """Nanoseconds, as the other one."""
    load_duration: int = 0
    prompt_eval_count: int = 0


class LegacyBody(EmbeddingBody):
    """One text."""

    prompt: Text = ""


class LegacyAnswer(Answered):
    """Its vector, of unit length; of no text there is none."""

    embedding: list[float]


class EmbeddingRoutes:
    """The endpoints, on a service."""

    def __init__(self, service: Service, keeper: Keeper) -> None:
        self._service = service
        self._keeper = keeper

    def add_to(self, router: APIRouter) -> None:
        router.post("/embed", response_model_exclude_unset=True, summary="Vectors of texts")(
            self.embed
        )
        router.post("/embeddings", summary="Vector of one text")(self.legacy)

    async def embed(self, body: EmbedBody, request: Request) -> EmbedAnswer:
        """Vectors of unit length, pooled as the model's file says; the same text always has the
        same."""
        if not body.texts:
            entry_of(self._service, body.model)
            return EmbedAnswer(model=body.model, embeddings=[])
        found = await unless_gone(request.receive, self._embed(body, body.texts, body.dimensions))
        exchange = current()
        return EmbedAnswer(
            model=body.model,
            embeddings=[list(vector) for vector in found.vectors],
            total_duration=nanoseconds(exchange.seconds),
            load_duration=nanoseconds(exchange.waited_s),
            prompt_eval_count=found.prompt_tokens,
        )

    async def legacy(self, body: LegacyBody, request: Request) -> LegacyAnswer:
        """As /api/embed, for clients that ask the older way."""
        if not body.prompt:
            entry_of(self._service, body.model)
            return LegacyAnswer(embedding=[])
        found = await unless_gone(request.receive, self._embed(body, [body.prompt]))
        return LegacyAnswer(embedding=list(found.vectors[0]))

    async def _embed(
        self, body: EmbeddingBody, texts: list[str], dimensions: int | None = None
    ) -> Embeddings:
        options = body.options or Options()
        if options.sampling() != _SAMPLING or options.num_predict is not None:
            raise InvalidRequest(
                "a vector is not sampled: of the options only num_ctx has a meaning here",
                parameter="options",
            )
        name = entry_of(self._service, body.model).name
        kept = None if body.keep_alive is None else seconds_of(body.keep_alive)
        async with self._keeper.during(name, kept), self._service.session(name) as session:
            context = options.context(session.backend.context_length)
            longest = max(session.backend.count(text) for text in texts)
            if longest > context:
                raise InvalidRequest(
                    f"the input length exceeds the context length: {longest} tokens, {context}",
                    parameter="input",
                )
            return await session.embed(texts, dimensions or None)
