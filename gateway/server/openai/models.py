"""GET /v1/models and /v1/models/{id}, for Anthropic's clients in their shape."""

from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel

from gateway.models.spec import ModelSpec
from gateway.server.anthropic import models as anthropic
from gateway.server.service import Service


class Model(BaseModel):
    """A model that can be asked."""

    id: str
    object: Literal["model"]
    created: int
    """0: when a model was made is not known."""
    owned_by: str


class ModelList(BaseModel):
    """All of them."""

    object: Literal["list"]
    data: list[Model]


class ModelRoutes:
    """The endpoints, on a service."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def add_to(self, router: APIRouter) -> None:
        router.get("/models", summary="Models that can be asked")(self.all)
        # A name may hold a slash, as those of adapters may.
        router.get("/models/{model:path}", summary="One model")(self.one)

    async def all(self, request: Request) -> ModelList | anthropic.ModelPage:
        """Entries whose files are on this machine and that the API key allows."""
        found = self._service.models()
        if anthropic.is_asked(request.headers):
            return anthropic.page_of(found)
        return ModelList(object="list", data=[_shown(spec) for spec in found])

    async def one(self, model: str, request: Request) -> Model | anthropic.ModelInfo:
        """The entry of that name."""
        found = self._service.model(model)
        return anthropic.info_of(found) if anthropic.is_asked(request.headers) else _shown(found)


def _shown(spec: ModelSpec) -> Model:
    return Model(id=spec.name, object="model", created=0, owned_by="local-model-gateway")
