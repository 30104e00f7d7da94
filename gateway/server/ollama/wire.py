"""Bodies of POST /api/chat and /api/generate, and the parts of which their answers consist."""

import json
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from gateway.core.types import ToolCall
from gateway.core.whole import Whole
from gateway.server.logprobs import TokenLogprobs
from gateway.server.ollama.formats import Format
from gateway.server.ollama.keep_alive import KeepAlive, seconds_of
from gateway.server.ollama.options import Options
from gateway.server.ollama.unsupported import (
    NoContext,
    NoImages,
    NoPicture,
    NoSuffix,
    NoTemplate,
    WhereItFits,
)
from gateway.server.tools import ParsedAnswer
from gateway.server.wire import (
    UNREAD,
    Answered,
    FunctionDefinition,
    Ignored,
    JsonObject,
    Text,
    Wire,
    only_default,
    only_empty,
)

_MOST_TOOLS = 128


class GenerationBody(Wire):
    """What both endpoints take."""

    model: Text
    """Name of an entry, with or without ":latest"."""
    options: Options | None = None
    format: Format = None
    stream: bool | None = None
    """Absent or null: true, a line of JSON for each piece."""
    keep_alive: KeepAlive = None
    logprobs: bool | None = None
    """Natural logarithms, from the model's own distribution before penalties and format."""
    top_logprobs: Annotated[Whole, Field(ge=0, le=20)] | None = None
    think: bool | Literal["low", "medium", "high", "max"] | None = None
    """Whether the model thinks first, or how much; absent: as its entry or its template has it."""
    truncate: WhereItFits = None
    shift: WhereItFits = None
    debug_render_only: Annotated[None, only_empty("prompts are shown by POST /tokenize")] = Field(
        default=None, alias="_debug_render_only"
    )

    @model_validator(mode="after")
    def _asks_for_logprobs(self) -> Self:
        if self.top_logprobs and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs: true")
        return self

    @property
    def keep_seconds(self) -> float | None:
        """How long the model stays loaded afterwards; None: undecided."""
        return None if self.keep_alive is None else seconds_of(self.keep_alive)

    @property
    def effort(self) -> str:
        """`GenerationRequest.reasoning`."""
        if isinstance(self.think, bool):
            return "on" if self.think else "off"
        return self.think or ""

    @property
    def alternatives(self) -> int | None:
        """`GenerationRequest.logprobs`."""
        return (self.top_logprobs or 0) if self.logprobs else None


class TurnFunction(Wire):
    """What is called, and with what."""

    name: Text
    arguments: JsonObject
    index: Annotated[Whole | None, UNREAD] = None


class TurnCall(Wire):
    """A call that the assistant made earlier."""

    function: TurnFunction
    id: Text | None = None
    type: Literal["function"] | None = None


class ChatTurn(Wire):
    """One turn."""

    role: Literal["system", "user", "assistant", "tool"]
    content: Text | None = None
    tool_calls: list[TurnCall] | None = None
    tool_name: Text | None = None
    """Of a tool's turn: the tool that answers."""
    tool_call_id: Text | None = None
    """Of a tool's turn: the call that it answers."""
    images: NoImages = None
    thinking: Text | None = None
    """What the model thought before; a chat template shows it or leaves it out."""

    @model_validator(mode="after")
    def _fits_its_role(self) -> Self:
        if self.tool_calls and self.role != "assistant":
            raise ValueError("tool_calls are an assistant's")
        if (self.tool_name or self.tool_call_id) and self.role != "tool":
            raise ValueError("tool_name and tool_call_id are a tool's")
        return self


class OfferedTool(Wire):
    """A tool; functions are the only kind."""

    type: Literal["function"] | None = None
    function: FunctionDefinition
    items: Ignored = None


class ChatBody(GenerationBody):
    """A conversation to go on with. Without a message the model is loaded, or unloaded."""

    messages: list[ChatTurn] | None = None
    tools: Annotated[list[OfferedTool], Field(max_length=_MOST_TOOLS)] | None = None
    tool_choice: Annotated[
        None, only_default("auto", reason="Ollama knows no choice: /v1/chat/completions does")
    ] = None
    """No field of Ollama's; Vercel's class for it sends it."""


class GenerateBody(GenerationBody):
    """One question, or a raw prompt. Without a prompt the model is loaded, or unloaded."""

    prompt: Text | None = None
    system: Text | None = None
    raw: bool | None = None
    """The prompt is read as it is, control tokens included, without a chat template."""
    template: NoTemplate = None
    suffix: NoSuffix = None
    context: NoContext = None
    images: NoImages = None
    width: NoPicture = None
    height: NoPicture = None
    steps: NoPicture = None

    @model_validator(mode="after")
    def _raw_stands_alone(self) -> Self:
        if self.raw and self.system:
            raise ValueError("raw mode does not support system: write it into the prompt")
        return self


class Answer(Answered):
    """One line of a stream, or the whole answer; counts and durations come with the end."""

    model: str
    created_at: str
    done: bool
    done_reason: Literal["stop", "length", "load", "unload"] | None = None
    logprobs: list[TokenLogprobs] | None = None
    total_duration: int | None = None
    """Nanoseconds from the request's arrival, as all durations."""
    load_duration: int | None = None
    """Until the request had a place and its model was loaded."""
    prompt_eval_count: int | None = None
    """Tokens of the prompt, those that were cached included."""
    prompt_eval_duration: int | None = None
    eval_count: int | None = None
    eval_duration: int | None = None


class AnsweredFunction(Answered):
    """A function's name and its arguments."""

    index: int
    name: str
    arguments: dict[str, Any]


class AnsweredCall(Answered):
    """A call that the caller is asked to make."""

    id: str
    function: AnsweredFunction


class AnsweredTurn(Answered):
    """The assistant's turn, or a piece of it."""

    role: Literal["assistant"]
    content: str
    thinking: str | None = None
    tool_calls: list[AnsweredCall] | None = None


class ChatAnswer(Answer):
    """Of /api/chat."""

    message: AnsweredTurn


class GenerateAnswer(Answer):
    """Of /api/generate."""

    response: str
    thinking: str | None = None


def chat_answer(said: ParsedAnswer, frame: dict[str, Any]) -> ChatAnswer:
    """What was said, as a message in the frame of all answers."""
    calls = [_call(number, call) for number, call in enumerate(said.calls)]
    more: dict[str, Any] = {"tool_calls": calls} if calls else {}
    if said.thought:
        more["thinking"] = said.thought
    message = AnsweredTurn(role="assistant", content=said.content, **more)
    return ChatAnswer(message=message, **frame)


def generate_answer(said: ParsedAnswer, frame: dict[str, Any]) -> GenerateAnswer:
    """What was said, as a text in the frame of all answers."""
    more: dict[str, Any] = {"thinking": said.thought} if said.thought else {}
    return GenerateAnswer(response=said.content, **more, **frame)


def _call(number: int, call: ToolCall) -> AnsweredCall:
    arguments = _parsed(call.arguments)
    return AnsweredCall(
        id=call.id, function=AnsweredFunction(index=number, name=call.name, arguments=arguments)
    )


def _parsed(arguments: str) -> dict[str, Any]:
    parsed = json.loads(arguments)
    assert isinstance(parsed, dict)
    return parsed
