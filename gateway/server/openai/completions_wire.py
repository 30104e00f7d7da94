"""Bodies of POST /v1/completions, OpenAI's legacy endpoint: a raw text goes on."""

from typing import Annotated, Literal, Self

from pydantic import Field, Tag, model_validator

from gateway.core.whole import Whole
from gateway.server.openai.fields import (
    MostTokens,
    StreamOptions,
    Usage,
    bound,
)
from gateway.server.openai.other_servers import OtherServersOpenAIFields
from gateway.server.wire import (
    Answered,
    Text,
    TextsOrIds,
    TokenIds,
    only_default,
    only_empty,
    text_or_ids,
)

MOST_PROMPTS = 128
DEFAULT_TOKENS = 16
"""OpenAI's default of this endpoint."""

Prompt = Annotated[
    Annotated[Text, Tag("str")]
    | Annotated[TokenIds, Tag("ids")]
    | Annotated[list[Text], Field(min_length=1, max_length=MOST_PROMPTS), Tag("list")]
    | Annotated[list[TokenIds], Field(min_length=1, max_length=MOST_PROMPTS), Tag("lists of ids")],
    TextsOrIds,
]


class CompletionRequest(OtherServersOpenAIFields):
    """Texts, or the ids of their tokens, to go on with."""

    model: Text
    prompt: Prompt
    max_tokens: MostTokens | None = None
    """16 where absent."""
    echo: bool | None = None
    """The prompt before the answer; not together with logprobs."""
    logprobs: Annotated[Whole, Field(ge=0, le=20)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    suffix: Annotated[None, only_empty("models do not read text after the answer")] = None
    add_special_tokens: Annotated[
        None, only_default(True, reason="a text is read as the model's file says")
    ] = None
    best_of: Annotated[None, only_default(1, reason="ask for n answers and choose one")] = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.echo and self.logprobs is not None:
            raise ValueError("echo: log-probabilities of a prompt are not computed")
        if self.stream_options and self.stream_options.include_usage and not self.stream:
            raise ValueError("stream_options needs stream: true")
        return self

    @property
    def most_tokens(self) -> int | None:
        """None: what the context leaves."""
        return bound(DEFAULT_TOKENS if self.max_tokens is None else self.max_tokens)

    @property
    def prompts(self) -> list[str | list[int]]:
        """One entry a prompt."""
        return text_or_ids(self.prompt)


class LegacyLogprobs(Answered):
    """One entry a token, in each list."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int]
    """Where each token begins in the answer, in characters."""


class CompletionChoice(Answered):
    """One answer, or what is new of it."""

    index: int
    text: str
    logprobs: LegacyLogprobs | None
    finish_reason: Literal["stop", "length"] | None


class TextCompletion(Answered):
    """The answers; in a stream, an event."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[CompletionChoice]
    system_fingerprint: str
    usage: Usage | None = None
