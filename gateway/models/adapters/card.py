"""card.toml: how an adapter was made, on which base and on what data.

What a card does not say is unknown; nothing is guessed from elsewhere.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field, Strict

from gateway.core.files import write_atomically
from gateway.core.toml import read_toml

CARD = "card.toml"
_ABOUT = "How this adapter was made. What is not said here is unknown."
_NO_MORE_KEYS = ConfigDict(extra="forbid")

# TOML has types of its own: a text is never taken for a number, nor true for 1.
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256, 64 hexadecimal digits."""
Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Strict(), Field(ge=0)]
Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Day = Annotated[date, Strict()]
Scalar = str | int | float | bool


@dataclass(frozen=True, slots=True)
class RecordedBase:
    """The model that the adapter was trained on."""

    __pydantic_config__ = _NO_MORE_KEYS

    name: Text
    """Of its entry, or as its maker calls it."""
    digest: Digest
    """Of the weights' contents: `weights.gguf_contents_digest`, or that of a folder."""
    architecture: Text
    """`model_type` as transformers names it."""
    hidden_size: Annotated[int, Strict(), Field(ge=1)]


@dataclass(frozen=True, slots=True)
class RecordedData:
    """The items that it was trained on."""

    __pydantic_config__ = _NO_MORE_KEYS

    source: Text
    """Path or name."""
    digest: Digest | None = None
    items: Count | None = None
    licence: Text | None = None
    """Under which the data is given, or that none is stated."""


@dataclass(frozen=True, slots=True)
class RecordedPrompt:
    """The prompt template that turned an item into text."""

    __pydantic_config__ = _NO_MORE_KEYS

    task: Text
    strategy: Text
    digest: Digest | None = None


@dataclass(frozen=True, slots=True)
class Card:
    """All of a card. None and empty: unknown."""

    __pydantic_config__ = _NO_MORE_KEYS

    base: RecordedBase
    data: RecordedData | None = None
    prompt: RecordedPrompt | None = None
    hyperparameters: Mapping[str, Scalar] = field(default_factory=dict)
    seed: Count | None = None
    metrics: Mapping[str, Number] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    """Package -> its version."""
    created: Day | None = None


def read_card(folder: Path) -> Card | None:
    """The card of an adapter's folder; None where there is none.

    Raises:
        ConfigError: the file is no TOML, or a key is unknown, missing or of another type.
    """
    path = folder / CARD
    return read_toml(path, Card) if path.is_file() else None


def learned_strategy(folder: Path, task: str) -> str:
    """The strategy of a task that an adapter was trained with; empty: its card names none.

    Raises:
        ConfigError: as `read_card`.
    """
    card = read_card(folder)
    prompt = card.prompt if card else None
    return prompt.strategy if prompt and prompt.task == task else ""


def write_card(folder: Path, card: Card) -> Path:
    """Write the card so that a reader never meets half of it; what is unknown is left out."""
    import tomlkit

    document = tomlkit.document()
    document.add(tomlkit.comment(_ABOUT))
    # Scalars first: behind a table's header they would be the table's.
    known = {key: value for key, value in asdict(card).items() if value not in (None, {})}
    for key in sorted(known, key=lambda name: isinstance(known[name], dict)):
        value = known[key]
        if isinstance(value, dict):
            value = {name: each for name, each in value.items() if each is not None}
        document.add(key, tomlkit.item(value))
    path = folder / CARD
    write_atomically(path, tomlkit.dumps(document))
    return path
