"""GET /api/version, /api/tags, /api/ps and POST /api/show."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import Field

from gateway.backends.protocol import Backend
from gateway.core.errors import InvalidRequest, ModelNotPulled, UnknownModel
from gateway.models.gguf_parts import read_model
from gateway.models.spec import ModelSpec
from gateway.server.http_errors import Forbidden
from gateway.server.ollama import showing
from gateway.server.ollama.answers import timestamp
from gateway.server.ollama.describing import Description, describe, describe_all
from gateway.server.ollama.keep_alive import Keeper
from gateway.server.ollama.names import entry_of, tagged
from gateway.server.ollama.unsupported import NoOverride
from gateway.server.service import Service
from gateway.server.wire import Answered, Ignored, Text, Wire

SPOKEN = "0.33.0"
"""The version of Ollama whose API this is; clients decide by it what they may ask."""

_NEVER = datetime(9999, 12, 31, tzinfo=UTC)
"""When a model is unloaded for which no client set a time."""


class Version(Answered):
    """Of the API, in numbers and dots alone: clients part it there. /openapi.json has the
    gateway's own."""

    version: str


class Details(Answered):
    """What kind of model it is."""

    parent_model: str
    format: str
    family: str
    families: list[str]
    parameter_size: str
    quantization_level: str


class ListedDetails(Details):
    """In the list of all models, two more."""

    context_length: int
    embedding_length: int


class Listed(Answered):
    """A model that can be asked."""

    name: str
    model: str
    modified_at: str
    size: int
    """Bytes of its files."""
    digest: str
    """SHA-256 of its contents: equal for equal weights, whatever file they are in."""
    details: ListedDetails
    capabilities: list[str]


class Tags(Answered):
    """All of them."""

    models: list[Listed]


class Running(Answered):
    """A model in memory."""

    name: str
    model: str
    size: int
    """Bytes of memory: weights, keys and values, scratch."""
    digest: str
    details: Details
    expires_at: str
    """When it is unloaded unless it is asked again; the year 9999: not before its memory is
    needed."""
    size_vram: Annotated[int, Field(ge=0, le=0)]
    """0: models run on the processor."""
    context_length: int


class Processes(Answered):
    """All of them."""

    models: list[Running]


class PullBody(Wire):
    """Which model to have here."""

    model: Text | None = None
    name: Text | None = None
    """The same, as older clients call it."""
    stream: bool | None = None
    insecure: Ignored = None
    username: Ignored = None
    password: Ignored = None


class Pulled(Answered):
    """What became of it."""

    status: Literal["success"]


class ShowBody(Wire):
    """Which model."""

    model: Text | None = None
    name: Text | None = None
    """The same, as older clients call it."""
    verbose: bool | None = None
    """Arrays of the metadata too, such as the vocabulary."""
    system: NoOverride = None
    template: NoOverride = None
    options: NoOverride = None


class ShownTensor(Answered):
    """One of the model's tensors."""

    name: str
    type: str
    shape: list[int]


class Shown(Answered):
    """What the model's file and its entry say."""

    license: str = ""
    modelfile: str
    parameters: str
    template: str = ""
    """Jinja, not Go."""
    details: Details
    model_info: dict[str, Any]
    tensors: list[ShownTensor]
    capabilities: list[str]
    modified_at: str


class ModelRoutes:
    """The endpoints, on a service."""

    def __init__(self, service: Service, keeper: Keeper) -> None:
        self._service = service
        self._keeper = keeper

    def add_to(self, router: APIRouter) -> None:
        router.get("/version", summary="Version")(self.version)
        router.get("/tags", summary="Models to be asked")(self.tags)
        router.get("/ps", summary="Loaded models")(self.ps)
        router.post("/pull", summary="Have a model here")(self.pull)
        router.post("/show", response_model_exclude_unset=True, summary="One model")(self.show)

    async def version(self) -> Version:
        """The version of the API that is spoken here."""
        return Version(version=SPOKEN)

    async def tags(self) -> Tags:
        """Entries whose files are on this machine and that the API key allows."""
        found = await asyncio.to_thread(describe_all, self._service.models())
        return Tags(models=[self._listed(description) for description in found])

    async def ps(self) -> Processes:
        """Those that are in memory."""
        before = self._service.pool.loaded
        specs = [spec for spec in self._service.models() if spec.name in before]
        found = await asyncio.to_thread(describe_all, specs)
        # Some may have gone while their files were read.
        loaded = self._service.pool.loaded
        still = [description for description in found if description.spec.name in loaded]
        return Processes(models=[self._running(d, loaded[d.spec.name]) for d in still])

    async def pull(self, body: PullBody) -> Pulled:
        """Success where the model is here already; none is fetched for a client."""
        try:
            _entry(self._service, body)
        except (UnknownModel, ModelNotPulled) as missing:
            raise Forbidden(
                "/api/pull is not enabled on this server",
                hint="models are pulled where the server runs: gateway models pull NAME",
            ) from missing
        return Pulled(status="success")

    async def show(self, body: ShowBody) -> Shown:
        """Metadata, tensors, template and the defaults that apply."""
        spec = _entry(self._service, body)
        found = await asyncio.to_thread(describe, spec)
        header = found.header
        if body.verbose and header.tensors:
            header = await asyncio.to_thread(read_model, found.path, arrays=True)
        more: dict[str, Any] = {}
        if license_text := showing.license_of(found):
            more["license"] = license_text
        if found.template:
            more["template"] = found.template
        return Shown(
            modelfile=showing.modelfile(found),
            parameters=showing.parameters(found),
            details=Details(**_details(found)),
            model_info=showing.model_info(found, header),
            tensors=[
                ShownTensor(name=tensor.name, type=tensor.type, shape=list(tensor.shape))
                for tensor in header.tensors
            ],
            capabilities=found.capabilities,
            modified_at=timestamp(found.modified),
            **more,
        )

    def _listed(self, found: Description) -> Listed:
        name = self._name(found)
        return Listed(
            name=name,
            model=name,
            modified_at=timestamp(found.modified),
            size=found.size,
            digest=found.digest,
            details=ListedDetails(
                **_details(found),
                context_length=found.number("context_length"),
                embedding_length=found.number("embedding_length"),
            ),
            capabilities=found.capabilities,
        )

    def _running(self, found: Description, backend: Backend) -> Running:
        name = self._name(found)
        ends = self._keeper.ends(found.spec.name)
        memory = backend.memory
        return Running(
            name=name,
            model=name,
            size=memory.weights + memory.cache + memory.scratch,
            digest=found.digest,
            details=Details(**_details(found)),
            expires_at=timestamp(_NEVER if ends is None else datetime.fromtimestamp(ends, UTC)),
            size_vram=0,
            context_length=backend.context_length,
        )

    def _name(self, found: Description) -> str:
        return tagged(found.spec.name, self._service.pool.models.specs)


def _entry(service: Service, body: ShowBody | PullBody) -> ModelSpec:
    if not (name := body.model or body.name):
        raise InvalidRequest("model is required", parameter="model")
    return entry_of(service, name)


def _details(found: Description) -> dict[str, Any]:
    return {
        "parent_model": "",
        "format": "gguf" if found.header.tensors else "",
        "family": found.family,
        "families": [found.family] if found.family else [],
        "parameter_size": found.parameter_size,
        "quantization_level": found.quantization,
    }
