"""The seam: what every backend offers."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from gateway.core.types import (
    Completion,
    Delta,
    EmbeddingInput,
    Embeddings,
    GenerationRequest,
    LabelScores,
    LabelSearch,
    MemoryUse,
    Ranking,
    RenderedRequest,
    Troubles,
)
from gateway.models.abilities import Abilities
from gateway.models.spec import ModelSpec
from gateway.models.tool_calls import ToolMode

if TYPE_CHECKING:
    from gateway.engine.llama.vocabulary import GgufVocabulary
    from gateway.engine.reader import Reader
    from gateway.models.choices import Choice
    from gateway.models.families.thoughts import ThoughtTags


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

    @property
    def call_syntax(self) -> str:
        """Name of the form in which its chat template has calls written; empty: the usual one."""
        ...

    @property
    def tool_mode(self) -> ToolMode:
        """Who shows tools to the model."""
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

    async def embed(self, texts: Sequence[EmbeddingInput]) -> Embeddings:
        """One vector a text, of unit length unless the entry says otherwise. Ids of tokens are
        read as they are."""
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
class Recovering(Protocol):
    """A backend whose engine goes on after a failure, and counts it."""

    @property
    def troubles(self) -> Troubles:
        """Those since the model was loaded."""
        ...


@runtime_checkable
class Able(Protocol):
    """A backend that knows beforehand what its model can do."""

    abilities: Abilities


@runtime_checkable
class Ranks(Able, Protocol):
    """A backend whose model may be a reranker: where `abilities.can("rerank")`."""

    async def rerank(self, query: str, documents: Sequence[str]) -> Ranking:
        """What the model says of each document.

        Raises:
            OtherKind: it is no reranker.
            ContextOverflow: query and document do not fit the context.
            InvalidRequest, BackendError: as their names say.
        """
        ...


@runtime_checkable
class SearchesLabels(Protocol):
    """A backend that can leave out labels which cannot be the best and hardly count."""

    @property
    def searches(self) -> bool:
        """Whether it does; an entry may say that all its labels are to be finished."""
        ...

    async def search_labels(
        self, request: GenerationRequest, labels: Sequence[str], search: LabelSearch
    ) -> LabelScores:
        """As `score_labels`, of the labels that count; the others are said to be unfinished.

        What is finished is the same to the last bit. Raises as `score_labels`.
        """
        ...


@runtime_checkable
class Plain(Able, Protocol):
    """A backend that can give the same numbers by a way that shares nothing with its scheduler and
    its caches."""

    async def plain_scores(
        self, request: GenerationRequest, labels: Sequence[str]
    ) -> tuple[float, ...]:
        """As `score_labels`, by one whole pass a label. Raises as it does."""
        ...

    async def plain_vector(self, text: str) -> tuple[float, ...]:
        """As `embed`, of unit length, pooled here from the states of the tokens. Raises as it
        does."""
        ...


@runtime_checkable
class Reads(Protocol):
    """A backend that renders conversations and makes tokens of them in this process."""

    @property
    def reader(self) -> "Reader":
        """What does."""
        ...


@runtime_checkable
class Thinks(Protocol):
    """A backend that knows how its model thinks, and tells no reader."""

    def own_thought(self) -> "ThoughtTags | None":
        """As `Reader.own_thought`."""
        ...


@runtime_checkable
class Choosing(Protocol):
    """A backend whose library has several ways to compute a file, of which one can be chosen."""

    @property
    def spec(self) -> ModelSpec:
        """The entry that it was loaded for."""
        ...

    choice: "Choice | None"
    """What was certified as fastest here and holds for it; None: nothing."""

    @property
    def chooses(self) -> bool:
        """Whether a choice would hold for it."""
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


@runtime_checkable
class OwnPrompt(Protocol):
    """A backend that has learned one template, and answers no other's prompts."""

    def knows(self, request: GenerationRequest) -> bool:
        """Whether a request is in its template.

        Raises:
            RequestError: it cannot be rendered.
        """
        ...


@runtime_checkable
class OwnLabels(OwnPrompt, Protocol):
    """A backend that tells the probabilities of labels of its own, behind a template of its own."""

    @property
    def labels(self) -> tuple[str, ...]:
        """All that it knows."""
        ...

    def around(self, text: str) -> GenerationRequest:
        """A request in its template, about a text."""
        ...


@runtime_checkable
class ReadsGroups(Protocol):
    """A backend that may have learned one thing of each group of items: see
    `GenerationRequest.group`."""

    @property
    def groups(self) -> tuple[str, ...]:
        """Of which it has; those of other groups are answered as if no group were known."""
        ...

    @property
    def groups_of(self) -> str:
        """The column that said of which group an item is; empty: it has learned none."""
        ...


def said_of_entry(backend: Backend) -> tuple[str, ...]:
    """Its warnings that are about the entry itself and not about the machine, which every command
    says that loads it."""
    return tuple(said for said in backend.warnings if said.startswith(f"{backend.spec.name}: "))


def thought_of(backend: Backend) -> "ThoughtTags | None":
    """What stands around the thought that a model writes when it is asked to think; None: it is not
    known to think, or its entry leaves thoughts out."""
    if isinstance(backend, Reads):
        return backend.reader.own_thought()
    return backend.own_thought() if isinstance(backend, Thinks) else None
