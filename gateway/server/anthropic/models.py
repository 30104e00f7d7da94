"""Models as Anthropic's API lists them, at the path that it shares with OpenAI's."""

from typing import Literal

from pydantic import BaseModel
from starlette.datastructures import Headers

from gateway.models.spec import ModelSpec


class ModelInfo(BaseModel):
    """A model that can be asked."""

    type: Literal["model"]
    id: str
    display_name: str
    created_at: str
    """The epoch: when a model was made is not known."""


class ModelPage(BaseModel):
    """All of them; there is one page."""

    data: list[ModelInfo]
    has_more: Literal[False]
    first_id: str | None
    last_id: str | None


def is_asked(headers: Headers) -> bool:
    """Whether a client of Anthropic's asks: each names the version of its API."""
    return "anthropic-version" in headers


def info_of(spec: ModelSpec) -> ModelInfo:
    """One entry."""
    return ModelInfo(
        type="model", id=spec.name, display_name=spec.name, created_at="1970-01-01T00:00:00Z"
    )


def page_of(specs: list[ModelSpec]) -> ModelPage:
    """All entries."""
    data = [info_of(spec) for spec in specs]
    ends = (data[0].id, data[-1].id) if data else (None, None)
    return ModelPage(data=data, has_more=False, first_id=ends[0], last_id=ends[1])
