"""Requests and completions as JSON, and back, without loss.

Every field is written, also one that has its default, so that a later version with other defaults
reads the request that was asked. Texts are of Unicode scalar values; no interface of the gateway
takes lone surrogates.
"""

import json
from dataclasses import asdict
from typing import Any

from gateway.core.digests import canonical_json
from gateway.core.errors import DataError
from gateway.core.types import (
    Completion,
    Constraint,
    GenerationRequest,
    Message,
    Sampling,
    TokenLogprob,
    Tool,
    ToolCall,
    Usage,
)


def request_to_json(request: GenerationRequest) -> str:
    """Canonical JSON: equal requests give equal texts."""
    return canonical_json(asdict(request))


def request_from_json(text: str) -> GenerationRequest:
    """The request that `request_to_json` wrote.

    Raises:
        DataError: it is no request, or has a field that this version does not know.
        InvalidRequest: a field is outside its range.
    """
    try:
        raw = json.loads(text)
        raw["messages"] = tuple(_message(message) for message in raw["messages"])
        raw["prompt_tokens"] = tuple(raw["prompt_tokens"])
        raw["tools"] = tuple(Tool(**tool) for tool in raw["tools"])
        raw["sampling"] = _sampling(raw["sampling"])
        if raw["constraint"] is not None:
            raw["constraint"] = _constraint(raw["constraint"])
        return GenerationRequest(**raw)
    except (ValueError, KeyError, TypeError) as exc:
        raise DataError(f"no request of this version of the gateway: {exc!r}") from exc


def completion_to_json(completion: Completion) -> str:
    """Canonical JSON of everything but the measured times, which differ from run to run."""
    raw = asdict(completion)
    del raw["timings"]
    return canonical_json(raw)


def completion_from_json(text: str) -> Completion:
    """The completion that `completion_to_json` wrote, with no times.

    Raises:
        DataError: it is no completion, or has a field that this version does not know.
    """
    try:
        raw = json.loads(text)
        raw["token_ids"] = tuple(raw["token_ids"])
        raw["usage"] = Usage(**raw["usage"])
        if raw["logprobs"] is not None:
            raw["logprobs"] = tuple(_logprob(token) for token in raw["logprobs"])
        return Completion(**raw)
    except (ValueError, KeyError, TypeError) as exc:
        raise DataError(f"no completion of this version of the gateway: {exc!r}") from exc


def _message(raw: dict[str, Any]) -> Message:
    calls = tuple(ToolCall(**call) for call in raw["tool_calls"])
    return Message(**{**raw, "tool_calls": calls})


def _sampling(raw: dict[str, Any]) -> Sampling:
    bias = tuple((token, value) for token, value in raw["logit_bias"])
    return Sampling(**{**raw, "stop": tuple(raw["stop"]), "logit_bias": bias})


def _constraint(raw: dict[str, Any]) -> Constraint:
    value = raw["value"]
    return Constraint(**{**raw, "value": value if isinstance(value, str) else tuple(value)})


def _logprob(raw: dict[str, Any]) -> TokenLogprob:
    tops = {name: tuple((i, t, p) for i, t, p in raw[name]) for name in ("top", "allowed_top")}
    return TokenLogprob(**{**raw, **tops})
