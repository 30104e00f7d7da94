"""POST /api/chat and /api/generate."""

from fastapi import APIRouter, Request, Response

from gateway.server.client_work import unless_gone
from gateway.server.ollama import ndjson
from gateway.server.ollama.answers import A, Answering, OllamaRequest
from gateway.server.ollama.keep_alive import Keeper
from gateway.server.ollama.names import entry_of
from gateway.server.ollama.requests import chat_request, generate_request
from gateway.server.ollama.wire import (
    ChatAnswer,
    ChatBody,
    GenerateAnswer,
    GenerateBody,
    chat_answer,
    generate_answer,
)
from gateway.server.service import Service


class GenerationRoutes:
    """The endpoints, on a service."""

    def __init__(self, service: Service, keeper: Keeper) -> None:
        self._service = service
        self._answering = Answering(service, keeper)

    def add_to(self, router: APIRouter) -> None:
        router.post(
            "/chat",
            response_model=ChatAnswer,
            response_model_exclude_unset=True,
            responses=ndjson.DOCUMENTED,
            summary="Answer a conversation",
        )(self.chat)
        router.post(
            "/generate",
            response_model=GenerateAnswer,
            response_model_exclude_unset=True,
            responses=ndjson.DOCUMENTED,
            summary="Answer a prompt",
        )(self.generate)

    async def chat(self, body: ChatBody, request: Request) -> ChatAnswer | Response:
        """The assistant's next turn, streamed unless `stream` is false.

        Without messages the model is loaded; with `keep_alive` 0 it is unloaded.
        """
        asked = OllamaRequest(
            body,
            entry_of(self._service, body.model),
            lambda session: chat_request(body, session),
            chat_answer,
        )
        return await self._answer(asked, request, empty=not body.messages)

    async def generate(self, body: GenerateBody, request: Request) -> GenerateAnswer | Response:
        """The answer to a prompt, streamed unless `stream` is false.

        Without a prompt the model is loaded; with `keep_alive` 0 it is unloaded.
        """
        asked = OllamaRequest(
            body,
            entry_of(self._service, body.model),
            lambda session: generate_request(body, session),
            generate_answer,
        )
        return await self._answer(asked, request, empty=not body.prompt)

    async def _answer(
        self, asked: OllamaRequest[A], request: Request, *, empty: bool
    ) -> A | Response:
        answering = self._answering
        if empty:
            return await unless_gone(request.receive, answering.load(asked))
        if asked.body.stream is False:
            return await unless_gone(request.receive, answering.whole(asked))
        return await ndjson.streamed(request, lambda emit: answering.stream(asked, emit))
