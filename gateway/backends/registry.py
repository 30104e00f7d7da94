"""Which backends there are, and how a model of one is loaded.

Backends are imported when first asked for, so that a GGUF user never loads torch.
"""

from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from gateway.backends.fake import FakeSpec
from gateway.backends.llama_cpp.spec import LlamaCppSpec
from gateway.backends.ollama.spec import OllamaSpec
from gateway.backends.protocol import Backend
from gateway.backends.transformers.spec import TransformersSpec
from gateway.core.errors import ConfigError
from gateway.core.extras import require_extra
from gateway.models.file import Models, kind_named, read_models
from gateway.models.spec import ModelSpec


class BackendFactory(Protocol):
    """How a backend is made from an entry of models.toml."""

    def __call__(self, spec: ModelSpec, path: Path) -> Backend: ...


_ROWS: tuple[type[ModelSpec], ...] = (LlamaCppSpec, TransformersSpec, OllamaSpec, FakeSpec)
KINDS = {row.backend: row for row in _ROWS}
"""Names that `backend = ...` in models.toml may have, each with the class of its entries, which
says what the backend can do and where its own class is. A new backend is one more row."""


def load_models(user_file: Path | None = None) -> Models:
    """`gateway.models.file.read_models` with the keys of these backends."""
    return read_models(KINDS, user_file)


def made_by_name(name: str) -> type[ModelSpec] | None:
    """The kind of a model that needs no entry, such as "ollama:NAME"; None: an entry's name."""
    return kind_named(KINDS, name)


def check_backend(spec: ModelSpec) -> None:
    """Whether the libraries that would load an entry are installed; nothing is loaded.

    Raises:
        ConfigError: the entry is of no backend.
        MissingExtra: they are not.
    """
    if not spec.implementation:
        raise ConfigError(f"model {spec.name}: its entry is of no backend")
    if spec.extra:
        require_extra(spec.extra)


def load_backend(spec: ModelSpec, path: Path) -> Backend:
    """Load a model; this takes seconds and belongs in a worker thread.

    Raises:
        ConfigError, MissingExtra: as `check_backend`.
        BackendError: the backend or the weights cannot be loaded.
    """
    check_backend(spec)
    module, name = spec.implementation.split(":")
    factory = cast(BackendFactory, getattr(import_module(module), name))
    return factory(spec, path)
