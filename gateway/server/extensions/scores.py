"""POST /v1/score: how likely a model is to answer exactly this."""

from typing import Annotated, Self

from fastapi import APIRouter, Request
from pydantic import Field, model_validator

from gateway.core.types import GenerationRequest, Message
from gateway.server.client_work import unless_gone
from gateway.server.openai.chat_wire import ChatMessage
from gateway.server.service import Service
from gateway.server.wire import Answered, Text, Wire, finite

MOST_LABELS = 256
Labels = Annotated[
    list[Annotated[Text, Field(min_length=1, max_length=2000)]],
    Field(min_length=1, max_length=MOST_LABELS),
]


class ScoreRequest(Wire):
    """Messages or a raw prompt, and the answers to score after it."""

    model: Text
    messages: Annotated[list[ChatMessage], Field(min_length=1)] | None = None
    prompt: Text | None = None
    answer_start: Text = ""
    """Text with which every answer has begun already."""
    labels: Labels

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("give either messages or a prompt")
        return self


class LabelScore(Answered):
    """One answer's score."""

    label: str
    logprob: float
    """ln P(the model answers exactly this and stops | prompt)."""
    tokens: int
    """Tokens summed over, the end of the turn included."""
    bytes: int
    """UTF-8 length of the label."""


class Scores(Answered):
    """One entry a label, in the order asked."""

    model: str
    scores: list[LabelScore]
    prompt_tokens: int
    tokens_evaluated: int
    """Tokens that a computation without any cache forwards."""
    exact: bool
    """False when a log-probability is a bound or an approximation."""
    system_fingerprint: str


class ScoreRoutes:
    """The endpoint, on a service."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def add_to(self, router: APIRouter) -> None:
        router.post("/v1/score", summary="Log-probabilities of whole answers")(self.score)

    async def score(self, body: ScoreRequest, request: Request) -> Scores:
        """The log-probability of each label as the model's whole answer. Nothing is generated."""
        return await unless_gone(request.receive, self._score(body))

    async def _score(self, body: ScoreRequest) -> Scores:
        asked = GenerationRequest(
            body.model,
            messages=tuple(Message(m.plain_role, m.text) for m in body.messages or ()),
            prompt=body.prompt,
            answer_start=body.answer_start,
        )
        async with self._service.session(body.model) as session:
            found = await session.score(asked, body.labels)
        rows = zip(found.labels, found.logprobs, found.token_counts, found.byte_counts, strict=True)
        return Scores(
            model=body.model,
            scores=[
                LabelScore(label=label, logprob=finite(logprob), tokens=tokens, bytes=size)
                for label, logprob, tokens, size in rows
            ],
            prompt_tokens=found.prompt_tokens,
            tokens_evaluated=found.tokens_evaluated,
            exact=found.exact,
            system_fingerprint=found.fingerprint,
        )
