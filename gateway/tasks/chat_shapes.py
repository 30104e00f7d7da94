"""Shapes in which data for fine-tuning is published, told by their columns, and read as chats.

Sources: ShareGPT (LLaMA-Factory's data/README.md, "Sharegpt Format"), Alpaca (stanford_alpaca's
README, "Data Release"), prompt and completion, and preference pairs (TRL, "Dataset formats and
types").
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.core.errors import DataError

Chat = tuple[tuple[str, str], ...]
"""Role and text of each message."""

_ROLES = {
    **dict.fromkeys(("human", "user", "prompter"), "user"),
    **dict.fromkeys(("gpt", "assistant", "chatgpt", "bot", "model"), "assistant"),
    "system": "system",
}
"""Who speaks, as ShareGPT and its relatives write it -> as OpenAI's format does."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One of these shapes."""

    name: str
    columns: frozenset[str]
    """Those that it always has."""
    chat: Callable[[Mapping[str, Any]], Chat]
    """A row as messages; raises ValueError where it is not of the shape."""
    left_out: str = ""
    """What of it a chat does not say."""


def shape_of(columns: Collection[str]) -> Shape | None:
    """The shape that has these columns; None: it is none of them, such as a table of labels."""
    return next((shape for shape in SHAPES if shape.columns <= set(columns)), None)


def chats_of(
    shape: Shape, source: str, rows: Sequence[tuple[int, Mapping[str, Any]]]
) -> list[Chat]:
    """Each row as messages.

    Raises:
        DataError: a row is not of the shape, with its line.
    """
    made = []
    for line, row in rows:
        try:
            made.append(shape.chat(row))
        except ValueError as exc:
            raise DataError(f"{source}:{line}: {shape.name}: {exc}") from exc
    return made


def _text(row: Mapping[str, Any], key: str) -> str:
    if not isinstance(found := row.get(key), str) or not found.strip():
        raise ValueError(f"{key!r} is no text")
    return found


def _turns(value: object, key: str) -> Chat:
    """Messages of any of the two ways to write one: from and value, or role and content."""
    if isinstance(value, str):
        return (("user", value),)
    if not isinstance(value, Sequence) or not value:
        raise ValueError(f"{key!r} is no list of messages")
    made = []
    for each in value:
        said = each if isinstance(each, Mapping) else {}
        who, text = said.get("from", said.get("role")), said.get("value", said.get("content"))
        if who not in _ROLES or not isinstance(text, str):
            raise ValueError(f"a message of {key!r} is from {who!r}, with {type(text).__name__}")
        made.append((_ROLES[str(who)], text))
    return tuple(made)


def _sharegpt(row: Mapping[str, Any]) -> Chat:
    system = row.get("system")
    before = (("system", system),) if isinstance(system, str) and system.strip() else ()
    return (*before, *_turns(row.get("conversations"), "conversations"))


def _alpaca(row: Mapping[str, Any]) -> Chat:
    more = row.get("input")
    asked = _text(row, "instruction")
    asked = f"{asked}\n\n{more}" if isinstance(more, str) and more.strip() else asked
    system = row.get("system")
    before = (("system", system),) if isinstance(system, str) and system.strip() else ()
    return (*before, ("user", asked), ("assistant", _text(row, "output")))


def _answered(row: Mapping[str, Any], key: str) -> Chat:
    """A prompt, if there is one apart, and what is said to it."""
    before = _turns(row["prompt"], "prompt") if row.get("prompt") else ()
    said = row.get(key)
    answer = (("assistant", said),) if isinstance(said, str) else _turns(said, key)
    return (*before, *answer)


SHAPES = (
    Shape("ShareGPT's conversations", frozenset({"conversations"}), _sharegpt),
    Shape("Alpaca's instructions", frozenset({"instruction", "output"}), _alpaca),
    Shape(
        "preference pairs",
        frozenset({"chosen", "rejected"}),
        lambda row: _answered(row, "chosen"),
        "the rejected answers",
    ),
    Shape(
        "prompts and completions",
        frozenset({"prompt", "completion"}),
        lambda row: _answered(row, "completion"),
    ),
)
CHATS = Shape(
    "OpenAI's chats", frozenset({"messages"}), lambda row: _turns(row["messages"], "messages")
)
"""What the others are read as."""


def named_shape(columns: Collection[str]) -> Shape | None:
    """As `shape_of`, OpenAI's own format among them."""
    return shape_of(columns) or (CHATS if "messages" in columns else None)
