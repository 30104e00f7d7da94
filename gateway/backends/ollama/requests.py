"""A request of the gateway as the body of a request to Ollama, and its answer as a completion."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from gateway.backends.ollama.conversation import ServedConversations
from gateway.backends.ollama.tokens import ServerReader
from gateway.backends.ollama.wire import Line, TokenEntry
from gateway.core.digests import digest_json
from gateway.core.errors import BackendError, InvalidRequest, Unsupported
from gateway.core.types import Constraint, GenerationRequest, Message, Sampling, TokenLogprob
from gateway.engine.constraints import checked_schema
from gateway.models.families.thoughts import OFF, ON, USUAL

MOST_ALTERNATIVES = 20
"""Of a token, as Ollama tells them (`top_logprobs`)."""
_THINKING = "thinking"
"""What a model can do that thinks, as the server names it."""
_LEVELS = ("low", "medium", "high", "max")
"""How much a model may be told to think, beside yes and no."""
_LARGEST_SEED = 2**32 - 2
"""2**32 - 1 is llama.cpp's "draw one" (`LLAMA_DEFAULT_SEED`)."""


@dataclass(frozen=True, slots=True)
class WireRequest:
    """A request as it is sent."""

    path: Literal["/api/generate", "/api/chat"]
    body: Mapping[str, Any]
    max_tokens: int
    prompt_tokens: int | None = None
    """None: only the server knows how its template renders the conversation."""
    alternatives: int | None = None
    """Of each token, to be passed on; None: no log-probabilities either."""
    quoted: bool = False
    """The answer is a JSON string."""
    thinking: bool = False
    """The prompt ends within a thought."""
    formed: bool = False
    """The answer has to be of a form, and thinks at most once, at first."""

    @property
    def thinks(self) -> bool:
        """The model was told to think, apart from its answer."""
        return bool(self.body.get("think"))

    @property
    def model(self) -> str:
        """Its name on the server."""
        return str(self.body["model"])

    @property
    def context_length(self) -> int:
        """Tokens of prompt and answer together."""
        return int(self.body["options"]["num_ctx"])


def options(sampling: Sampling) -> dict[str, Any]:
    """Every option that changes which token is chosen, so that no default of the server or of a
    Modelfile is left to apply. `min_p` and the rest have their neutral values where unused.

    Raises:
        InvalidRequest: the seed is larger than Ollama's may be.
        Unsupported: logit bias.
    """
    if sampling.logit_bias:
        raise Unsupported("logit bias through Ollama")
    return {
        "seed": _seed(sampling),
        "temperature": sampling.temperature,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "min_p": sampling.min_p,
        "typical_p": 1.0,
        "mirostat": 0,
        "repeat_penalty": sampling.repetition_penalty,
        "repeat_last_n": -1,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "num_predict": sampling.max_tokens,
        "stop": list(sampling.stop),
    }


def _seed(sampling: Sampling) -> int:
    """The n-th sample of a seed has a seed of its own, drawn from both."""
    if sampling.seed > _LARGEST_SEED:
        raise InvalidRequest(
            f"seed is {sampling.seed}; allowed with Ollama: 0 to {_LARGEST_SEED}", parameter="seed"
        )
    if not sampling.sample:
        return sampling.seed
    return int(digest_json([sampling.seed, sampling.sample])[:7], 16)


def messages(
    request: GenerationRequest, conversations: ServedConversations
) -> list[dict[str, str]]:
    """The conversation, for Ollama's own template.

    Raises:
        InvalidRequest: that template would not show a turn.
        Unsupported: what that template cannot be trusted with.
    """
    if request.tools or any(m.tool_calls or m.role == "tool" for m in request.messages):
        raise _only_raw("tools")
    if request.template_variables:
        raise _only_raw("variables of a chat template")
    if request.thinking_budget is not None:
        raise _no_budget()
    if request.answer_start:
        raise _only_raw("an answer's given beginning")
    return [_turn(message) for message in conversations.of(request.messages)]


def _turn(message: Message) -> dict[str, str]:
    thought = {"thinking": message.reasoning} if message.reasoning else {}
    return {"role": message.role, "content": message.content, **thought}


def thinking(request: GenerationRequest, asked: str, capabilities: Sequence[str]) -> bool | str:
    """What a server is told of how much a model thinks: `think` of Ollama's API.

    Args:
        asked: by the request, or else by the entry.
        capabilities: of the model, as the server tells them.

    Raises:
        InvalidRequest: the model does not think, or has no such level.
    """
    # An answer that has to be of a form from its first token on is none behind a thought.
    formed = request.constraint is not None and not request.thinks_first
    if asked in ("", OFF) or formed:
        return False
    if _THINKING not in capabilities:
        if asked == USUAL:
            return False
        raise InvalidRequest(
            "the Ollama server says of this model that it does not think",
            parameter="reasoning_effort",
        )
    if asked != ON and asked not in _LEVELS:
        raise InvalidRequest(
            f"Ollama knows no thinking of the level {asked!r}",
            hint=f"one of {', '.join(_LEVELS)}",
            parameter="reasoning_effort",
        )
    return True if asked == ON else asked


def check_thought(request: GenerationRequest) -> None:
    """Raise Unsupported for what a server cannot be asked of a thought in a raw prompt."""
    if request.thinking_budget is not None:
        raise _no_budget()
    if request.thinks_first and request.constraint is not None:
        raise Unsupported(
            "an answer of a given form behind a thought, in a prompt that is sent raw to Ollama",
            hint='route = "chat" in models.toml, or an answer without a thought',
        )


def _no_budget() -> Unsupported:
    return Unsupported(
        "a budget of what a model thinks through Ollama", hint="max_tokens bounds the whole answer"
    )


def _only_raw(what: str) -> Unsupported:
    return Unsupported(
        f"{what} through Ollama's own chat template",
        hint='route = "raw" in models.toml, with the model\'s chat_template where it is not known',
    )


def format_of(constraint: Constraint) -> dict[str, Any]:
    """The JSON schema that lets out what the constraint does, as a JSON string where it is text.

    Raises:
        InvalidRequest: there is nothing to choose from, or the schema is no JSON object.
    """
    if constraint.kind == "choices":
        if not constraint.value or not all(constraint.value):
            raise InvalidRequest("a constraint needs at least one choice, none of them empty")
        return {"type": "string", "enum": list(constraint.value)}
    if constraint.kind == "lark":
        raise _only_raw("a call in the model's own form")
    if constraint.kind == "regex":
        return {"type": "string", "pattern": f"^({constraint.value})$"}
    schema: dict[str, Any] = json.loads(checked_schema(constraint.value))
    return schema


def is_quoted(constraint: Constraint | None) -> bool:
    """Whether the answer comes as a JSON string, to be read before it is passed on."""
    return constraint is not None and constraint.kind != "json_schema"


def unquoted(text: str) -> str:
    """The text in a JSON string; what ran out of tokens before its end is passed on as it is."""
    try:
        found = json.loads(text)
    except ValueError:
        return text
    return found if isinstance(found, str) else text


def check_line(line: Line, model: str, *, thinks: bool) -> None:
    """An answer must have a known end, and must not think where it was told not to.

    Raises:
        BackendError: it does.
    """
    if line.done and line.done_reason not in ("stop", "length"):
        raise BackendError(f"{model} on Ollama ended its answer for {line.done_reason!r}")
    if line.thought and not thinks:
        raise BackendError(f"{model} on Ollama thinks apart from its answer, though told not to")


def logprobs_of(
    entries: Sequence[TokenEntry], count: int, reader: ServerReader
) -> tuple[TokenLogprob, ...]:
    """With so many alternatives each."""
    return tuple(
        TokenLogprob(
            reader.token_of(entry.data),
            entry.token,
            entry.logprob,
            tuple(
                (reader.token_of(other.data), other.token, other.logprob)
                for other in (entry.top_logprobs or ())[:count]
            ),
        )
        for entry in entries
    )


def asked_alternatives(request: GenerationRequest) -> Mapping[str, Any]:
    """Log-probabilities are always asked for: they tell the tokens of the answer.

    Raises:
        Unsupported: more alternatives than the server tells.
    """
    count = request.logprobs or 0
    if count > MOST_ALTERNATIVES:
        raise Unsupported(
            f"{count} alternatives of a token through Ollama",
            hint=f"it tells {MOST_ALTERNATIVES} at most",
        )
    return {"logprobs": True, "top_logprobs": count}
