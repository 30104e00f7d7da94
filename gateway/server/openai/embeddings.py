"""POST /v1/embeddings."""

import base64
import struct
from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Request
from pydantic import Field, Tag

from gateway.core.whole import Whole
from gateway.server.client_work import unless_gone
from gateway.server.service import Service
from gateway.server.wire import Answered, Hint, Text, TextsOrIds, TokenIds, Wire, text_or_ids

MOST_TEXTS = 2048


class EmbeddingRequest(Wire):
    """Texts to embed, or the ids of their tokens, which are the model's own."""

    model: Text
    input: Annotated[
        Annotated[Text, Tag("str")]
        | Annotated[TokenIds, Tag("ids")]
        | Annotated[list[Text], Field(min_length=1, max_length=MOST_TEXTS), Tag("list")]
        | Annotated[
            list[TokenIds], Field(min_length=1, max_length=MOST_TEXTS), Tag("lists of ids")
        ],
        TextsOrIds,
    ]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[Whole, Field(ge=1)] | None = None
    """The first so many of each vector, which is then of unit length again: for models that were
    trained to be cut."""
    user: Hint = None


class Embedding(Answered):
    """The vector of one text, of unit length; as base64, little-endian 32-bit floats."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingUsage(Answered):
    """Tokens."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(Answered):
    """One entry a text, in their order."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage


class EmbeddingRoutes:
    """The endpoint, on a service."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def add_to(self, router: APIRouter) -> None:
        router.post("/embeddings", summary="Vectors of texts")(self.create)

    async def create(self, body: EmbeddingRequest, request: Request) -> EmbeddingList:
        """One vector a text, pooled as the model's file says, else the mean of its tokens' states;
        of length 1."""
        return await unless_gone(request.receive, self._embed(body))

    async def _embed(self, body: EmbeddingRequest) -> EmbeddingList:
        async with self._service.session(body.model) as session:
            found = await session.embed(text_or_ids(body.input), body.dimensions)
        data = [
            Embedding(object="embedding", index=n, embedding=_shown(vector, body.encoding_format))
            for n, vector in enumerate(found.vectors)
        ]
        spent = EmbeddingUsage(prompt_tokens=found.prompt_tokens, total_tokens=found.prompt_tokens)
        return EmbeddingList(object="list", data=data, model=body.model, usage=spent)


def _shown(vector: Sequence[float], form: str | None) -> list[float] | str:
    if form == "base64":
        return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    return list(vector)
