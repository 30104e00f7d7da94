"""Bodies of POST /v1/chat/completions."""

import json
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from gateway.core.types import Role
from gateway.server.logprobs import TokenLogprobs
from gateway.server.openai.fields import Metadata, SamplingFields, StreamOptions, Usage
from gateway.server.wire import Answered, FunctionDefinition, JsonObject, Text, Wire

_NAME = r"^[A-Za-z0-9_-]{1,64}$"


class TextPart(Wire):
    """A part of a message; text is the only kind that these models read."""

    type: Literal["text"]
    text: Text


class CalledFunction(Wire):
    """What is called, and with what."""

    name: Text
    arguments: Text


class CallInMessage(Wire):
    """A call that the assistant made earlier."""

    id: Text
    type: Literal["function"]
    function: CalledFunction


class ChatMessage(Wire):
    """One turn. Fields that are null where OpenAI's own answers carry them are accepted."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Text | list[TextPart] | None = None
    tool_calls: list[CallInMessage] | None = None
    tool_call_id: Text | None = None
    refusal: None = None
    audio: None = None
    function_call: None = None
    annotations: Annotated[list[Any], Field(max_length=0)] | None = None

    @model_validator(mode="after")
    def _fits_its_role(self) -> Self:
        if self.content is None and not self.tool_calls:
            raise ValueError("content is missing")
        if self.tool_calls and self.role != "assistant":
            raise ValueError("tool_calls are an assistant's")
        if (self.tool_call_id is not None) != (self.role == "tool"):
            raise ValueError("a tool's turn, and no other, has a tool_call_id")
        return self

    @property
    def plain_role(self) -> Role:
        """The role as chat templates know it: a developer's turn is a system turn."""
        return "system" if self.role == "developer" else self.role

    @property
    def text(self) -> str:
        """The content; parts follow each other without anything between."""
        if isinstance(self.content, list):
            return "".join(part.text for part in self.content)
        return self.content or ""


class StrictFunction(FunctionDefinition):
    """A function with a name of the letters that OpenAI takes."""

    name: Annotated[Text, Field(pattern=_NAME)]
    strict: bool | None = None
    """Arguments are held to the schema wherever a call is enforced; true asks for that."""


class ToolDefinition(Wire):
    """A tool; functions are the only kind."""

    type: Literal["function"]
    function: StrictFunction


class NamedFunction(Wire):
    """The name of a function."""

    name: Text


class NamedTool(Wire):
    """The one tool that must be called."""

    type: Literal["function"]
    function: NamedFunction


class JsonSchema(Wire):
    """A schema that the answer has to match."""

    name: Annotated[Text, Field(pattern=_NAME)]
    description: Text | None = None
    schema_: JsonObject = Field(alias="schema")
    strict: bool | None = None
    """The schema is enforced whether or not this is true."""


class ResponseFormat(Wire):
    """What the answer may be."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    @model_validator(mode="after")
    def _has_its_schema(self) -> Self:
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise ValueError("json_schema belongs to the type json_schema")
        return self

    @property
    def schema_text(self) -> str | None:
        """The schema as JSON, None where every text may come out."""
        if self.type == "text":
            return None
        if self.json_schema is None:
            return '{"type": "object"}'
        return json.dumps(self.json_schema.schema_)


class ChatRequest(SamplingFields):
    """A conversation to go on with."""

    model: Text
    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    max_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Absent, as max_tokens: all that the prompt leaves of the context."""
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    logprobs: bool | None = None
    """Natural logarithms, from the model's own distribution before penalties, bias and schema."""
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    response_format: ResponseFormat | None = None
    tools: Annotated[list[ToolDefinition], Field(max_length=128)] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    metadata: Metadata = None
    store: Literal[False] | None = None
    service_tier: Literal["auto", "default"] | None = None
    modalities: list[Literal["text"]] | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs: true")
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options needs stream: true")
        limits = {self.max_tokens, self.max_completion_tokens} - {None}
        if len(limits) > 1:
            raise ValueError("max_tokens and max_completion_tokens differ")
        if self.tool_choice not in (None, "none") and not self.tools:
            raise ValueError("tool_choice needs tools")
        if self.enforces_call and self.response_format and self.response_format.type != "text":
            raise ValueError("an answer is either a tool call or of response_format")
        return self

    @property
    def most_tokens(self) -> int | None:
        """The limit under either name."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def enforces_call(self) -> bool:
        """Whether the answer must be a tool call."""
        return self.tool_choice == "required" or isinstance(self.tool_choice, NamedTool)


class ChoiceLogprobs(Answered):
    """One entry a token of the answer."""

    content: list[TokenLogprobs]
    refusal: None = None


class FunctionCall(Answered):
    """A function's name and its arguments, a JSON object as text."""

    name: str
    arguments: str


class MessageCall(Answered):
    """A call that the caller is asked to make."""

    id: str
    type: Literal["function"]
    function: FunctionCall


class AnswerMessage(Answered):
    """The assistant's turn."""

    role: Literal["assistant"]
    content: str | None
    refusal: None
    tool_calls: list[MessageCall] = Field(default_factory=list)


FinishReason = Literal["stop", "length", "tool_calls"]


class Choice(Answered):
    """One answer."""

    index: int
    message: AnswerMessage
    logprobs: ChoiceLogprobs | None
    finish_reason: FinishReason


class ChatCompletion(Answered):
    """The answers."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[Choice]
    usage: Usage
    system_fingerprint: str
    """Digest of weights, adapter, chat template, runtime and its settings: equal fingerprints and
    requests mean equal answers."""


class DeltaCall(MessageCall):
    """A call, in a stream."""

    index: int


class ChunkDelta(Answered):
    """What is new."""

    role: Literal["assistant"] = "assistant"
    content: str | None = None
    refusal: None = None
    tool_calls: list[DeltaCall] = Field(default_factory=list)


class ChunkChoice(Answered):
    """What is new of one answer."""

    index: int
    delta: ChunkDelta
    logprobs: ChoiceLogprobs | None
    finish_reason: FinishReason | None


class ChatChunk(Answered):
    """One event of a stream."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[ChunkChoice]
    system_fingerprint: str
    usage: Usage | None = None
