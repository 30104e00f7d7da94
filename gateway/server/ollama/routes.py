"""Ollama's API, put together: what is mounted on the application."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from starlette.datastructures import MutableHeaders

from gateway.server.ollama.embedding import EmbeddingRoutes
from gateway.server.ollama.errors import ErrorAnswer
from gateway.server.ollama.generation import GenerationRoutes
from gateway.server.ollama.keep_alive import Keeper
from gateway.server.ollama.models import ModelRoutes
from gateway.server.ollama.unsupported import add_refusals
from gateway.server.service import Service


def ollama_router(service: Service) -> APIRouter:
    """All endpoints but the root, at which clients are greeted: that is the page's."""
    keeper = Keeper(service.pool)
    api = APIRouter(
        prefix="/api",
        tags=["Ollama"],
        route_class=_AnyContentType,
        responses={"4XX": {"model": ErrorAnswer}, "5XX": {"model": ErrorAnswer}},
    )
    models = ModelRoutes(service, keeper)
    models.add_to(api)
    GenerationRoutes(service, keeper).add_to(api)
    EmbeddingRoutes(service, keeper).add_to(api)
    add_refusals(api)
    # Ollama's command line and others ask with HEAD whether somebody is there.
    api.add_api_route("/version", models.version, methods=["HEAD"], include_in_schema=False)
    api.add_api_route("/tags", models.tags, methods=["HEAD"], include_in_schema=False)
    api.add_api_route("/ps", models.ps, methods=["HEAD"], include_in_schema=False)
    return api


class _AnyContentType(APIRoute):
    """Reads every body as JSON, as Ollama does: `curl -d` calls it a form."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_json(request: Request) -> Response:
            scope = dict(request.scope)
            headers = MutableHeaders(raw=list(request.headers.raw))
            headers["content-type"] = "application/json"
            scope["headers"] = headers.raw
            return await handle(Request(scope, request.receive))

        return handle_json
