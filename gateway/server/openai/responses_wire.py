"""Bodies of POST /v1/responses: text in, text out, nothing kept between requests."""

import json
from typing import Annotated, Any, Literal, Self

from pydantic import Field, Tag, model_validator

from gateway.server.openai.chat_wire import only_text
from gateway.server.openai.fields import Metadata, MostTokens, StreamOptions
from gateway.server.wire import (
    Answered,
    ByKind,
    Hint,
    JsonObject,
    Text,
    Wire,
    only_default,
    only_empty,
)

_NAME = r"^[A-Za-z0-9_-]{1,64}$"


class InputPart(Wire):
    """A part of a message; text is the only kind."""

    type: Literal["input_text", "output_text"]
    text: Text
    annotations: Annotated[list[Any], Field(max_length=0)] | None = None
    logprobs: Annotated[list[Any], Field(max_length=0)] | None = None


_Parts = Annotated[
    list[Annotated[InputPart, only_text("input_text", "output_text")]], Field(min_length=1)
]


class InputMessage(Wire):
    """One turn, of the client's or of an earlier answer."""

    type: Literal["message"] = "message"
    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[Annotated[Text, Tag("str")] | Annotated[_Parts, Tag("list")], ByKind]
    id: str | None = None
    status: Literal["completed", "incomplete"] | None = None

    @property
    def text(self) -> str:
        """The content; parts follow each other without anything between."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content)


class TextFormat(Wire):
    """What the answer may be."""

    type: Literal["text", "json_object", "json_schema"]
    name: Annotated[Text, Field(pattern=_NAME)] | None = None
    description: Text | None = None
    schema_: JsonObject | None = Field(default=None, alias="schema")
    strict: bool | None = None
    """The schema is enforced whether or not this is true."""

    @model_validator(mode="after")
    def _has_its_schema(self) -> Self:
        if (self.type == "json_schema") != (self.schema_ is not None):
            raise ValueError("schema belongs to the type json_schema")
        return self

    @property
    def schema_text(self) -> str | None:
        """The schema as JSON, None where every text may come out."""
        if self.type == "text":
            return None
        return json.dumps(self.schema_ or {"type": "object"})


class TextOptions(Wire):
    """How the text is to be."""

    format: TextFormat | None = None
    verbosity: Annotated[
        None, only_default("medium", reason="how long answers are is said in the input")
    ] = None


class Reasoning(Wire):
    """How much is thought; no request chooses it."""

    effort: Annotated[
        None, only_default("none", reason="how much a model thinks is not chosen by a request")
    ] = None
    summary: Annotated[
        None, only_default("auto", reason="what a model thinks is not summed up")
    ] = None


class ResponseRequest(Wire):
    """A text, or turns, to answer."""

    model: Text
    input: Annotated[
        Annotated[Text, Tag("str")]
        | Annotated[list[InputMessage], Field(min_length=1), Tag("list")],
        ByKind,
    ]
    instructions: Text | None = None
    """A system turn before the input."""
    max_output_tokens: MostTokens | None = None
    """Absent: all that the prompt leaves of the context."""
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    stream: bool | None = None
    text: TextOptions | None = None
    truncation: Literal["disabled"] | None = None
    store: Literal[False] | None = None
    """Answers are not kept, so they cannot be asked for by their id."""
    tools: Annotated[list[Any], Field(max_length=0)] | None = None
    tool_choice: Literal["none", "auto"] | None = None
    parallel_tool_calls: bool | None = None
    metadata: Metadata = None
    user: Hint = None
    safety_identifier: Hint = None
    prompt_cache_key: Hint = None
    prompt_cache_retention: Hint = None
    service_tier: Literal["auto", "default"] | None = None
    top_logprobs: Annotated[None, only_default(0, reason="log-probabilities are not told")] = None
    previous_response_id: Annotated[
        None, only_empty("answers are not kept: send the earlier turns as input")
    ] = None
    conversation: Annotated[None, only_empty("conversations are not kept")] = None
    include: Annotated[None, only_empty("an answer holds all that there is")] = None
    background: Annotated[None, only_empty("an answer is waited for")] = None
    prompt: Annotated[None, only_empty("no prompts are kept: send the text as input")] = None
    reasoning: Reasoning | None = None
    max_tool_calls: Annotated[None, only_empty("no tool is called by the server")] = None
    stream_options: StreamOptions | None = None


class OutputText(Answered):
    """The answer's text."""

    type: Literal["output_text"]
    text: str
    annotations: list[str]


class OutputMessage(Answered):
    """The assistant's turn."""

    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    status: Literal["in_progress", "completed", "incomplete"]
    content: list[OutputText]


class InputDetails(Answered):
    """How many tokens were cached is not told here: it is no property of the request."""

    cached_tokens: Literal[0] = 0


class OutputDetails(Answered):
    """These models' reasoning is part of their text."""

    reasoning_tokens: Literal[0] = 0


class ResponseUsage(Answered):
    """Tokens."""

    input_tokens: int
    input_tokens_details: InputDetails
    output_tokens: int
    output_tokens_details: OutputDetails
    total_tokens: int


class Incomplete(Answered):
    """Why an answer is not whole."""

    reason: Literal["max_output_tokens"]


class Responded(Answered):
    """The answer."""

    id: str
    object: Literal["response"]
    created_at: int
    status: Literal["in_progress", "completed", "incomplete"]
    error: None
    incomplete_details: Incomplete | None
    instructions: str | None
    max_output_tokens: int | None
    metadata: dict[str, str]
    model: str
    output: list[OutputMessage]
    parallel_tool_calls: Literal[False]
    previous_response_id: None
    store: Literal[False]
    temperature: float
    text: dict[str, Any]
    tool_choice: Literal["none"]
    tools: list[Any]
    top_p: float
    truncation: Literal["disabled"]
    usage: ResponseUsage | None
    system_fingerprint: str
    """Extension: see the chat endpoint's."""
