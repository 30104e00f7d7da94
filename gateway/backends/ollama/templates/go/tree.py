"""What a template of Go's consists of, and what it works on."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from gateway.core.errors import GoTemplateError

Kind = Literal["if", "with", "range"]


class ExecutionFails(GoTemplateError):
    """Go itself fails here, so that Ollama answers with an error."""


@dataclass(frozen=True, slots=True)
class Struct:
    """A value of fixed fields; another field is an error, where a mapping has no value there."""

    fields: Mapping[str, "Value"]


Value = str | int | bool | None | Sequence["Value"] | Mapping[str, "Value"] | Struct
"""None is what a mapping's absent key gives; it counts as false and is written "<no value>"."""


@dataclass(frozen=True, slots=True)
class Constant:
    value: str | int | bool | None


@dataclass(frozen=True, slots=True)
class Path:
    """Fields behind each other: of the dot, of a variable ($, $name), or of a pipeline's value."""

    start: "str | Pipeline"
    """Empty: the dot."""
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Call:
    function: str
    arguments: "tuple[Constant | Path, ...]"


@dataclass(frozen=True, slots=True)
class Pipeline:
    commands: "tuple[Constant | Path | Call, ...]"
    """Each but the first is a function whose last argument is the value of the one before."""
    variables: tuple[str, ...] = ()
    """What the value is given to; two in a range: the number and the element."""
    declares: bool = True
    """:= and not =."""


@dataclass(frozen=True, slots=True)
class Text:
    text: str


@dataclass(frozen=True, slots=True)
class Action:
    """Writes a pipeline's value, or gives it to a variable."""

    pipeline: Pipeline


@dataclass(frozen=True, slots=True)
class Block:
    kind: Kind
    pipeline: Pipeline
    body: "tuple[Node, ...]"
    otherwise: "tuple[Node, ...] | None"


Node = Text | Action | Block
Operand = Constant | Path


def names(nodes: Sequence[Node]) -> Iterator[str]:
    """The fields that a template names, without those of and in a parenthesis that has fields.

    Reference: `Identifiers` in Ollama's `template/template.go`.
    """
    for node in nodes:
        if isinstance(node, Action | Block):
            yield from _pipeline_names(node.pipeline)
        if isinstance(node, Block):
            yield from names(node.body)
            yield from names(node.otherwise or ())


def _pipeline_names(pipeline: Pipeline) -> Iterator[str]:
    for command in pipeline.commands:
        for operand in command.arguments if isinstance(command, Call) else (command,):
            if isinstance(operand, Constant):
                continue
            if isinstance(operand.start, str):
                yield from operand.names
            elif not operand.names:
                yield from _pipeline_names(operand.start)
