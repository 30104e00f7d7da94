"""What the bodies of several of OpenAI's endpoints share."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, Field, Tag

from gateway.core.errors import InvalidRequest
from gateway.core.types import Sampling
from gateway.core.whole import Whole
from gateway.server.wire import (
    MOST_STOPS,
    UNREAD,
    Answered,
    ByKind,
    Hint,
    Text,
    Wire,
    only_empty,
)

MOST_CHOICES = 128


_Stops = Annotated[list[Text], Field(max_length=MOST_STOPS)]
Stop = Annotated[Annotated[Text, Tag("str")] | Annotated[_Stops, Tag("list")], ByKind] | None
Metadata = Annotated[dict[str, str] | None, UNREAD]
"""Bookkeeping of the client's, up to the answer that shows it again."""


def _limit(tokens: int) -> int:
    if tokens < 1 and tokens != NO_LIMIT:
        raise ValueError(f"{tokens} asks for no token: 1 or more, or {NO_LIMIT} for no limit")
    return tokens


NO_LIMIT = -1
MostTokens = Annotated[Whole, AfterValidator(_limit)]
"""An upper bound for an answer's tokens; the context bounds it too. -1: only the context does."""


def bound(tokens: int | None) -> int | None:
    """What a request wants at most; None: what the context leaves."""
    return None if tokens == NO_LIMIT else tokens


class PromptCacheOptions(Wire):
    """What is cached changes no answer."""

    mode: Hint = None
    ttl: Hint = None
    comparison_response_id: Annotated[None, only_empty("answers are not kept")] = None
    prewarm: Annotated[None, only_empty("every request is answered")] = None


class SamplingFields(Wire):
    """Fields of the chat and the legacy endpoint that choose tokens. Absent or null: the gateway's
    default, which is temperature 0 and seed 0."""

    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    seed: Annotated[Whole, Field(ge=0, lt=1 << 64)] | None = None
    stop: Stop = None
    n: Annotated[Whole, Field(ge=1, le=MOST_CHOICES)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    logit_bias: dict[str, Annotated[float, Field(ge=-100, le=100)]] | None = None
    """Token id, as text -> what is added to its logit."""
    top_k: Annotated[Whole, Field(ge=-1)] | None = None
    """Extension: keep the k most likely tokens; 0 and -1 keep all."""
    min_p: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Extension: drop tokens less likely than this share of the most likely one."""
    repetition_penalty: Annotated[float, Field(gt=0, le=10)] | None = None
    """Extension: as in `Sampling`."""
    user: Hint = None
    """Who asks changes no answer."""
    safety_identifier: Hint = None
    prompt_cache_key: Hint = None
    prompt_cache_retention: Hint = None
    prompt_cache_options: PromptCacheOptions | None = None
    """What is cached changes no answer."""

    @property
    def penalizes(self) -> bool:
        """Whether tokens that were there before are less likely."""
        others = (self.presence_penalty, self.frequency_penalty)
        return self.repetition_penalty not in (None, 1) or any(others)

    def sampling(self) -> Sampling:
        """How tokens are chosen. How many there may be only the prompt's length tells."""
        return Sampling(
            temperature=self.temperature or 0.0,
            seed=self.seed or 0,
            max_tokens=1,
            stop=stops(self.stop),
            top_p=1.0 if self.top_p is None else self.top_p,
            top_k=max(self.top_k or 0, 0),
            min_p=self.min_p or 0.0,
            repetition_penalty=1.0 if self.repetition_penalty is None else self.repetition_penalty,
            presence_penalty=self.presence_penalty or 0.0,
            frequency_penalty=self.frequency_penalty or 0.0,
            logit_bias=_biases(self.logit_bias or {}),
        )


class StreamOptions(Wire):
    """How an answer is streamed."""

    include_usage: bool | None = None
    include_obfuscation: Annotated[bool | None, UNREAD] = None
    """True is the documented default. Padding against observers of the network is not added."""


class CompletionDetails(Answered):
    """Of the tokens that were written, those of a thought, tags and spaces around it apart."""

    reasoning_tokens: int


class Usage(Answered):
    """Tokens. A prompt that is answered several times counts once, as OpenAI counts it."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    completion_tokens_details: CompletionDetails | None = None


def usage(prompt_tokens: int, completion_tokens: int, reasoning_tokens: int | None = None) -> Usage:
    """With their sum.

    Args:
        reasoning_tokens: those of thoughts; None: they are not told.
    """
    thought = reasoning_tokens
    more = {} if thought is None else {"completion_tokens_details": _details(thought)}
    return Usage(
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        total_tokens=prompt_tokens + completion_tokens,
        **more,
    )


def _details(reasoning_tokens: int) -> CompletionDetails:
    return CompletionDetails(reasoning_tokens=reasoning_tokens)


def stops(stop: str | list[str] | None) -> tuple[str, ...]:
    """The texts that end an answer; an empty text alone is none."""
    if not stop:
        return ()
    return (stop,) if isinstance(stop, str) else tuple(stop)


def _biases(given: Mapping[str, float]) -> tuple[tuple[int, float], ...]:
    for token in given:
        if not (token.isascii() and token.isdecimal() and len(token) < 11):
            raise InvalidRequest(
                f"logit_bias: {token!r} is no id of a token", parameter="logit_bias"
            )
    return tuple((int(token), bias) for token, bias in given.items())
