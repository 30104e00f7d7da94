"""Choices, JSON schema and regex -> masks over the vocabulary, by llguidance.

One module for every backend that sees logits. The mask is applied to a copy: log-probabilities
are taken from the logits as the model gave them.
"""

import json
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from gateway.core.errors import InvalidRequest
from gateway.core.extras import require
from gateway.core.types import Constraint
from gateway.engine.sampling import Floats
from gateway.models.families.grammar import with_tokens

_MAX_SCHEMA_CHARS = 200_000

_ONE_LINE = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
"""JSON is written on one line as `json.dumps` does: free whitespace invites small models to
repeat it until they run out of tokens."""


class Matcher(Protocol):
    """What a generation needs of a constraint."""

    def masked(self, logits: Floats) -> Floats:
        """A copy of the logits, shape (vocabulary,), with forbidden tokens at -inf."""
        ...

    def finished_by(self, token: int) -> bool:
        """Take the chosen token; True when nothing may follow it."""
        ...


def grammar_of(constraint: Constraint, token_of: Callable[[str], int | None] | None = None) -> str:
    """The llguidance grammar that accepts just what the constraint allows.

    Args:
        token_of: the id of a control token that is shown in an answer, by its text; None: of none.

    Raises:
        InvalidRequest: no choices, an empty choice, a schema that is no JSON object, or a grammar
            that llguidance refuses.
        MissingExtra: llguidance is not installed.
    """
    lib = _llguidance()
    if constraint.kind == "choices":
        if not constraint.value or not all(constraint.value):
            raise InvalidRequest("a constraint needs at least one choice, none of them empty")
        alternatives = " | ".join(json.dumps(c, ensure_ascii=False) for c in constraint.value)
        grammar = lib.LLMatcher.grammar_from_lark(f"start: {alternatives}")
    elif constraint.kind == "json_schema":
        grammar = lib.LLMatcher.grammar_from_json_schema(
            checked_schema(constraint.value), overrides=_ONE_LINE
        )
    elif constraint.kind == "lark":
        lark = str(constraint.value)
        lark = with_tokens(lark, token_of) if token_of else lark
        grammar = lib.LLMatcher.grammar_from_lark(lark)
    else:
        grammar = lib.LLMatcher.grammar_from_regex(constraint.value)
    if problem := lib.LLMatcher.validate_grammar(grammar):
        raise InvalidRequest(f"the constraint cannot be used: {problem}", parameter="constraint")
    return str(grammar)


class GuidanceMatcher:
    """A `Matcher` on an llguidance tokenizer.

    Args:
        tokenizer: an `llguidance.LLTokenizer` of the model's vocabulary.
        grammar: from `grammar_of`.
    """

    def __init__(self, tokenizer: Any, grammar: str) -> None:
        self._matcher = _llguidance().LLMatcher(tokenizer, grammar)
        self._raise_if_broken()

    def masked(self, logits: Floats) -> Floats:
        packed = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        self._raise_if_broken()
        allowed = np.unpackbits(packed, bitorder="little")[: len(logits)].astype(bool)
        return np.where(allowed, logits, logits.dtype.type(-np.inf))

    def finished_by(self, token: int) -> bool:
        self._matcher.consume_token(token)
        self._raise_if_broken()
        return bool(self._matcher.is_stopped())

    def _raise_if_broken(self) -> None:
        if self._matcher.is_error():
            raise InvalidRequest(f"the constraint failed: {self._matcher.get_error()}")


def checked_schema(text: str | tuple[str, ...]) -> str:
    """The text of a JSON schema, if that is what it is.

    Raises:
        InvalidRequest: it is too long, no JSON, or no object.
    """
    if not isinstance(text, str) or len(text) > _MAX_SCHEMA_CHARS:
        raise InvalidRequest(f"a JSON schema is a text of at most {_MAX_SCHEMA_CHARS} characters")
    try:
        schema = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise InvalidRequest(f"the JSON schema is no JSON: {exc}") from exc
    if not isinstance(schema, dict):
        raise InvalidRequest("the JSON schema is not an object")
    return text


def _llguidance() -> Any:
    require("llguidance")
    import llguidance

    return llguidance
