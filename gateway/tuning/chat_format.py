"""OpenAI's chat format for fine-tuning: a JSON object a line, {"messages": [...]}.

Reference: OpenAI, guide "Supervised fine-tuning" (developers.openai.com) for the format and the ten
examples; API reference, "chat input for fine-tuning" for keys, roles and `weight`; OpenAI Cookbook,
"Data preparation and analysis for chat model fine-tuning" for what else is looked at.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from gateway.core.errors import DataError
from gateway.tasks.chat_shapes import Shape, chats_of, shape_of
from gateway.tasks.tables import json_lines, read_table, read_utf8
from gateway.tuning.chats import Chat
from gateway.tuning.checks.findings import Finding, Findings, Place
from gateway.tuning.checks.parts import size

LEAST_EXAMPLES = 10
"""OpenAI refuses a file with fewer."""

_MOST_SHOWN = 160


@dataclass(frozen=True, slots=True)
class Turn:
    """One message as text; a call of a tool has none."""

    role: str
    content: str
    trained: bool = True
    """Whether it is learned from, if the assistant says it."""


@dataclass(frozen=True, slots=True)
class ChatExample:
    """One valid line."""

    line: int
    turns: tuple[Turn, ...]


def read_chats(source: str) -> tuple[list[ChatExample], Findings]:
    """The valid examples of a file, and what is wrong with it: each bad line with its first fault,
    fewer than ten examples, examples that come twice.

    Raises:
        DataError: the file cannot be read, is no UTF-8, or has no line at all.
    """
    path = Path(source)
    if not path.is_file():
        raise DataError(f"{source}: no such file")
    examples: list[ChatExample] = []
    wrong: list[Place] = []
    # Only LF ends a line: str.splitlines would also cut at U+2028, which JSON may hold.
    for number, line in enumerate(read_utf8(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            examples.append(_example(number, line))
        except ValidationError as exc:
            wrong.append(Place(f"{source}:{number}", "", _fault(exc)))
    if not examples and not wrong:
        raise DataError(f"{source}: the file is empty")
    found = _findings(source, examples, wrong)
    return examples, Findings.of(found, {"examples": len(examples)})


def read_as_chats(source: str) -> tuple[list[ChatExample], Findings, str]:
    """As `read_chats`, and of what else `chat_shapes` knows; what of it was left out, or nothing.

    Raises:
        DataError: as `read_chats`, or a row is not of the shape that its columns have.
    """
    shape = None if not Path(source).is_file() else _shape(source)
    if shape is None:
        return *read_chats(source), ""
    table = read_table(source)
    rows = [(row.line, row.values) for row in table.rows]
    chats = chats_of(shape, source, rows)
    examples = [
        ChatExample(line, tuple(Turn(role, text) for role, text in chat))
        for (line, _), chat in zip(rows, chats, strict=True)
    ]
    found = Findings.of((), {"examples": len(examples)})
    return examples, found, shape.left_out


def _shape(source: str) -> Shape | None:
    """None of a file that is none of them, or that says by itself what is wrong with it."""
    try:
        return shape_of(read_table(source).columns)
    except DataError:
        return None


def to_jsonl(chats: Sequence[Chat]) -> str:
    """Conversations as the text of a file."""
    return json_lines(
        {"messages": [{"role": m.role, "content": m.content} for m in chat.messages]}
        for chat in chats
    )


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | None = None
    name: str | None = None
    weight: Literal[0, 1] | None = None
    refusal: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None
    function_call: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        calls = self.role == "assistant" and (self.tool_calls or self.function_call)
        if not calls and not (self.content or "").strip():
            raise ValueError("content: text is expected, and there is none")
        if self.weight is not None and self.role != "assistant":
            raise ValueError(f"weight: only an assistant's message has one, not a {self.role}'s")
        return self


class _Example(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    messages: list[_Message]
    tools: list[dict[str, Any]] | None = None
    functions: list[dict[str, Any]] | None = None
    parallel_tool_calls: bool | None = None

    @model_validator(mode="after")
    def _ends_with_an_answer(self) -> Self:
        if not self.messages:
            raise ValueError("messages: there are none")
        if (last := self.messages[-1].role) != "assistant":
            raise ValueError(f"messages: the last one is to be the assistant's, not {last!r}")
        if all(m.weight == 0 for m in self.messages if m.role == "assistant"):
            raise ValueError("messages: every answer has weight 0, so that none is learned")
        if not any(m.role == "user" for m in self.messages):
            raise ValueError("messages: none is the user's, so that nothing is answered")
        return self


def _example(number: int, line: str) -> ChatExample:
    parsed = _Example.model_validate_json(line)
    turns = tuple(Turn(m.role, m.content or "", m.weight != 0) for m in parsed.messages)
    return ChatExample(number, turns)


def _fault(exc: ValidationError) -> str:
    """The first fault of a line, without what pydantic says around it."""
    first: Any = exc.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    message = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message = "a key that the format does not have"
    more = exc.error_count() - 1
    also = f" (and {more} more)" if more else ""
    return f"{where}: {message}{also}"[:_MOST_SHOWN] if where else f"{message}{also}"[:_MOST_SHOWN]


def _findings(
    source: str, examples: Sequence[ChatExample], wrong: Sequence[Place]
) -> Iterator[Finding]:
    if wrong:
        yield Finding(
            "wrong-example",
            "error",
            f"{size(len(wrong), 'line')} of {len(wrong) + len(examples):,} not in the format",
            "correct them; the format is that of OpenAI's guide to supervised fine-tuning",
            tuple(wrong),
        )
    if len(examples) < LEAST_EXAMPLES:
        yield Finding(
            "too-few-examples",
            "error",
            f"{size(len(examples), 'valid example')}; OpenAI takes no file with fewer than "
            f"{LEAST_EXAMPLES}, and sees improvements from 50 to 100",
            "more examples",
        )
    first: dict[tuple[Turn, ...], int] = {}
    repeated = [
        Place(f"{source}:{e.line}", "", f"as line {first[e.turns]}")
        for e in examples
        if first.setdefault(e.turns, e.line) != e.line
    ]
    if repeated:
        yield Finding(
            "repeat-identical",
            "warning",
            f"{size(len(repeated), 'example')} again that came before",
            "keep one of each: what is repeated weighs double",
            tuple(repeated),
        )
