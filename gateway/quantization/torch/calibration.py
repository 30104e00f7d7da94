"""The texts that GPTQ and AWQ read as they round: pieces of one length, from all over a text."""

from collections.abc import Sequence
from typing import Any

from gateway.core.errors import DataError

LENGTH = 512
"""Tokens of a piece."""
MOST = 64
"""Pieces; GPTQ's paper takes 128 of 2,048 tokens, for models that take minutes on a card."""
_LEAST = 64


def pieces_of(tokenizer: Any, text: str, most: int = MOST) -> tuple[Sequence[int], ...]:
    """At most `most` pieces of a text's tokens, evenly spaced over it.

    Args:
        tokenizer: of transformers.

    Raises:
        DataError: the text is too short.
    """
    tokens = tokenizer(text, add_special_tokens=False, verbose=False).input_ids
    if len(tokens) < _LEAST:
        raise DataError(
            f"the calibration text has {len(tokens)} tokens; at least {_LEAST} are needed",
            hint="give texts of the kind that the model is for: some thousand tokens",
        )
    length = min(LENGTH, len(tokens))
    whole = len(tokens) // length
    taken = sorted({number * whole // most for number in range(most)})
    return tuple(tokens[number * length :][:length] for number in taken)
