"""What a model can do, as its header and the library say it before a context is made.

A model that writes predicts the next token from those before it. An encoder sees a text from both
sides and gives vectors; a reranker gives one number for a query and a document; a diffusion model
fills in masks. Asked for what it does not do, llama.cpp answers with a buffer that nothing has
written, or ends the process; so it is not asked.
"""

from dataclasses import dataclass
from typing import Literal

from gateway.core.errors import OtherKind

Memory = Literal["none", "attention", "recurrent", "hybrid"]
"""What it keeps of the tokens before: nothing, keys and values, a state of fixed size, or both."""
Pooling = Literal["none", "mean", "cls", "last", "rank"]
"""How the states of a text's tokens become one vector: not at all, by their mean, by the first or
the last one; "rank": how they become scores."""
Use = Literal["generate", "score", "embed", "rerank"]

DIFFUSION = frozenset(("dream", "llada", "llada-moe", "rnd1"))
"""Architectures, as GGUF files name them, of models that fill in masks."""
ENCODERS = frozenset(
    (
        *("bert", "modern-bert", "nomic-bert", "nomic-bert-moe", "neo-bert", "jina-bert-v2"),
        *("jina-bert-v3", "eurobert", "gemma-embedding", "wavtokenizer-dec", "t5encoder"),
    )
)
"""Those of models that see a text from both sides."""
READ_AT_ONCE = DIFFUSION | ENCODERS
"""Those that llama.cpp makes no memory for (`llama_model::create_memory`), or no use of it: all of
a text is one pass."""
READ_ALONE = frozenset(("arwkv7", "minimax-01"))
"""Those whose numbers follow from what shares a pass with them: a state is computed in blocks of
tokens, or that of other sequences comes into it."""
TWO_HALVES = frozenset(("t5",))
"""Those with an encoder and a decoder."""

_RELEVANT = frozenset(("yes", "true", "relevant"))
"""Names of the class whose score is how relevant a document is, where a model tells several."""
_WRITES = ("generate", "score")
_SAYS = {
    "generate": "generates no text",
    "score": "scores no labels",
    "embed": "gives no vectors",
    "rerank": "ranks no documents",
}


@dataclass(frozen=True, slots=True)
class Abilities:
    """The facts from which follows what may be asked of a model."""

    architecture: str
    memory: Memory = "attention"
    encoder: bool = False
    """It has an encoder that is run apart from a decoder."""
    decoder: bool = True
    causal: bool = True
    """A token sees only those before it."""
    diffusion: bool = False
    pooling: Pooling = "none"
    classes: tuple[str, ...] = ()
    """Names of a reranker's scores; empty names where the file gives none."""
    headless: bool = False
    """It is to be a reranker by its file, which lacks the layer that gives the scores."""
    parts: int = 1
    before: tuple[str, ...] = ()
    """Tokens that the vocabulary puts before every text."""
    behind: tuple[str, ...] = ()
    """Tokens that it puts behind a text, which is done only where one is embedded."""

    @property
    def kind(self) -> str:
        """What it is, in a few words."""
        if self.diffusion:
            return "a diffusion model, which fills in masks"
        if self.encoder and self.decoder:
            return "an encoder with a decoder"
        if self.pooling == "rank":
            return self._ranker
        return "a decoder" if self.writes else "an encoder"

    @property
    def _ranker(self) -> str:
        if self.headless:
            return "a reranker that was converted without its classifier"
        if self.relevance is not None:
            return "a reranker"
        named = ", ".join(filter(None, self.classes)) or "without names"
        return f"a classifier of {len(self.classes)} classes, {named}"

    @property
    def relevance(self) -> int | None:
        """Which of its scores is how relevant a document is: its only one, or that whose name says
        so; None: nobody knows. Where there are several, their order is no convention."""
        named = [n for n, name in enumerate(self.classes) if name.strip().casefold() in _RELEVANT]
        return 0 if len(self.classes) <= 1 else named[0] if len(named) == 1 else None

    @property
    def writes(self) -> bool:
        """Whether it predicts the next token from those before it."""
        one_sided = self.memory != "none" and self.causal
        return one_sided and self.decoder and not self.encoder and not self.diffusion

    def can(self, use: Use) -> bool:
        """Whether it may be asked for this."""
        if use in _WRITES:
            return self.writes
        if self.diffusion or (self.encoder and self.decoder):
            return False
        if use == "rerank":
            return self.pooling == "rank" and self.relevance is not None and not self.headless
        return self.pooling != "rank"

    @property
    def uses(self) -> tuple[Use, ...]:
        """All that it may be asked for."""
        every: tuple[Use, ...] = ("generate", "score", "embed", "rerank")
        return tuple(use for use in every if self.can(use))

    def check(self, name: str, use: Use) -> None:
        """Refuse what the model does not do.

        Args:
            name: the entry's.

        Raises:
            OtherKind: it cannot do this.
        """
        if not self.can(use):
            does = ", ".join(self.uses)
            raise OtherKind(
                f"model {name} {_SAYS[use]}: it is {self.kind} ({self.architecture})",
                hint=f"ask it to {does.replace(', ', ' or ')}" if does else "take another model",
            )
