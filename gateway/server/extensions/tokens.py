"""POST /tokenize and /detokenize."""

import asyncio
from typing import Annotated, Self

from fastapi import APIRouter, Request, Response
from pydantic import Field, model_validator

from gateway.backends.protocol import Backend, Reads
from gateway.core.errors import Unsupported
from gateway.core.types import GenerationRequest, Message, RenderedRequest
from gateway.server.client_work import unless_gone
from gateway.server.openai.chat_wire import ChatMessage
from gateway.server.service import Service
from gateway.server.wire import Answered, MeantModel, Text, Wire

_MOST_TOKENS = 1_000_000


class TokenizeRequest(Wire):
    """A raw text, messages that the chat template renders, or a content, as llama.cpp's server has
    it: a text that need not be a prompt."""

    model: MeantModel = ""
    text: Text | None = None
    messages: Annotated[list[ChatMessage], Field(min_length=1)] | None = None
    content: Text | None = None
    add_special: bool | None = None
    """Of a content: put what the vocabulary puts before every text."""
    parse_special: bool | None = None
    """Of a content: control tokens that are written in it are such, unless this is false."""
    with_pieces: bool | None = None
    """Each token with its text, or with its bytes where they are no text."""

    @property
    def _is_plain(self) -> bool:
        return self.add_special is None and self.parse_special is None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        given = [each for each in (self.text, self.messages, self.content) if each is not None]
        if len(given) != 1:
            raise ValueError("give one of text, messages and content")
        if self.content is None and not self._is_plain:
            raise ValueError("add_special and parse_special are of a content")
        return self


class Piece(Answered):
    """A token as the vocabulary writes it."""

    id: int
    piece: str | list[int]


class Tokens(Answered):
    """What the model reads."""

    tokens: list[int] | list[Piece]
    count: int
    text: str
    """The text that the tokens are of: messages as the chat template renders them."""


class DetokenizeRequest(Wire):
    """Ids of tokens."""

    model: MeantModel = ""
    tokens: Annotated[list[Annotated[int, Field(ge=0, lt=1 << 31)]], Field(max_length=_MOST_TOKENS)]


class Detokenized(Answered):
    """The tokens' text; control tokens have none, and half a character is U+FFFD."""

    text: str
    content: str
    """The same, as llama.cpp's server calls it."""


class TokenRoutes:
    """The endpoints, on a service."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def add_to(self, router: APIRouter) -> None:
        router.post("/tokenize", response_model=Tokens, summary="Text to tokens")(self.tokenize)
        router.post("/detokenize", summary="Tokens to text")(self.detokenize)

    async def tokenize(self, body: TokenizeRequest, request: Request) -> Response:
        """The ids that a request with this prompt would be read as, what a vocabulary puts before
        every text included."""
        return await unless_gone(request.receive, self._tokenize(body))

    async def detokenize(self, body: DetokenizeRequest, request: Request) -> Detokenized:
        """The text of token ids."""
        return await unless_gone(request.receive, self._detokenize(body))

    async def _tokenize(self, body: TokenizeRequest) -> Response:
        messages = tuple(Message(m.plain_role, m.text) for m in body.messages or ())
        model = self._service.meant(body.model)
        async with self._service.session(model) as session:
            if body.content is not None:
                session.check_characters(len(body.content), "content")
                rendered = await asyncio.to_thread(_of_content, body, session.backend)
            else:
                rendered = await session.render(
                    GenerationRequest(model, messages=messages, prompt=body.text)
                )
            # Of a long text beside the event loop, on which streams wait.
            told = await asyncio.to_thread(_told, rendered, body, session.backend)
        return Response(told, media_type="application/json")

    async def _detokenize(self, body: DetokenizeRequest) -> Detokenized:
        async with self._service.session(self._service.meant(body.model)) as session:
            text = await asyncio.to_thread(_joined, body.tokens, session.backend)
        return Detokenized(text=text, content=text)


def _told(rendered: RenderedRequest, body: TokenizeRequest, backend: Backend) -> str:
    ids = list(rendered.token_ids)
    pieces = {token: _piece(token, backend) for token in set(ids)} if body.with_pieces else {}
    shown = [pieces[token] for token in ids] if body.with_pieces else ids
    return Tokens(tokens=shown, count=len(ids), text=rendered.text).model_dump_json()


def _joined(tokens: list[int], backend: Backend) -> str:
    return b"".join(map(backend.piece, tokens)).decode("utf-8", "replace")


def _of_content(body: TokenizeRequest, backend: Backend) -> RenderedRequest:
    text = body.content or ""
    segment = text, body.parse_special is not False
    ids = _reading(backend).reader.tokenizer.tokenize(
        [segment], add_special=body.add_special is True
    )
    return RenderedRequest(text, tuple(ids))


def _piece(token: int, backend: Backend) -> Piece:
    """A control token has a text here, and adds none to an answer."""
    data = backend.piece(token) or _reading(backend).reader.tokenizer.token_text(token).encode()
    try:
        return Piece(id=token, piece=data.decode())
    except UnicodeDecodeError:
        return Piece(id=token, piece=list(data))


def _reading(backend: Backend) -> Reads:
    if not isinstance(backend, Reads):
        raise Unsupported(
            f"tokens of a text that is no prompt, by {backend.spec.backend}",
            hint="give text instead of content",
        )
    return backend
