"""POST /tokenize and /detokenize."""

from typing import Annotated, Self

from fastapi import APIRouter, Request
from pydantic import Field, model_validator

from gateway.core.types import GenerationRequest, Message
from gateway.server.client_work import unless_gone
from gateway.server.openai.chat_wire import ChatMessage
from gateway.server.service import Service
from gateway.server.wire import Answered, Text, Wire

_MOST_TOKENS = 1_000_000


class TokenizeRequest(Wire):
    """A raw text, or messages that the chat template renders."""

    model: Text
    text: Text | None = None
    messages: Annotated[list[ChatMessage], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.text is None) == (self.messages is None):
            raise ValueError("give either text or messages")
        return self


class Tokens(Answered):
    """What the model reads."""

    tokens: list[int]
    count: int
    text: str
    """The text that the tokens are of: messages as the chat template renders them."""


class DetokenizeRequest(Wire):
    """Ids of tokens."""

    model: Text
    tokens: Annotated[list[Annotated[int, Field(ge=0, lt=1 << 31)]], Field(max_length=_MOST_TOKENS)]


class Detokenized(Answered):
    """The tokens' text; control tokens have none, and half a character is U+FFFD."""

    text: str


class TokenRoutes:
    """The endpoints, on a service."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def add_to(self, router: APIRouter) -> None:
        router.post("/tokenize", summary="Text to tokens")(self.tokenize)
        router.post("/detokenize", summary="Tokens to text")(self.detokenize)

    async def tokenize(self, body: TokenizeRequest, request: Request) -> Tokens:
        """The ids that a request with this prompt would be read as, what a vocabulary puts before
        every text included."""
        return await unless_gone(request.receive, self._tokenize(body))

    async def detokenize(self, body: DetokenizeRequest, request: Request) -> Detokenized:
        """The text of token ids."""
        return await unless_gone(request.receive, self._detokenize(body))

    async def _tokenize(self, body: TokenizeRequest) -> Tokens:
        messages = tuple(Message(m.plain_role, m.text) for m in body.messages or ())
        async with self._service.session(body.model) as session:
            rendered = await session.render(
                GenerationRequest(body.model, messages=messages, prompt=body.text)
            )
        ids = list(rendered.token_ids)
        return Tokens(tokens=ids, count=len(ids), text=rendered.text)

    async def _detokenize(self, body: DetokenizeRequest) -> Detokenized:
        async with self._service.session(body.model) as session:
            data = b"".join(session.backend.piece(token) for token in body.tokens)
        return Detokenized(text=data.decode("utf-8", "replace"))
