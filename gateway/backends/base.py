"""The seam: what every backend offers, and where each one is found.

Backends are imported when first asked for, so that a GGUF user never loads torch.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from gateway.core.errors import ConfigError
from gateway.core.extras import require_extra
from gateway.core.types import (
    Completion,
    Delta,
    Embeddings,
    GenerationRequest,
    LabelScores,
    MemoryUse,
    RenderedRequest,
)
from gateway.models.spec import ModelSpec


class Backend(Protocol):
    """One loaded model. All methods may be awaited concurrently.

    What a backend can not do raises `Unsupported`; nothing is approximated unasked.
    """

    spec: ModelSpec
    identity: Mapping[str, str]
    """Everything that may change a byte of a result, by name."""
    fingerprint: str
    """Digest of `identity`; carried by every result."""
    warnings: tuple[str, ...]
    """What on this machine weakens the promise of equal bytes."""
    concurrency: int
    """How many requests are worth sending at once."""

    @property
    def context_length(self) -> int:
        """Most tokens of prompt and answer together."""
        ...

    @property
    def chat_template(self) -> str:
        """Jinja source with which messages are rendered; empty where there is none."""
        ...

    async def generate(self, request: GenerationRequest) -> Completion:
        """The whole answer.

        Raises:
            ContextOverflow: prompt and `max_tokens` do not fit the context.
            NoChatTemplate: messages for a model without a chat template.
            InvalidRequest, Unsupported, BackendError: as their names say.
        """
        ...

    def stream(self, request: GenerationRequest) -> AsyncIterator[Delta]:
        """The answer in pieces; their texts joined equal `generate`'s text. Raises as it does."""
        ...

    async def score_labels(self, request: GenerationRequest, labels: Sequence[str]) -> LabelScores:
        """ln P(the answer is exactly this label, and ends) for each label. Raises as `generate`."""
        ...

    async def embed(self, texts: Sequence[str]) -> Embeddings:
        """One unit vector a text."""
        ...

    def render(self, request: GenerationRequest) -> RenderedRequest:
        """What the model will read for this request."""
        ...

    def piece(self, token: int) -> bytes:
        """The bytes that a token adds to a text; none for a control token.

        Raises:
            InvalidRequest: the vocabulary has no such id.
        """
        ...

    def count(self, text: str) -> int:
        """Tokens of a text that stands alone, without special tokens."""
        ...

    def head(self, text: str, tokens: int) -> str:
        """The text of its first tokens."""
        ...

    def tail(self, text: str, tokens: int) -> str:
        """The text of its last tokens."""
        ...

    @property
    def memory(self) -> MemoryUse:
        """What the loaded model takes."""
        ...

    async def close(self) -> None:
        """Free the model. What is unfinished fails with `BackendUnavailable`."""
        ...


class BackendFactory(Protocol):
    """How a backend is made from an entry of models.toml."""

    def __call__(self, spec: ModelSpec, path: Path) -> Backend: ...


_REGISTRY = {
    "llama_cpp": ("gateway.backends.llama_cpp.backend:LlamaCppBackend", "llama-cpp"),
    "transformers": ("gateway.backends.transformers.backend:TransformersBackend", "transformers"),
    "ollama": ("gateway.backends.ollama.backend:OllamaBackend", "ollama"),
    "fake": ("gateway.backends.fake:FakeBackend", ""),
}
"""Name -> where its class is, and the extra that brings its libraries."""


def backend_names() -> tuple[str, ...]:
    """Names that `backend = ...` in models.toml may have."""
    return tuple(_REGISTRY)


def check_backend(spec: ModelSpec) -> None:
    """Whether the libraries that would load an entry are installed; nothing is loaded.

    Raises:
        ConfigError: the entry names an unknown backend.
        MissingExtra: they are not.
    """
    if spec.backend not in _REGISTRY:
        raise ConfigError(
            f"model {spec.name}: unknown backend {spec.backend!r}",
            hint=f"known: {', '.join(_REGISTRY)}",
        )
    if extra := _REGISTRY[spec.backend][1]:
        require_extra(extra)


def load_backend(spec: ModelSpec, path: Path) -> Backend:
    """Load a model; this takes seconds and belongs in a worker thread.

    Raises:
        ConfigError, MissingExtra: as `check_backend`.
        BackendError: the backend or the weights can not be loaded.
    """
    check_backend(spec)
    module, name = _REGISTRY[spec.backend][0].split(":")
    factory = cast(BackendFactory, getattr(import_module(module), name))
    return factory(spec, path)
