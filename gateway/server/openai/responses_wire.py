"""Bodies of POST /v1/responses: text in, text out, nothing kept between requests."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from gateway.core.whole import Whole
from gateway.server.logprobs import TokenLogprobs
from gateway.server.openai.chat_wire import only_text
from gateway.server.openai.fields import (
    Metadata,
    MostTokens,
    PromptCacheOptions,
    StreamOptions,
)
from gateway.server.schemas import closed_text
from gateway.server.wire import (
    UNREAD,
    Answered,
    Budget,
    ByKind,
    EffortAsked,
    FunctionDefinition,
    Hint,
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
_MOST_TOOLS = 128


class InputPart(Wire):
    """A part of a message; text is the only kind."""

    type: Literal["input_text", "output_text"]
    text: Text
    annotations: Ignored = None
    logprobs: Ignored = None
    prompt_cache_breakpoint: Ignored = None


_Parts = Annotated[
    list[Annotated[InputPart, only_text("input_text", "output_text")]], Field(min_length=1)
]


class InputMessage(Wire):
    """One turn, of the client's or of an earlier answer."""

    type: Literal["message"] = "message"
    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[Annotated[Text, Tag("str")] | Annotated[_Parts, Tag("list")], ByKind]
    id: Hint = None
    status: Hint = None
    phase: Hint = None

    @property
    def text(self) -> str:
        """The content; parts follow each other without anything between."""
        return text_of(self.content)


def text_of(content: str | list[InputPart]) -> str:
    """A content's text; parts follow each other without anything between."""
    return content if isinstance(content, str) else "".join(part.text for part in content)


class TextFormat(Wire):
    """What the answer may be."""

    type: Literal["text", "json_object", "json_schema"]
    name: Annotated[Annotated[Text, Field(pattern=_NAME)] | None, UNREAD] = None
    description: Annotated[Text | None, UNREAD] = None
    schema_: JsonObject | None = Field(default=None, alias="schema")
    strict: Annotated[bool | None, UNREAD] = None
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
        return closed_text(self.schema_ or {"type": "object"})


class TextOptions(Wire):
    """How the text is to be."""

    format: TextFormat | None = None
    verbosity: Annotated[
        None, only_default("medium", reason="how long answers are is said in the input")
    ] = None


class FunctionTool(FunctionDefinition):
    """A function that may be called."""

    type: Literal["function"]
    name: Annotated[Text, Field(pattern=_NAME)]
    async_: Annotated[None, only_empty("calls are waited for")] = Field(default=None, alias="async")
    allowed_callers: Annotated[
        None, only_default(["direct"], reason="only a model calls functions")
    ] = None
    defer_loading: Annotated[None, only_empty("all tools are shown at once")] = None
    output_schema: Annotated[JsonObject | None, UNREAD] = None
    """What a function gives is read as it comes."""


def _only_functions(tool: Any) -> Any:
    kind = tool.get("type") if isinstance(tool, dict) else None
    if isinstance(kind, str) and kind != "function":
        raise ValueError(f"a tool of type {kind:.40} is not here: only functions are called")
    return tool


_Function = Annotated[FunctionTool, BeforeValidator(_only_functions)]


class Namespace(Wire):
    """Functions that belong together; their names are told apart by the namespace's."""

    type: Literal["namespace"]
    name: Annotated[Text, Field(pattern=_NAME)]
    description: Annotated[Text | None, UNREAD] = None
    """Chat templates are shown functions one by one."""
    tools: Annotated[list[_Function], Field(max_length=_MOST_TOOLS)]


class OfflineSearch(Wire):
    """A search that may not look at the web, as Codex offers it by default: it asks for nothing."""

    type: Literal["web_search"]
    external_web_access: Literal[False]
    search_context_size: Hint = None
    search_content_types: Ignored = None
    filters: Ignored = None
    user_location: Ignored = None


def _kind_of_tool(tool: Any) -> str:
    kind = tool.get("type") if isinstance(tool, dict) else None
    # With a space: the tag is no part of the place that an error names.
    if kind == "web_search" and tool.get("external_web_access") is False:
        return "offline search"
    return "namespace tool" if kind == "namespace" else "function tool"


_OfferedTool = Annotated[
    Annotated[_Function, Tag("function tool")]
    | Annotated[Namespace, Tag("namespace tool")]
    | Annotated[OfflineSearch, Tag("offline search")],
    Discriminator(_kind_of_tool),
]


def called_in(namespace: str | None, name: str) -> str:
    """What a model is shown as the name of a function."""
    if not namespace:
        return name
    return f"{namespace}{name}" if namespace.endswith("__") else f"{namespace}__{name}"


class NamedFunctionTool(Wire):
    """The one function that must be called."""

    type: Literal["function"]
    name: Text
    namespace: Text | None = None

    @property
    def called(self) -> str:
        """The function, as a model is shown its name."""
        return called_in(self.namespace, self.name)


_Choice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("str")]
    | Annotated[NamedFunctionTool, Tag("dict")],
    ByKind,
    EffortAsked,
]


_NO_SUMMARY = "what a model thinks is not summed up"
_NO_THOUGHTS = "chat templates are not shown what a model thought before"


class Reasoning(Wire):
    """How much is thought."""

    effort: EffortAsked | None = None
    max_tokens: Budget | None = None
    """Extension, of OpenRouter: most tokens of the thought, which is then closed."""
    summary: Annotated[None, only_default("auto", reason=_NO_SUMMARY)] = None
    generate_summary: Annotated[None, only_default("auto", reason=_NO_SUMMARY)] = None
    context: Annotated[None, only_default("auto", reason=_NO_THOUGHTS)] = None
    mode: Annotated[
        None, only_default("standard", reason="how a model thinks is not chosen by a request")
    ] = None


class CallItem(Wire):
    """A call of an earlier answer."""

    type: Literal["function_call"]
    call_id: Text
    name: Text
    arguments: Text
    id: Hint = None
    status: Hint = None
    caller: Ignored = None
    namespace: Text | None = None
    async_: Ignored = Field(default=None, alias="async")

    @property
    def called(self) -> str:
        """The function, as a model is shown its name."""
        return called_in(self.namespace, self.name)


class CallOutputItem(Wire):
    """What a function that was called gave."""

    type: Literal["function_call_output"]
    call_id: Text
    output: Annotated[Annotated[Text, Tag("str")] | Annotated[_Parts, Tag("list")], ByKind]
    id: Hint = None
    status: Hint = None
    caller: Ignored = None
    name: Hint = None
    namespace: Hint = None

    @property
    def text(self) -> str:
        """The output; parts follow each other without anything between."""
        return text_of(self.output)


class ReasoningText(Wire):
    """A part of a thought."""

    type: Literal["reasoning_text"]
    text: Text


class ReasoningItem(Wire):
    """What the model thought before an earlier answer; a chat template shows it or leaves it
    out."""

    type: Literal["reasoning"]
    id: Hint = None
    status: Hint = None
    summary: Ignored = None
    content: list[ReasoningText] | None = None
    encrypted_content: Ignored = None

    @property
    def text(self) -> str:
        """What was thought."""
        return "".join(part.text for part in self.content or ())


_ITEMS = ("message", "function_call", "function_call_output", "reasoning")


def _kind_of_item(item: Any) -> str:
    kind = item.get("type", "message") if isinstance(item, dict) else "message"
    # With a space: the tag is no part of the place that an error names.
    return f"{kind if kind in _ITEMS else 'message'} item"


def _known_item(item: Any) -> Any:
    kind = item.get("type") if isinstance(item, dict) else None
    if kind == "item_reference":
        raise ValueError(
            "an item_reference is not read, since answers are not kept: send the item itself, "
            "as clients do with store: false"
        )
    if isinstance(kind, str) and kind not in _ITEMS:
        raise ValueError(f"an item of type {kind:.40} is not read; read are: {', '.join(_ITEMS)}")
    return item


Item = Annotated[
    Annotated[InputMessage, Tag("message item")]
    | Annotated[CallItem, Tag("function_call item")]
    | Annotated[CallOutputItem, Tag("function_call_output item")]
    | Annotated[ReasoningItem, Tag("reasoning item")],
    Discriminator(_kind_of_item),
    BeforeValidator(_known_item),
]


_LOGPROBS = "message.output_text.logprobs"
Included = Literal[
    "message.output_text.logprobs",
    "reasoning.encrypted_content",
    "code_interpreter_call.outputs",
    "computer_call_output.output.image_url",
    "file_search_call.results",
    "message.input_image.image_url",
    "web_search_call.action.sources",
    "web_search_call.results",
]
"""What an answer is to tell beside itself, as OpenAI's reference has it."""


class ResponseRequest(Wire):
    """A text, or turns, to answer."""

    model: Text
    input: Annotated[
        Annotated[Text, Tag("str")] | Annotated[list[Item], Field(min_length=1), Tag("list")],
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
    truncation: Annotated[Literal["auto", "disabled"] | None, UNREAD] = None
    """Input that does not fit is refused, never cut: so to allow it asks for nothing."""
    store: Annotated[bool | None, UNREAD] = None
    """True is the documented default. Answers are not kept, as each of them says (`store`), and
    cannot be asked for by their id."""
    tools: Annotated[list[_OfferedTool], Field(max_length=_MOST_TOOLS)] | None = None
    tool_choice: _Choice | None = None
    parallel_tool_calls: bool | None = None
    metadata: Metadata = None
    client_metadata: Ignored = None
    """Of coding agents; no field of OpenAI's reference."""
    user: Hint = None
    safety_identifier: Hint = None
    prompt_cache_key: Hint = None
    prompt_cache_retention: Hint = None
    prompt_cache_options: PromptCacheOptions | None = None
    service_tier: Annotated[
        None, only_default("auto", "default", reason="requests have one priority")
    ] = None
    top_logprobs: Annotated[Whole, Field(ge=0, le=20)] | None = None
    """Above 0, as `include: ["message.output_text.logprobs"]`: each token of the answer's text is
    told with its log-probability, as in /v1/chat/completions, and with so many alternatives."""
    previous_response_id: Annotated[
        None, only_empty("answers are not kept: send the earlier turns as input")
    ] = None
    conversation: Annotated[None, only_empty("conversations are not kept")] = None
    include: list[Included] | None = None
    """Only log-probabilities are read; the others are of what no answer has."""
    background: Annotated[None, only_empty("an answer is waited for")] = None
    background_options: Annotated[
        None,
        only_default({"completion_window": "soonest"}, reason="an answer is waited for"),
    ] = None
    context_management: Annotated[None, only_empty("earlier turns are read as they are")] = None
    moderation: Annotated[None, only_empty("answers are not moderated")] = None
    image: Annotated[
        None, only_default({"context_compression": "auto"}, reason="images are not read")
    ] = None
    access_programs: Annotated[
        None, only_default({"cyber": "standard"}, reason="there are no such programs here")
    ] = None
    prompt: Annotated[None, only_empty("no prompts are kept: send the text as input")] = None
    reasoning: Reasoning | None = None
    max_tool_calls: Annotated[None, only_empty("no tool is called by the server")] = None
    stream_options: StreamOptions | None = None

    @property
    def thinking_asked(self) -> ThinkingAsked:
        """How much is to be thought, and within which budget."""
        asked = self.reasoning or Reasoning()
        return thinking_asked(effort_of(asked.effort), [asked.max_tokens])

    @property
    def alternatives(self) -> int | None:
        """How many a token is told with; None: log-probabilities are not asked for."""
        count = self.top_logprobs or 0
        return count if count or _LOGPROBS in (self.include or ()) else None

    @property
    def enforces_call(self) -> bool:
        """Whether the answer must be a call."""
        return self.tool_choice == "required" or isinstance(self.tool_choice, NamedFunctionTool)

    @property
    def functions(self) -> list[tuple[str, FunctionTool]]:
        """What is offered to be called, each with its namespace or none."""
        made: list[tuple[str, FunctionTool]] = []
        for tool in self.tools or ():
            if isinstance(tool, Namespace):
                made += [(tool.name, function) for function in tool.tools]
            elif isinstance(tool, FunctionTool):
                made.append(("", tool))
        return made

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.enforces_call and not self.functions:
            raise ValueError("tool_choice needs tools")
        if self.enforces_call and self.text and self.text.format and self.text.format.schema_text:
            raise ValueError("an answer is either a tool call or of text.format")
        return self


class OutputText(Answered):
    """The answer's text."""

    type: Literal["output_text"]
    text: str
    annotations: list[str]
    logprobs: list[TokenLogprobs]
    """One entry a token, where they were asked for."""


class OutputMessage(Answered):
    """The assistant's turn."""

    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    status: Literal["in_progress", "completed", "incomplete"]
    content: list[OutputText]


class OutputReasoning(Answered):
    """What was thought before the answer."""

    id: str
    type: Literal["reasoning"]
    status: Literal["in_progress", "completed"]
    summary: list[str]
    content: list[dict[str, str]]


class OutputCall(Answered):
    """A call that the caller is asked to make."""

    id: str
    type: Literal["function_call"]
    status: Literal["in_progress", "completed"]
    call_id: str
    name: str
    arguments: str
    """A JSON object as text."""


class NamespacedCall(OutputCall):
    """A call of a function in a namespace."""

    namespace: str


class InputDetails(Answered):
    """How many tokens were cached is not told here: it is no property of the request."""

    cached_tokens: Literal[0] = 0


class OutputDetails(Answered):
    """Those of a thought, tags and spaces around it apart."""

    reasoning_tokens: int


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


class ResponseError(Answered):
    """Why there is no answer."""

    code: str
    message: str


class ReasoningAsked(Answered):
    """How much is thought, as the request says."""

    effort: str | None = None
    summary: None = None


class InputTokens(Answered):
    """How many tokens a prompt has."""

    object: Literal["response.input_tokens"] = "response.input_tokens"
    input_tokens: int


class Responded(Answered):
    """The answer."""

    id: str
    object: Literal["response"]
    created_at: int
    completed_at: int | None
    status: Literal["in_progress", "completed", "incomplete", "failed"]
    error: ResponseError | None
    incomplete_details: Incomplete | None
    instructions: str | None
    max_output_tokens: int | None
    metadata: dict[str, str]
    model: str
    output: list[OutputReasoning | OutputMessage | NamespacedCall | OutputCall]
    parallel_tool_calls: bool
    previous_response_id: None
    background: Literal[False]
    frequency_penalty: float
    presence_penalty: float
    max_tool_calls: None
    prompt_cache_key: str | None
    reasoning: ReasoningAsked
    safety_identifier: str | None
    service_tier: Literal["default"]
    top_logprobs: int
    user: str | None
    store: Literal[False]
    temperature: float
    text: dict[str, Any]
    tool_choice: str | dict[str, Any]
    tools: list[dict[str, Any]]
    top_p: float
    truncation: Literal["disabled"]
    usage: ResponseUsage | None
    system_fingerprint: str
    """Extension: see the chat endpoint's."""
