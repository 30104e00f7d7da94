"""POST /v1/rerank: documents in the order in which they answer a query.

A model that ranks gives the scores itself. Of any other one the score is the probability of "yes"
against "no", as whole answers to a fixed question through its chat template; nothing is sampled.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Self

from fastapi import APIRouter, Request
from pydantic import Field, Tag, model_validator

from gateway.backends.protocol import Ranks
from gateway.core.errors import ContextOverflow
from gateway.core.types import GenerationRequest, LabelScores, Message, Ranking
from gateway.core.whole import Whole
from gateway.server.client_work import unless_gone
from gateway.server.exchange import current
from gateway.server.service import Service, Session, together
from gateway.server.wire import (
    UNREAD,
    Answered,
    ByKind,
    Hint,
    Ignored,
    Text,
    Wire,
    only_default,
    only_empty,
)

MOST_DOCUMENTS = 1000
PATHS = ("/v1/rerank", "/v1/reranking", "/rerank", "/reranking", "/v2/rerank")
"""Jina's and vLLM's, llama.cpp's, and Cohere's."""

LABELS = ("yes", "no")
PROMPT = """\
Is the document relevant to the query? A relevant document answers the query, or helps to answer it.
Answer with one word, yes or no.

Query: {query}

Document: {document}"""


class TextDocument(Wire):
    """A document as an object."""

    text: Text


_Documents = Annotated[
    list[
        Annotated[
            Annotated[Text, Tag("str")] | Annotated[TextDocument, Tag("dict")],
            ByKind,
        ]
    ],
    Field(min_length=1, max_length=MOST_DOCUMENTS),
]


class RerankRequest(Wire):
    """A query, and the documents to order."""

    model: Text
    query: Annotated[Text, Field(min_length=1)]
    documents: _Documents | None = None
    texts: _Documents | None = None
    """The same, as text-embeddings-inference calls it; its answer is a plain list."""
    top_n: Annotated[Whole, Field(ge=1)] | None = None
    """Most results; absent: all."""
    return_documents: bool | None = None
    return_text: bool | None = None
    """The same, as text-embeddings-inference calls it."""
    max_tokens_per_doc: Annotated[
        None, only_default(4096, reason="a document is read as a whole or refused")
    ] = None
    rank_fields: Annotated[None, only_default(["text"], reason="documents are texts")] = None
    return_embeddings: Annotated[None, only_empty("documents have scores, no vectors")] = None
    raw_scores: Annotated[None, only_empty("scores are probabilities")] = None
    truncate: Annotated[bool | None, UNREAD] = None
    """Documents that do not fit are refused, never cut: so to allow it asks for nothing."""
    truncation: Annotated[bool | None, UNREAD] = None
    truncation_direction: Hint = None
    priority: Ignored = None
    user: Hint = None

    @model_validator(mode="after")
    def _has_documents(self) -> Self:
        if (self.documents is None) == (self.texts is None):
            raise ValueError("documents: a request has either documents or texts")
        return self

    @property
    def given(self) -> list[str]:
        """The documents' texts."""
        found = self.documents or self.texts or []
        return [one if isinstance(one, str) else one.text for one in found]


class Result(Answered):
    """One document's place."""

    index: int
    """Number of the document, as it was sent."""
    relevance_score: float
    """P(yes) / (P(yes) + P(no)), from 0 to 1; of a reranker what the model itself gives, which is
    mostly a logit."""
    document: TextDocument | None = None


class RerankUsage(Answered):
    """Tokens of all prompts."""

    prompt_tokens: int
    total_tokens: int


class Reranked(Answered):
    """The most relevant document first; among equal ones the earlier one."""

    id: str
    object: str
    model: str
    results: list[Result]
    usage: RerankUsage
    system_fingerprint: str


class PlainResult(Answered):
    """One document's place, as text-embeddings-inference tells it."""

    index: int
    score: float
    text: str | None = None


class RerankRoutes:
    """The endpoint, on a service."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def add_to(self, router: APIRouter) -> None:
        for number, path in enumerate(PATHS):
            router.post(
                path,
                summary="Order documents by relevance",
                response_model=Reranked | list[PlainResult],
                response_model_exclude_unset=True,
                include_in_schema=number == 0,
            )(self.rerank)

    async def rerank(self, body: RerankRequest, request: Request) -> Reranked | list[PlainResult]:
        """The documents in order. A score does not depend on the other documents."""
        current().parameters["messages"] = "documents"
        return await unless_gone(request.receive, self._rerank(body))

    async def _rerank(self, body: RerankRequest) -> Reranked | list[PlainResult]:
        documents = body.given
        async with self._service.session(body.model) as session:
            found = await ranks(session, body.query, documents)
        order = sorted(range(len(documents)), key=lambda n: -found.scores[n])[: body.top_n]
        if body.texts is not None:
            shown = documents if body.return_text else None
            return [_plain(n, found.scores[n], shown) for n in order]
        shown = documents if body.return_documents else None
        return Reranked(
            id="rerank-" + current().id.removeprefix("req_"),
            object="list",
            model=body.model,
            results=[_result(n, found.scores[n], shown) for n in order],
            usage=RerankUsage(prompt_tokens=found.prompt_tokens, total_tokens=found.prompt_tokens),
            system_fingerprint=found.fingerprint,
        )


async def ranks(session: Session, query: str, documents: Sequence[str]) -> Ranking:
    """How relevant each document is: by the model's own head, or else by label scores."""
    session.check_characters(len(query) + sum(map(len, documents)), "documents")
    backend = session.backend
    if isinstance(backend, Ranks) and backend.abilities.can("rerank"):
        found = await backend.rerank(query, documents)
        session.exchange.prompt_tokens += found.prompt_tokens
        return found
    works = [partial(_answers, session, query, document, n) for n, document in enumerate(documents)]
    scored = await together(works)
    return Ranking(
        tuple(_share_of_yes(scores) for scores in scored),
        sum(scores.prompt_tokens for scores in scored),
        scored[0].fingerprint,
    )


async def _answers(session: Session, query: str, document: str, number: int) -> LabelScores:
    text = PROMPT.format(query=query, document=document)
    request = GenerationRequest(session.backend.spec.name, (Message("user", text),))
    try:
        return await session.score(request, LABELS)
    except ContextOverflow as exc:
        raise ContextOverflow(
            exc.needed, exc.available, hint=f"documents[{number}] is too long: part it"
        ) from exc


def _share_of_yes(scores: LabelScores) -> float:
    yes, no = scores.logprobs
    if yes >= no:
        return 1 / (1 + math.exp(no - yes)) if no > -math.inf else 1.0
    return 1 - 1 / (1 + math.exp(yes - no)) if yes > -math.inf else 0.0


def _result(number: int, score: float, documents: Sequence[str] | None) -> Result:
    if documents is None:
        return Result(index=number, relevance_score=score)
    document = TextDocument(text=documents[number])
    return Result(index=number, relevance_score=score, document=document)


def _plain(number: int, score: float, documents: Sequence[str] | None) -> PlainResult:
    if documents is None:
        return PlainResult(index=number, score=score)
    return PlainResult(index=number, score=score, text=documents[number])
