"""Ollama's API, put together: what is mounted on the application."""

from fastapi import APIRouter

from gateway.server.json_body import JsonRoute
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
        route_class=JsonRoute,
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
