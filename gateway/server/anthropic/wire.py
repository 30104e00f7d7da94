"""Bodies of POST /v1/messages and /v1/messages/count_tokens, and what they answer.

https://docs.anthropic.com/en/api/messages, version 2023-06-01.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from gateway.core.whole import Whole
from gateway.server.openai.fields import MostTokens
from gateway.server.schemas import closed_text
from gateway.server.wire import (
    MOST_STOPS,
    UNREAD,
    Answered,
    ByKind,
    FunctionDefinition,
    Hint,
    Ignored,
    JsonObject,
    Text,
    ThinkingAsked,
    Wire,
    only_default,
    only_empty,
    thinking_asked,
)

_NAME = r"^[A-Za-z0-9_-]{1,128}$"


class TextBlock(Wire):
    """Text."""

    type: Literal["text"]
    text: Text
    cache_control: Ignored = None
    """What is cached changes no answer."""
    citations: Ignored = None


class ToolUseBlock(Wire):
    """A call of an earlier answer."""

    type: Literal["tool_use"]
    id: Text
    name: Text
    input: JsonObject
    cache_control: Ignored = None
    caller: Ignored = None
    toolset_name: Hint = None


class ThinkingBlock(Wire):
    """What the model thought before an earlier answer; a chat template shows it or leaves it
    out."""

    type: Literal["thinking", "redacted_thinking"]
    thinking: Text | None = None
    signature: Ignored = None
    data: Ignored = None


def _refusing(*kinds: str) -> BeforeValidator:
    def check(block: Any) -> Any:
        kind = block.get("type") if isinstance(block, dict) else None
        if isinstance(kind, str) and kind not in kinds:
            what = "images are not read" if kind == "image" else f"{kind:.40} blocks are not read"
            raise ValueError(f"{what}; read are: {', '.join(kinds)}")
        return block

    return BeforeValidator(check)


_Texts = list[Annotated[TextBlock, _refusing("text")]]
Texts = Annotated[Annotated[Text, Tag("str")] | Annotated[_Texts, Tag("list")], ByKind]
"""A text, or its parts."""


def text_of(texts: str | list[TextBlock] | None, between: str = "") -> str:
    """A content's text."""
    if isinstance(texts, list):
        return between.join(block.text for block in texts)
    return texts or ""


class ToolResultBlock(Wire):
    """What a tool that was called gave."""

    type: Literal["tool_result"]
    tool_use_id: Text
    content: Texts | None = None
    is_error: Annotated[bool | None, UNREAD] = None
    """Chat templates do not know failed calls: the content says what went wrong."""
    cache_control: Ignored = None
    toolset_name: Hint = None


_BLOCKS = ("text", "tool_use", "tool_result", "thinking", "redacted_thinking")


def _kind_of_block(block: Any) -> str:
    kind = block.get("type") if isinstance(block, dict) else None
    # With a space: the tag is no part of the place that an error names.
    if kind in ("thinking", "redacted_thinking"):
        return "thinking block"
    return f"{kind if kind in _BLOCKS else 'text'} block"


Block = Annotated[
    Annotated[TextBlock, Tag("text block")]
    | Annotated[ToolUseBlock, Tag("tool_use block")]
    | Annotated[ToolResultBlock, Tag("tool_result block")]
    | Annotated[ThinkingBlock, Tag("thinking block")],
    Discriminator(_kind_of_block),
    _refusing(*_BLOCKS),
]


class Turn(Wire):
    """One turn."""

    role: Literal["user", "assistant", "system"]
    content: Annotated[Annotated[Text, Tag("str")] | Annotated[list[Block], Tag("list")], ByKind]


class ToolOffered(Wire):
    """A tool of the client's."""

    name: Annotated[Text, Field(pattern=_NAME)]
    input_schema: JsonObject
    description: Text | None = None
    type: Literal["custom"] | None = None
    strict: Annotated[bool | None, UNREAD] = None
    cache_control: Ignored = None
    eager_input_streaming: Annotated[bool | None, UNREAD] = None
    input_examples: Annotated[list[JsonObject] | None, UNREAD] = None
    """Chat templates are not shown them."""
    allowed_callers: Annotated[
        None, only_default(["direct"], reason="only a model calls tools")
    ] = None
    defer_loading: Annotated[None, only_empty("all tools are shown at once")] = None

    @property
    def function(self) -> FunctionDefinition:
        """As a function."""
        return FunctionDefinition(
            name=self.name, description=self.description, parameters=self.input_schema
        )


def _only_custom(tool: Any) -> Any:
    kind = tool.get("type") if isinstance(tool, dict) else None
    if kind not in (None, "custom"):
        raise ValueError(f"the tool {kind!s:.40} is not here: only a client's own tools are called")
    return tool


class ToolChoice(Wire):
    """Which tools an answer has to call."""

    type: Literal["auto", "any", "tool", "none"]
    name: Text | None = None
    disable_parallel_tool_use: bool | None = None

    @model_validator(mode="after")
    def _names_a_tool(self) -> Self:
        if (self.type == "tool") != (self.name is not None):
            raise ValueError('a name belongs to the type "tool"')
        return self


class Metadata(Wire):
    """Who asks changes no answer."""

    user_id: Hint = None


class Thinking(Wire):
    """Whether the model thinks first. Adaptive is as its entry or its template has it."""

    type: Literal["enabled", "disabled", "adaptive"] | None = None
    display: Hint = None
    budget_tokens: Annotated[Whole, Field(ge=1)] | None = None
    """Most tokens of the thought, which is then closed; `max_tokens` bounds thought and answer
    together."""


class JsonFormat(Wire):
    """A schema that the answer has to match."""

    type: Literal["json_schema"]
    schema_: JsonObject = Field(alias="schema")


_USUAL_EFFORT = "high"


class OutputConfig(Wire):
    """How the answer is made."""

    format: JsonFormat | None = None
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    """How much a model thinks; "high" is the default, and asks for nothing."""


NO_EDITS: dict[str, Any] = {"edits": []}
KEEPS_ALL = {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}
"""What coding agents send: earlier thoughts are kept."""


class TokensBody(Wire):
    """A conversation to count the tokens of."""

    model: Text
    messages: Annotated[list[Turn], Field(min_length=1)]
    system: Texts | None = None
    tools: (
        Annotated[
            list[Annotated[ToolOffered, BeforeValidator(_only_custom)]], Field(max_length=128)
        ]
        | None
    ) = None
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None
    cache_control: Ignored = None
    context_management: Annotated[
        None, only_default(NO_EDITS, KEEPS_ALL, reason="earlier turns are read as they are")
    ] = None
    output_config: OutputConfig | None = None
    speed: Annotated[None, only_default("standard", reason="there is one speed here")] = None
    user_profile_id: Hint = None
    workspace_id: Hint = None
    mcp_servers: Annotated[None, only_empty("no other server is asked")] = None
    thread: Annotated[None, only_empty("conversations are not kept: send all turns")] = None

    @property
    def schema_text(self) -> str | None:
        """The schema that the answer has to match, as JSON; None: every text may come out."""
        form = self.output_config.format if self.output_config else None
        return closed_text(form.schema_) if form else None

    @property
    def effort(self) -> str:
        """`GenerationRequest.reasoning`."""
        asked = self.thinking.type if self.thinking else None
        level = self.output_config.effort if self.output_config else None
        if asked != "disabled" and level not in (None, _USUAL_EFFORT):
            return level
        return {"enabled": "on", "disabled": "off"}.get(asked or "", "")

    @property
    def thinking_asked(self) -> ThinkingAsked:
        """How much is to be thought, and within which budget."""
        return thinking_asked(self.effort, [self.thinking.budget_tokens if self.thinking else None])

    @property
    def enforces_call(self) -> bool:
        """Whether the answer must be a call."""
        return self.tool_choice is not None and self.tool_choice.type in ("any", "tool")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.enforces_call and not self.tools:
            raise ValueError("tool_choice needs tools")
        if self.enforces_call and self.schema_text is not None:
            raise ValueError("an answer is either a tool call or of output_config.format")
        return self


class MessagesBody(TokensBody):
    """A conversation to go on with."""

    max_tokens: MostTokens
    """An upper bound; the context bounds the answer too."""
    stop_sequences: Annotated[list[Text], Field(max_length=MOST_STOPS)] | None = None
    stream: bool | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    """Absent: 0, as everywhere in the gateway."""
    top_k: Annotated[Whole, Field(ge=0)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    metadata: Metadata | None = None
    service_tier: Annotated[
        None, only_default("auto", "standard_only", reason="requests have one priority")
    ] = None
    diagnostics: Ignored = None
    container: Annotated[None, only_empty("no code is run")] = None
    inference_geo: Hint = None


class SaidText(Answered):
    """What was said. Citations are left out, as Anthropic does: some clients read no null."""

    type: Literal["text"]
    text: str


class SaidThought(Answered):
    """What was thought before."""

    type: Literal["thinking"]
    thinking: str
    signature: str
    """Empty: what was thought is no secret, and nothing signs it."""


class Called(Answered):
    """A call that the caller is asked to make."""

    type: Literal["tool_use"]
    id: str
    name: str
    input: dict[str, Any]


class MessageUsage(Answered):
    """Tokens. How many were cached is not told here: it is no property of the request."""

    input_tokens: int
    output_tokens: int
    cache_creation_input_tokens: Literal[0] = 0
    cache_read_input_tokens: Literal[0] = 0


StopReason = Literal["end_turn", "max_tokens", "stop_sequence", "tool_use"]


class MessageAnswer(Answered):
    """The answer."""

    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[SaidThought | SaidText | Called]
    stop_reason: StopReason | None
    stop_sequence: str | None
    usage: MessageUsage
    system_fingerprint: str
    """Extension: see the chat endpoint's."""


class TokensAnswer(Answered):
    """How many tokens the prompt has."""

    input_tokens: int
