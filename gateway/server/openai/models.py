"""GET /v1/models and /v1/models/{id}."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from gateway.models.spec import ModelSpec
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

    async def all(self) -> ModelList:
        """Entries whose files are on this machine and that the API key allows."""
        found = [_shown(spec) for spec in self._service.models()]
        return ModelList(object="list", data=found)

    async def one(self, model: str) -> Model:
        """The entry of that name."""
        return _shown(self._service.model(model))


def _shown(spec: ModelSpec) -> Model:
    return Model(id=spec.name, object="model", created=0, owned_by="local-model-gateway")
