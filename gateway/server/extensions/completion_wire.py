"""Bodies of POST /completion, which is llama.cpp's own: a raw text goes on.

https://github.com/ggml-org/llama.cpp/tree/master/tools/server, README.md
"""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from gateway.core.whole import Whole
from gateway.server.openai.completions_wire import Prompt
from gateway.server.openai.fields import MostTokens, bound
from gateway.server.openai.other_servers import OtherServersFields
from gateway.server.schemas import closed_text
from gateway.server.wire import (
    Answered,
    Ignored,
    JsonObject,
    MeantModel,
    only_default,
    only_empty,
    text_or_ids,
)


def _unless_random(seed: Any) -> Any:
    """llama.cpp's default is a seed of chance, which is said so; here it is 0."""
    return None if seed == -1 and not isinstance(seed, bool) else seed


def _by_id(given: Any) -> Any:
    """Pairs of a token's id and its bias, as llama.cpp writes them; a token has one bias."""
    if not isinstance(given, list) or not given:
        return given
    if not all(isinstance(each, list) and len(each) == 2 for each in given):
        return given
    found = {str(token): bias for token, bias in given}
    return found if all(found[str(token)] == bias for token, bias in given) else given


class LlamaCompletionBody(OtherServersFields):
    """Texts, or the ids of their tokens, to go on with."""

    model: MeantModel = ""
    prompt: Prompt
    """Of several, the answer is a list."""
    n_predict: MostTokens | None = None
    """Absent or -1: all that the prompt leaves of the context."""
    seed: Annotated[
        Annotated[Whole, Field(ge=0, lt=1 << 64)] | None, BeforeValidator(_unless_random)
    ] = None
    logit_bias: Annotated[
        dict[str, Annotated[float, Field(ge=-100, le=100)]] | None, BeforeValidator(_by_id)
    ] = None
    n: Annotated[Whole, Field(ge=1, le=1)] | None = None
    stream: bool | None = None
    json_schema: JsonObject | None = None
    n_probs: Annotated[Whole, Field(ge=0, le=20)] | None = None
    """Above 0: each token with its log-probability and so many alternatives."""
    return_tokens: bool | None = None
    """The answer's ids too; in a stream they are always there."""
    max_tokens: Annotated[None, only_default(-1, reason="it is n_predict here")] = None
    chat_format: Ignored = None
    """Of a conversation, which a raw text is not."""
    reasoning_format: Ignored = None
    reasoning_in_content: Ignored = None
    thinking_forced_open: Ignored = None
    generation_prompt: Ignored = None
    image_data: Annotated[None, only_empty("images are not read")] = None

    @property
    def most_tokens(self) -> int | None:
        """None: what the context leaves."""
        return bound(self.n_predict)

    @property
    def prompts(self) -> list[str | list[int]]:
        """One entry a prompt."""
        return text_or_ids(self.prompt)

    @property
    def asks_for_several(self) -> bool:
        """Whether a list is answered."""
        return isinstance(self.prompt, list) and not isinstance(self.prompt[0], int)

    @property
    def schema_text(self) -> str | None:
        """The schema as JSON, None where every text may come out."""
        return None if self.json_schema is None else closed_text(self.json_schema)

    @property
    def logprobs(self) -> int | None:
        """`GenerationRequest.logprobs`: a stream's pieces tell their ids by them."""
        return (self.n_probs or 0) if self.n_probs or self.stream else None


class Probability(Answered):
    """A token that could have come."""

    id: int
    token: str
    bytes: list[int]
    logprob: float


class TokenProbability(Probability):
    """A token that came."""

    top_logprobs: list[Probability]


class Speed(Answered):
    """Measured, and so the one thing that differs between equal requests."""

    cache_n: int
    prompt_n: int
    prompt_ms: float
    prompt_per_token_ms: float
    prompt_per_second: float
    predicted_n: int
    predicted_ms: float
    predicted_per_token_ms: float
    predicted_per_second: float


class Piece(Answered):
    """What is new of one answer."""

    index: int
    content: str
    tokens: list[int]
    stop: bool
    tokens_evaluated: int
    """Of the prompt."""
    tokens_predicted: int
    """So far."""
    completion_probabilities: list[TokenProbability] = Field(default_factory=list)


class LlamaCompletion(Piece):
    """One answer; at the end of a stream without its text."""

    model: str
    prompt: str
    generation_settings: dict[str, Any]
    has_new_line: bool
    truncated: bool
    """The context ended the answer, and nothing else did. A prompt is never cut."""
    stop_type: Literal["eos", "limit", "word"]
    stopping_word: str
    timings: Speed
    system_fingerprint: str
