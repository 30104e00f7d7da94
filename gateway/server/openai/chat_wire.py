"""Bodies of POST /v1/chat/completions."""

import json
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, Tag, model_validator

from gateway.core.types import Role
from gateway.core.whole import Whole
from gateway.server.logprobs import TokenLogprobs
from gateway.server.openai.fields import (
    Metadata,
    MostTokens,
    StreamOptions,
    Usage,
    bound,
)
from gateway.server.openai.other_servers import OtherServersChatFields
from gateway.server.schemas import closed_text
from gateway.server.wire import (
    UNREAD,
    Answered,
    Budget,
    ByKind,
    EffortAsked,
    FunctionDefinition,
    Ignored,
    JsonObject,
    Text,
    ThinkingAsked,
    Wire,
    effort_of,
    only_default,
    only_empty,
    thinking_asked,
)

_NAME = r"^[A-Za-z0-9_-]{1,64}$"


def only_text(*kinds: str) -> BeforeValidator:
    """Refuses a part of a message that is no text, by its kind."""

    def check(part: Any) -> Any:
        kind = part.get("type") if isinstance(part, dict) else None
        if isinstance(kind, str) and kind not in kinds:
            what = "images are not read" if "image" in kind else f"{kind:.40} is not read"
            raise ValueError(f"{what}: these models read text, in parts of type {kinds[0]}")
        return part

    return BeforeValidator(check)


class TextPart(Wire):
    """A part of a message; text is the only kind that these models read."""

    type: Literal["text"]
    text: Text
    cache_control: Ignored = None
    """What is cached changes no answer."""
    prompt_cache_breakpoint: Ignored = None


_Parts = list[Annotated[TextPart, only_text("text")]]
Content = Annotated[Annotated[Text, Tag("str")] | Annotated[_Parts, Tag("list")], ByKind]


class CalledFunction(Wire):
    """What is called, and with what."""

    name: Text
    arguments: Text


class CallInMessage(Wire):
    """A call that the assistant made earlier."""

    id: Text
    type: Literal["function"] = "function"
    function: CalledFunction
    index: Annotated[Whole | None, UNREAD] = None
    """As the pieces of a stream carry it."""


class ChatMessage(Wire):
    """One turn. Fields that are null where OpenAI's own answers carry them are accepted."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Content | None = None
    name: Annotated[Text | None, UNREAD] = None
    """Of who speaks; chat templates are not shown it."""
    reasoning_content: Text | None = None
    """What the model thought before; a chat template shows it or leaves it out."""
    reasoning: Text | None = None
    tool_calls: list[CallInMessage] | None = None
    tool_call_id: Text | None = None
    refusal: Annotated[None, only_empty("a refusal of an earlier answer is not read")] = None
    audio: Annotated[None, only_empty("audio is not read")] = None
    function_call: Annotated[None, only_empty("calls are in tool_calls")] = None
    annotations: Ignored = None
    """Of an earlier answer's text; they are no part of it."""

    @model_validator(mode="after")
    def _fits_its_role(self) -> Self:
        thought = self.role == "assistant" and (self.reasoning_content or self.reasoning)
        if self.content is None and not (self.tool_calls or thought):
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

    name: Annotated[Annotated[Text, Field(pattern=_NAME)] | None, UNREAD] = None
    description: Annotated[Text | None, UNREAD] = None
    schema_: JsonObject = Field(alias="schema")
    strict: Annotated[bool | None, UNREAD] = None
    """The schema is enforced whether or not this is true."""


class ResponseFormat(Wire):
    """What the answer may be."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None
    schema_: JsonObject | None = Field(default=None, alias="schema")
    """Extension, of llama.cpp's server: the schema beside the type json_object."""

    @model_validator(mode="after")
    def _has_its_schema(self) -> Self:
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise ValueError("json_schema belongs to the type json_schema")
        if self.schema_ is not None and self.type != "json_object":
            raise ValueError("schema belongs to the type json_object")
        return self

    @property
    def schema_text(self) -> str | None:
        """The schema as JSON, None where every text may come out."""
        if self.type == "text":
            return None
        if self.json_schema is not None:
            return closed_text(self.json_schema.schema_)
        return closed_text(self.schema_ or {"type": "object"})


_Choice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("str")] | Annotated[NamedTool, Tag("dict")],
    ByKind,
]


class ReasoningAsked(Wire):
    """What OpenRouter's clients say of a thought."""

    effort: EffortAsked | None = None
    max_tokens: Budget | None = None
    """Most tokens of it."""
    exclude: bool | None = None
    """True: it is counted and not told."""
    enabled: bool | None = None
    summary: Annotated[
        None, only_default("auto", reason="what a model thinks is not summed up")
    ] = None


class ThinkingSwitch(Wire):
    """What clients of Anthropic's, DeepSeek's and Z.ai's models say of a thought."""

    type: Literal["enabled", "disabled", "adaptive", "auto"] | None = None
    budget_tokens: Budget | None = None
    """Most tokens of it."""
    clear_thinking: Annotated[bool | None, UNREAD] = None
    """Earlier thoughts are shown as the chat template has it."""

    @property
    def enabled(self) -> bool | None:
        """None: as the model's entry has it."""
        return {"enabled": True, "disabled": False}.get(self.type or "")


class ChatRequest(OtherServersChatFields):
    """A conversation to go on with."""

    model: Text
    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    max_tokens: MostTokens | None = None
    max_completion_tokens: MostTokens | None = None
    """Absent, as max_tokens: all that the prompt leaves of the context."""
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    logprobs: bool | None = None
    """Natural logarithms, from the model's own distribution before penalties, bias and schema."""
    top_logprobs: Annotated[Whole, Field(ge=0, le=20)] | None = None
    response_format: ResponseFormat | None = None
    tools: Annotated[list[ToolDefinition], Field(max_length=128)] | None = None
    tool_choice: _Choice | None = None
    parallel_tool_calls: bool | None = None
    metadata: Metadata = None
    store: Annotated[None, only_empty("answers are not kept")] = None
    service_tier: Annotated[
        None, only_default("auto", "default", reason="requests have one priority")
    ] = None
    modalities: Annotated[
        None, only_default(["text"], reason="models write text only, no audio")
    ] = None
    reasoning_effort: EffortAsked | None = None
    enable_thinking: bool | None = None
    """As `reasoning_effort`: false is "none"."""
    reasoning: ReasoningAsked | None = None
    thinking: ThinkingSwitch | None = None
    thinking_budget: Budget | None = None
    """Most tokens of the thought, which is then closed: 0 none, -1 no bound of its own."""
    thinking_budget_tokens: Budget | None = None
    thinking_token_budget: Budget | None = None
    reasoning_budget: Budget | None = None
    reasoning_budget_tokens: Budget | None = None
    include_reasoning: bool | None = None
    """False: what was thought is counted and not told."""
    chat_template_kwargs: JsonObject | None = None
    """What the chat template is given beside messages and tools."""
    moderation: Annotated[None, only_empty("answers are not moderated")] = None
    verbosity: Annotated[
        None, only_default("medium", reason="how long answers are is said in the messages")
    ] = None
    functions: Annotated[None, only_empty("functions are offered as tools")] = None
    function_call: Annotated[
        None, only_default("none", "auto", reason="functions are chosen by tool_choice")
    ] = None
    prediction: Ignored = None
    """A guess at the answer, which makes it faster elsewhere, changes none."""
    audio: Annotated[None, only_empty("models write text only, no audio")] = None
    web_search_options: Annotated[None, only_empty("nothing is looked up on the web")] = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.top_logprobs and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs: true")
        if self.stream_options and self.stream_options.include_usage and not self.stream:
            raise ValueError("stream_options needs stream: true")
        limits = {self.max_tokens, self.max_completion_tokens} - {None}
        if len(limits) > 1:
            raise ValueError("max_tokens and max_completion_tokens differ")
        thinking_asked("", self._budgets)  # raises where two of them differ
        if self.enforces_call and not self.tools:
            raise ValueError("tool_choice needs tools")
        if self.enforces_call and self.response_format and self.response_format.type != "text":
            raise ValueError("an answer is either a tool call or of response_format")
        return self

    @property
    def most_tokens(self) -> int | None:
        """The limit under either name; None: what the context leaves."""
        return bound(self.max_completion_tokens or self.max_tokens)

    @property
    def thinking_asked(self) -> ThinkingAsked:
        """How much is to be thought, and within which budget."""
        return thinking_asked(self._effort, self._budgets)

    @property
    def _budgets(self) -> tuple[int | None, ...]:
        return (
            self.reasoning.max_tokens if self.reasoning else None,
            self.thinking.budget_tokens if self.thinking else None,
            *(self.thinking_budget, self.thinking_budget_tokens, self.thinking_token_budget),
            *(self.reasoning_budget, self.reasoning_budget_tokens),
        )

    @property
    def _effort(self) -> str:
        nested, switch = self.reasoning or ReasoningAsked(), self.thinking or ThinkingSwitch()
        if (level := self.reasoning_effort or nested.effort) is not None:
            return effort_of(level)
        said = (nested.enabled, switch.enabled, self.enable_thinking)
        thinks = next((each for each in said if each is not None), None)
        return "" if thinks is None else "on" if thinks else "off"

    @property
    def tells_thoughts(self) -> bool:
        """Whether answers show what was thought."""
        excluded = self.reasoning is not None and self.reasoning.exclude is True
        return not excluded and self.include_reasoning is not False

    @property
    def template_variables(self) -> str:
        """`GenerationRequest.template_variables`."""
        given = self.chat_template_kwargs
        return json.dumps(given, sort_keys=True) if given else ""

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
    reasoning_content: str | None = None
    """What the model thought before; not sent where it wrote no thought."""
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
    reasoning_content: str | None = None
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
