"""The seam: what every backend offers, and where each one is found.

Backends are imported when first asked for, so that a GGUF user never loads torch.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast, runtime_checkable

from gateway.backends.fake import FakeSpec
from gateway.backends.llama_cpp.spec import LlamaCppSpec
from gateway.backends.ollama.spec import OllamaSpec
from gateway.backends.transformers.spec import TransformersSpec
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
from gateway.models.file import Models, kind_named, read_models
from gateway.models.spec import ModelSpec

if TYPE_CHECKING:
    from gateway.engine.llama.vocabulary import GgufVocabulary


class Backend(Protocol):
    """One loaded model. All methods may be awaited concurrently.

    What a backend cannot do raises `Unsupported`; nothing is approximated unasked.
    """

    @property
    def spec(self) -> ModelSpec:
        """The entry that it was loaded for."""
        ...

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


@runtime_checkable
class Served(Protocol):
    """A backend whose server renders conversations by a template of its own."""

    @property
    def served_template(self) -> str:
        """The server's, in Go's language."""
        ...

    @property
    def own_template(self) -> str:
        """The model's own, in Jinja; empty: it is not known."""
        ...

    @property
    def vocabulary(self) -> "GgufVocabulary":
        """The model's."""
        ...


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
