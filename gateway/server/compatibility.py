"""Every field of the wire formats and what becomes of it, read off the bodies themselves.

The manual's page on compatibility shows these rows, and a test compares them with the published
types. `python -m gateway.server.compatibility` writes them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

from gateway.server.anthropic.wire import MessagesBody, TokensBody
from gateway.server.extensions.classify import ClassifyRequest
from gateway.server.extensions.completion_wire import LlamaCompletionBody
from gateway.server.extensions.rerank import RerankRequest
from gateway.server.extensions.scores import ScoreRequest
from gateway.server.extensions.tokens import DetokenizeRequest, TokenizeRequest
from gateway.server.ollama.embedding import EmbedBody, LegacyBody
from gateway.server.ollama.models import ShowBody
from gateway.server.ollama.wire import ChatBody, GenerateBody
from gateway.server.openai.chat_wire import ChatRequest
from gateway.server.openai.completions_wire import CompletionRequest
from gateway.server.openai.embeddings import EmbeddingRequest
from gateway.server.openai.responses_wire import ResponseRequest
from gateway.server.wire import Refusing, Unread, Wire, adapter_of, fields_by_key

BODIES: Mapping[str, type[Wire]] = {
    "/v1/chat/completions": ChatRequest,
    "/v1/completions": CompletionRequest,
    "/v1/responses": ResponseRequest,
    "/v1/embeddings": EmbeddingRequest,
    "/v1/messages": MessagesBody,
    "/v1/messages/count_tokens": TokensBody,
    "/api/chat": ChatBody,
    "/api/generate": GenerateBody,
    "/api/embed": EmbedBody,
    "/api/embeddings": LegacyBody,
    "/api/show": ShowBody,
    "/v1/rerank": RerankRequest,
    "/v1/score": ScoreRequest,
    "/v1/classify": ClassifyRequest,
    "/tokenize": TokenizeRequest,
    "/detokenize": DetokenizeRequest,
    "/completion": LlamaCompletionBody,
}
"""What each route reads."""

Fate = Literal["read", "unread", "refused"]


@dataclass(frozen=True, slots=True)
class Row:
    """One field."""

    name: str
    """As a path: messages[].content."""
    fate: Fate
    """It is read; it is taken and changes no answer; or only what asks for nothing is taken."""
    values: str
    """What it takes; of a refused one, what asks for nothing beside an empty value."""
    reason: str = ""
    """Why it is refused."""

    @property
    def told(self) -> str:
        """In words."""
        if self.fate == "unread":
            return "changes no answer"
        if self.fate == "read":
            return self.values
        empty = f"empty or {self.values}" if self.values else "empty"
        return f"only {empty}: {self.reason}"


def rows(wire: type[Wire], within: str = "") -> list[Row]:
    """All fields of a body, and of what is in it, each path once."""
    found: dict[str, Row] = {}
    for key, field in fields_by_key(wire).items():
        for row in _rows(f"{within}{key}", field):
            found.setdefault(row.name, row)
    return list(found.values())


def _rows(name: str, field: FieldInfo) -> Iterator[Row]:
    refusing = next((mark for mark in field.metadata if isinstance(mark, Refusing)), None)
    if refusing is not None:
        values = " or ".join(_json(value) for value in refusing.defaults if value is not False)
        false = "false" if any(value is False for value in refusing.defaults) else ""
        yield Row(name, "refused", " or ".join(filter(None, (false, values))), refusing.reason)
        return
    if any(isinstance(mark, Unread) for mark in field.metadata):
        yield Row(name, "unread", "")
        return
    yield Row(name, "read", _values(field))
    for inner, mark in _bodies(field.annotation):
        yield from rows(inner, f"{name}{mark}.")


def _bodies(annotation: Any, mark: str = "") -> Iterator[tuple[type[Wire], str]]:
    """The bodies within a field's type, each with [] for every list around it."""
    if isinstance(annotation, type) and issubclass(annotation, Wire):
        yield annotation, mark
    listed = getattr(annotation, "__origin__", None) is list
    for part in get_args(annotation):
        yield from _bodies(part, f"{mark}[]" if listed else mark)


def _values(field: FieldInfo) -> str:
    """What a field takes, in words."""
    schema = adapter_of(field).json_schema()
    return " or ".join(dict.fromkeys(_words(schema, schema.get("$defs", {}))))


def _words(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Iterator[str]:
    if (name := schema.get("$ref", "").removeprefix("#/$defs/")) in definitions:
        yield from _words(definitions[name], definitions)
    for union in ("anyOf", "oneOf"):
        for part in schema.get(union, ()):
            yield from _words(part, definitions)
    if "const" in schema or "enum" in schema:
        yield from map(_json, schema.get("enum", [schema.get("const")]))
    elif (kind := schema.get("type")) == "array":
        inner = " or ".join(dict.fromkeys(_words(schema.get("items", {}), definitions)))
        yield f"list of {inner}" if inner else "list"
    elif kind not in (None, "null"):
        yield _KINDS.get(kind, kind) + _bounds(schema)


_KINDS = {"string": "text", "integer": "whole number", "boolean": "true or false"}


def _bounds(schema: Mapping[str, Any]) -> str:
    low = next((f"{schema[k]:g}" for k in ("minimum", "exclusiveMinimum") if k in schema), None)
    high = next((schema[k] for k in ("maximum", "exclusiveMaximum") if k in schema), None)
    if low is None:
        return ""
    above = "above " if "exclusiveMinimum" in schema else "from "
    return f" {above}{low}" + (f" to {high:g}" if high is not None and high < 2**31 - 1 else "")


def _json(value: object) -> str:
    return TypeAdapter[Any](Any).dump_json(value).decode()


def tables() -> str:
    """All of it in Markdown, one table a route. Routes whose bodies are alike stand once."""
    made = []
    for path, wire in BODIES.items():
        lines = [f"| `{row.name}` | {row.told} |" for row in rows(wire)]
        made.append("\n".join([f"### {path}\n", "| field | what it takes |", "|---|---|", *lines]))
    return "\n\n".join(made) + "\n"


if __name__ == "__main__":
    print(tables(), end="")
