"""An entry of models.toml for a model of an Ollama server."""

import re
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, Self

from annotated_types import Ge, Le

from gateway.core.errors import ConfigError
from gateway.models import ollama_store
from gateway.models.spec import Capabilities, ModelSpec, OllamaSource

Route = Literal["raw", "chat"]


@dataclass(frozen=True, slots=True)
class OllamaSpec(ModelSpec):
    """A model that an Ollama server has and runs."""

    backend: ClassVar = "ollama"
    implementation: ClassVar = "gateway.backends.ollama.backend:OllamaBackend"
    extra: ClassVar = "ollama"
    prefix: ClassVar = "ollama:"
    refused: ClassVar = dict.fromkeys(
        ("sha256", "adapter", "adapter_scale", "deterministic", "batch_tokens"),
        "decided by the Ollama server, not here",
    ) | {"thinking_budget": "an Ollama server bounds no thought"}
    can: ClassVar = Capabilities(
        reads_files=False, reads_folders=False, on_a_server=True, grammars=False
    )

    parallel: Annotated[int, Ge(1), Le(256)] = 1
    """One: where requests that run together change each other, that is asked for, no default."""
    host: str = ""
    """URL of the server; empty: `ollama_host`."""
    route: Route | None = None
    """How the server is given messages: "raw", as the text that the model's own chat template
    makes, or "chat", to be rendered by Ollama's. None: raw where that template is known."""

    def __post_init__(self) -> None:
        ModelSpec.__post_init__(self)
        if not isinstance(self.source, OllamaSource):
            raise ConfigError('backend = "ollama" has a source { ollama = "NAME" }')
        if self.host and not re.fullmatch(r"https?://[^/?#@\s]+", self.host):
            raise ConfigError(
                f"host: {self.host!r} is no URL of a server, such as http://box:11434"
            )

    @property
    def model(self) -> str:
        """What the server calls it."""
        assert isinstance(self.source, OllamaSource)
        return self.source.name

    @classmethod
    def named(cls, name: str) -> Self:
        model = name.removeprefix(cls.prefix)
        ollama_store.parts_of(model)
        return cls(name, OllamaSource(model), origin="its name")
