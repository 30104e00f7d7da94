"""The application, put together from its parts."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from gateway import __version__
from gateway.backends.pool import ModelPool
from gateway.core.errors import GatewayError
from gateway.core.recording import Recording
from gateway.server.anthropic.errors import ErrorAnswer as AnthropicError
from gateway.server.anthropic.errors import error_response as anthropic_error
from gateway.server.anthropic.messages import MessageRoutes
from gateway.server.client_work import ClientGone
from gateway.server.exchange import Exchange, current
from gateway.server.extensions.classify import ClassifyRoutes
from gateway.server.extensions.completion import LlamaCompletionRoutes
from gateway.server.extensions.rerank import RerankRoutes
from gateway.server.extensions.scores import ScoreRoutes
from gateway.server.extensions.templates import TemplateRoutes
from gateway.server.extensions.tokens import TokenRoutes
from gateway.server.health import HealthRoutes
from gateway.server.http_errors import Failure, noted
from gateway.server.json_body import JsonRoute
from gateway.server.keys import KeyFile
from gateway.server.metrics import Metrics
from gateway.server.middleware import Authentication, BodyLimit, Exchanges, Guard
from gateway.server.ollama.errors import error_response as ollama_error
from gateway.server.ollama.routes import ollama_router
from gateway.server.openai.chat import ChatRoutes
from gateway.server.openai.completions import CompletionRoutes
from gateway.server.openai.embeddings import EmbeddingRoutes
from gateway.server.openai.errors import ErrorResponse, error_response, validation_failure
from gateway.server.openai.models import ModelRoutes
from gateway.server.openai.response_socket import ResponseSocket
from gateway.server.openai.responses import ResponseRoutes
from gateway.server.origins import pattern_of
from gateway.server.own_folders import OwnFolders
from gateway.server.page import PageRoutes
from gateway.server.recorder import Recorder
from gateway.server.requestlog import RequestLog
from gateway.server.service import Service
from gateway.server.settings import Settings

_FAILURES: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorResponse},
    "5XX": {"model": ErrorResponse},
}

_ANTHROPIC = "/v1/messages"
logger = logging.getLogger("gateway.server")


def create_app(pool: ModelPool, settings: Settings | None = None) -> FastAPI:
    """The server's ASGI application. It closes the pool when it ends.

    Raises:
        ConfigError: the file of keys cannot be read.
        StoreError: the file to record in cannot be written, or holds something else.
    """
    settings = settings or Settings()
    recorder = Recorder(Recording(settings.record)) if settings.record else None
    service = Service(pool, settings.limits, recorder)
    metrics = Metrics(service)
    log = RequestLog()
    folders = OwnFolders(
        pool.models.specs.values(), filter(None, (settings.prompts, settings.keys))
    )

    def finished(exchange: Exchange) -> None:
        metrics.observe(exchange)
        if settings.log_requests:
            log.write(exchange)

    async def exposition() -> Response:
        """Prometheus' text format."""
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await service.close()

    app = FastAPI(
        title="local-model-gateway",
        version=__version__,
        description="Local models behind OpenAI's API. The same request gives the same bytes.",
        lifespan=lifespan,
        middleware=_middleware(settings, finished, folders.hidden),
        exception_handlers={
            RequestValidationError: _invalid,
            HTTPException: _http_error,
            ClientGone: _gone,
            GatewayError: _failed,
        },
    )
    app.state.service = service
    app.include_router(_openai(service, "/v1"))
    # llama.cpp's server has these routes without the prefix too.
    app.include_router(_openai(service, ""), include_in_schema=False)
    app.include_router(_anthropic(service))
    app.include_router(_extensions(service, settings))
    app.include_router(ollama_router(service))
    health = APIRouter(tags=["operation"])
    HealthRoutes(service).add_to(health)
    health.add_api_route("/metrics", exposition, response_class=Response, summary="Metrics")
    app.include_router(health)
    page = APIRouter()
    PageRoutes(service, needs_key=settings.keys is not None).add_to(page)
    app.include_router(page)
    return app


def service_of(app: FastAPI) -> Service:
    """The service that an application stands on."""
    service = app.state.service
    assert isinstance(service, Service)
    return service


def render(path: str, failure: Failure) -> Response:
    """A failure in the format that the path speaks."""
    if path.startswith("/api/"):
        return ollama_error(failure)
    return anthropic_error(failure) if path.startswith(_ANTHROPIC) else error_response(failure)


def _openai(service: Service, prefix: str) -> APIRouter:
    router = APIRouter(
        prefix=prefix,
        tags=["OpenAI"],
        route_class=JsonRoute,
        responses=_FAILURES,
    )
    for routes in (ModelRoutes, ChatRoutes, CompletionRoutes, EmbeddingRoutes, ResponseRoutes):
        routes(service).add_to(router)
    ResponseSocket().add_to(router)
    return router


def _anthropic(service: Service) -> APIRouter:
    failures: dict[int | str, dict[str, Any]] = {
        "4XX": {"model": AnthropicError},
        "5XX": {"model": AnthropicError},
    }
    router = APIRouter(prefix="/v1", tags=["Anthropic"], route_class=JsonRoute, responses=failures)
    MessageRoutes(service).add_to(router)
    return router


def _extensions(service: Service, settings: Settings) -> APIRouter:
    router = APIRouter(tags=["extensions"], route_class=JsonRoute, responses=_FAILURES)
    TokenRoutes(service).add_to(router)
    TemplateRoutes(service).add_to(router)
    LlamaCompletionRoutes(service).add_to(router)
    ScoreRoutes(service).add_to(router)
    RerankRoutes(service).add_to(router)
    ClassifyRoutes(service, settings.prompts).add_to(router)
    return router


def _middleware(
    settings: Settings, finished: Callable[[Exchange], None], hidden: Callable[[str], str]
) -> list[Middleware]:
    keys = KeyFile(settings.keys) if settings.keys else None
    cors = []
    origins = pattern_of(settings)
    if origins:
        cors.append(
            Middleware(
                CORSMiddleware,
                allow_origin_regex=origins,
                allow_methods=["GET", "POST"],
                allow_headers=["*"],
                expose_headers=["x-request-id", "retry-after"],
            )
        )
    return [
        Middleware(Exchanges, render=render, finished=finished, hidden=hidden),
        Middleware(Guard, render=render, hosts=settings.hosts, origins=origins),
        *cors,
        Middleware(Authentication, render=render, keys=keys),
        Middleware(
            BodyLimit,
            render=render,
            most=settings.limits.body_bytes,
            within=settings.limits.upload_s,
            keep=settings.log_prompts,
        ),
    ]


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return _told(request, validation_failure(error.errors()))


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = {404: "unknown_url", 405: "method_not_allowed"}.get(error.status_code, "invalid_request")
    failure = Failure(error.status_code, str(error.detail), "invalid_request_error", code)
    response = _told(request, failure)
    response.headers.update(error.headers or {})
    return response


async def _gone(request: Request, _: Exception) -> Response:
    current().error = "client_gone"
    return Response(status_code=499)


async def _failed(request: Request, error: Exception) -> Response:
    failure = noted(error)
    if failure.parameter is not None:
        renamed = current().parameters.get(failure.parameter, failure.parameter)
        failure = replace(failure, parameter=renamed)
    if failure.status == 500:
        logger.error("request %s failed", current().id, exc_info=error)
    return _told(request, failure)


def _told(request: Request, failure: Failure) -> Response:
    current().error = failure.code or str(failure.status)
    return render(request.url.path, failure)
