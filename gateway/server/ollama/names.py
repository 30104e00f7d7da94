"""Model names as Ollama writes them: `name` and `name:latest` are one."""

from collections.abc import Container

from gateway.core.errors import UnknownModel
from gateway.models.spec import ModelSpec
from gateway.server.service import Service

_LATEST = ":latest"


def entry_of(service: Service, name: str) -> ModelSpec:
    """The entry that a client means; one of exactly that name goes first.

    Raises:
        UnknownModel: there is none, in Ollama's words; no other model takes its place.
        Forbidden, ModelNotPulled: as `Service.model`.
    """
    for candidate in (name, name.removesuffix(_LATEST)):
        if candidate in service.pool.models.specs:
            return service.model(candidate)
    raise UnknownModel(f"model '{name}' not found")


def tagged(name: str, known: Container[str]) -> str:
    """The name of an entry as Ollama lists it, with a tag, unless that names another entry."""
    return name if ":" in name or name + _LATEST in known else name + _LATEST
