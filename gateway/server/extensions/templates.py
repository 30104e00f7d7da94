"""POST /apply-template and GET /props, as clients of llama.cpp's server ask for them.

https://github.com/ggml-org/llama.cpp/tree/master/tools/server, README.md
"""

from typing import Any

from fastapi import APIRouter, Request

from gateway import __version__
from gateway.backends.protocol import Backend, Reads
from gateway.models.locate import weights_path
from gateway.server.client_work import unless_gone
from gateway.server.openai.chat_request import prompt_of
from gateway.server.openai.chat_wire import ChatRequest
from gateway.server.service import Service
from gateway.server.wire import Answered, MeantModel


class TemplateRequest(ChatRequest):
    """A conversation, as for a chat; what is not about its prompt changes nothing."""

    model: MeantModel = ""


class Rendered(Answered):
    """What the model would read."""

    prompt: str


class Generation(Answered):
    """What a request gets that says nothing."""

    n_ctx: int
    """Most tokens of prompt and answer together."""
    params: dict[str, Any]


class Props(Answered):
    """What a server of one model says of it."""

    default_generation_settings: Generation
    total_slots: int
    """How many requests are worked on together."""
    model_alias: str
    model_path: str
    """The file's name alone: its folder is nobody's business."""
    chat_template: str
    bos_token: str
    eos_token: str
    modalities: dict[str, bool]
    is_sleeping: bool
    build_info: str


class TemplateRoutes:
    """The endpoints, on a service."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def add_to(self, router: APIRouter) -> None:
        router.post("/apply-template", summary="A conversation as the model reads it")(self.apply)
        router.get("/props", summary="What one model is")(self.props)

    async def apply(self, body: TemplateRequest, request: Request) -> Rendered:
        """The prompt that the chat template makes of a conversation."""
        return await unless_gone(request.receive, self._apply(body))

    async def props(self, request: Request, model: str = "") -> Props:
        """Context, chat template and defaults of a model; it is loaded for that."""
        return await unless_gone(request.receive, self._props(model))

    async def _apply(self, body: TemplateRequest) -> Rendered:
        named = body.model_copy(update={"model": self._service.meant(body.model)})
        async with self._service.session(named.model) as session:
            rendered = await session.render(prompt_of(named, session).request)
        return Rendered(prompt=rendered.text)

    async def _props(self, model: str) -> Props:
        async with self._service.session(self._service.meant(model)) as session:
            return _props_of(session.backend)


def _props_of(backend: Backend) -> Props:
    bos, eos = _special(backend, "bos"), _special(backend, "eos")
    return Props(
        default_generation_settings=Generation(
            n_ctx=backend.context_length, params={"temperature": 0.0, "seed": 0, "top_p": 1.0}
        ),
        total_slots=backend.concurrency,
        model_alias=backend.spec.name,
        model_path=weights_path(backend.spec).name,
        chat_template=backend.chat_template,
        bos_token=bos,
        eos_token=eos,
        modalities={"vision": False, "audio": False},
        is_sleeping=False,
        build_info=f"local-model-gateway {__version__}",
    )


def _special(backend: Backend, which: str) -> str:
    return backend.reader.tokenizer.special_text(which) if isinstance(backend, Reads) else ""
