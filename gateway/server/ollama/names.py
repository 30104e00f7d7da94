"""Model names as Ollama writes them: `name` and `name:latest` are one."""

from collections.abc import Container

from gateway.core.errors import UnknownModel
from gateway.models.spec import ModelSpec
from gateway.server.service import LATEST, Service

_SHOWN = 100
"""Characters of a name that nobody has, in an error."""


def entry_of(service: Service, name: str) -> ModelSpec:
    """The entry that a client means; one of exactly that name goes first.

    Raises:
        UnknownModel: there is none, in Ollama's words; no other model takes its place.
        Forbidden, ModelNotPulled: as `Service.model`.
    """
    try:
        return service.model(name)
    except UnknownModel:
        raise UnknownModel(f"model '{name[:_SHOWN]}' not found") from None


def tagged(name: str, known: Container[str]) -> str:
    """The name of an entry as Ollama lists it, with a tag, unless that names another entry."""
    return name if ":" in name or name + LATEST in known else name + LATEST
