"""Fields of other servers of local models, which their clients send unasked.

llama.cpp: tools/server/README.md of its repository. vLLM: "OpenAI-Compatible Server" of its manual.
"""

from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from gateway.core.whole import Whole
from gateway.server.openai.fields import SamplingFields
from gateway.server.wire import (
    UNREAD,
    Hint,
    Ignored,
    Refusing,
    is_empty,
    only_default,
    only_empty,
)


def _sampler(default: float, other: str = "") -> Refusing:
    return only_default(default, reason=other or "there is no such sampler here")


_OfSampler = Annotated[float | None, UNREAD]
"""Means nothing without its sampler, which is refused."""
_Nothing = only_empty("answers do not tell this")
_FORM = only_empty("response_format enforces a schema, and tool_choice a call")
_STOPS = only_empty("stop ends an answer at a text")
_ENDS = "an answer ends where it ends"
_LAZY = only_empty("a schema holds from the first token of an answer, or behind its thought")
_OF_LLAMA_CPP = ["dry", "top_n_sigma", "top_k", "typ_p", "top_p", "min_p", "xtc", "temperature"]
_ORDERS = (
    ["penalties", *_OF_LLAMA_CPP],
    [name for name in _OF_LLAMA_CPP if name != "top_n_sigma"],
    "edskypmxt",
)
"""llama.cpp's own order as it is computed, as its manual has it, and in letters."""
_ONE_ORDER = "samplers have one order here"


def _in_order(given: Any) -> Any:
    if not is_empty(given) and given not in _ORDERS:
        raise ValueError(_ONE_ORDER)
    return given


class OtherServersFields(SamplingFields):
    """What llama.cpp and vLLM add to OpenAI's bodies, where it changes no answer or asks for
    nothing."""

    cache_prompt: Ignored = None
    """What is cached, where and for how long, changes no answer."""
    cache_salt: Hint = None
    id_slot: Ignored = None
    backend_sampling: Annotated[bool | None, UNREAD] = None
    """Where a token is chosen, not which."""
    ttl: Ignored = None
    sse_ping_interval: Ignored = None
    """How often a stream that waits says so."""
    speculative_type: Ignored = Field(default=None, alias="speculative.type")
    """Guessed tokens are checked, so that they change no answer."""
    speculative_types: Ignored = Field(default=None, alias="speculative.types")
    speculative_n_max: Ignored = Field(default=None, alias="speculative.n_max")
    speculative_n_min: Ignored = Field(default=None, alias="speculative.n_min")
    speculative_p_min: Ignored = Field(default=None, alias="speculative.p_min")
    speculative_p_split: Ignored = Field(default=None, alias="speculative.p_split")
    speculative_size_n: Ignored = Field(default=None, alias="speculative.ngram_size_n")
    speculative_size_m: Ignored = Field(default=None, alias="speculative.ngram_size_m")
    speculative_hits: Ignored = Field(default=None, alias="speculative.ngram_m_hits")
    request_id: Hint = None
    priority: Annotated[None, only_default(0, reason="requests have one priority")] = None

    typical_p: Annotated[None, _sampler(1)] = None
    typ_p: Annotated[None, _sampler(1)] = None
    dynatemp_range: Annotated[None, _sampler(0)] = None
    dynatemp_exponent: Annotated[None, _sampler(1)] = None
    xtc_probability: Annotated[None, _sampler(0)] = None
    xtc_threshold: _OfSampler = None
    dry_multiplier: Annotated[None, _sampler(0)] = None
    dry_base: _OfSampler = None
    dry_allowed_length: _OfSampler = None
    dry_penalty_last_n: _OfSampler = None
    dry_sequence_breakers: Ignored = None
    mirostat: Annotated[None, _sampler(0)] = None
    mirostat_tau: _OfSampler = None
    mirostat_eta: _OfSampler = None
    top_n_sigma: Annotated[None, _sampler(-1)] = None
    adaptive_target: Annotated[None, _sampler(-1)] = None
    adaptive_decay: _OfSampler = None
    samplers: Annotated[Ignored, Refusing(_in_order, defaults=_ORDERS, reason=_ONE_ORDER)] = None
    """Where there is a penalty, it must be among them."""
    length_penalty: Annotated[None, _sampler(1)] = None
    use_beam_search: Annotated[None, only_empty("there is no such search here")] = None
    repeat_penalty: Annotated[None, _sampler(1, "it is repetition_penalty here")] = None
    repeat_last_n: Annotated[Whole, Field(ge=-1)] | None = None
    """Where there is a penalty, only -1: penalties look at the whole prompt and answer."""
    min_keep: Annotated[None, _sampler(0)] = None

    n_cmpl: Annotated[None, only_default(1, reason="it is n here")] = None
    n_keep: Annotated[None, only_default(0, -1, reason="no prompt is cut")] = None
    n_discard: Annotated[None, only_default(0, reason="no prompt is cut")] = None
    n_cache_reuse: Annotated[None, only_default(0, reason="no prompt is cut")] = None
    n_indent: Annotated[None, only_default(0, reason=_ENDS)] = None
    t_max_predict_ms: Annotated[
        None, only_default(0, -1, reason=f"{_ENDS}, at the same place always")
    ] = None
    truncate_prompt_tokens: Annotated[None, only_default(-1, reason="no prompt is cut")] = None
    min_tokens: Annotated[None, only_default(0, reason=_ENDS)] = None
    ignore_eos: Annotated[None, only_empty(_ENDS)] = None
    stop_token_ids: Annotated[None, _STOPS] = None
    bad_words: Annotated[None, only_empty("logit_bias bans a token")] = None
    include_stop_str_in_output: Annotated[None, only_empty("no answer holds its stop")] = None
    skip_special_tokens: Annotated[
        None, only_default(True, reason="control tokens are no text of an answer")
    ] = None
    spaces_between_special_tokens: Annotated[
        None, only_default(True, reason="control tokens are no text of an answer")
    ] = None
    detokenize: Annotated[None, only_default(True, reason="an answer is a text")] = None

    lora: Annotated[None, only_empty("an entry has its adapter")] = None
    grammar: Annotated[None, _FORM] = None
    grammar_lazy: Annotated[None, _LAZY] = None
    grammar_triggers: Annotated[None, _LAZY] = None
    preserved_tokens: Annotated[
        None, only_empty("the chat template says which tokens there are")
    ] = None
    guided_json: Annotated[None, _FORM] = None
    guided_regex: Annotated[None, _FORM] = None
    guided_choice: Annotated[None, _FORM] = None
    guided_grammar: Annotated[None, _FORM] = None
    structured_outputs: Annotated[None, _FORM] = None

    prompt_logprobs: Annotated[
        None, only_empty("log-probabilities of a prompt are not computed")
    ] = None
    post_sampling_probs: Annotated[
        None, only_empty("log-probabilities are the model's own, before sampling")
    ] = None
    response_fields: Annotated[None, only_empty("answers are told whole")] = None
    return_token_ids: Annotated[None, _Nothing] = None
    return_tokens_as_token_ids: Annotated[None, _Nothing] = None
    timings_per_token: Annotated[None, _Nothing] = None
    return_progress: Annotated[None, _Nothing] = None
    verbose: Annotated[None, _Nothing] = None

    @model_validator(mode="after")
    def _penalties_are_of_all(self) -> Self:
        if self.repeat_last_n not in (None, -1) and self.penalizes:
            raise ValueError("repeat_last_n: penalties look at the whole prompt and answer: -1")
        if isinstance(self.samplers, list) and "penalties" not in self.samplers and self.penalizes:
            raise ValueError("samplers: penalties are not among them, and a penalty is asked for")
        return self


class OtherServersOpenAIFields(OtherServersFields):
    """The same, and what OpenAI's bodies have fields of their own for."""

    json_schema: Annotated[None, _FORM] = None
    n_probs: Annotated[None, only_default(0, reason="ask for logprobs and top_logprobs")] = None
    n_predict: Annotated[None, only_default(-1, reason="it is max_tokens here")] = None
    return_tokens: Annotated[None, _Nothing] = None


class OtherServersChatFields(OtherServersOpenAIFields):
    """The same, of a conversation."""

    add_generation_prompt: Annotated[
        None, only_default(True, reason="an answer is always begun")
    ] = None
    continue_final_message: Annotated[
        None, only_empty("an answer that goes on is asked for at /v1/messages")
    ] = None
    add_special_tokens: Annotated[
        None, only_empty("the chat template says which tokens there are")
    ] = None
    chat_template: Annotated[None, only_empty("its entry chooses a model's template")] = None
    documents: Annotated[None, only_empty("documents are written into the messages")] = None
    reasoning_in_content: Annotated[None, only_empty("thoughts are told as reasoning_content")] = (
        None
    )
    thinking_forced_open: Annotated[
        None, only_empty("the chat template says whether a thought is begun")
    ] = None
    separate_reasoning: Annotated[
        None, only_default(True, reason="what was thought is always told apart")
    ] = None
    reasoning_format: Annotated[
        None,
        only_default("auto", "deepseek", "parsed", reason="thoughts are told as reasoning_content"),
    ] = None
    parse_tool_calls: Annotated[None, only_default(True, reason="calls are always read")] = None
