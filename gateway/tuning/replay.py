"""A neutral text in pieces, which a model in training keeps predicting as its base does."""

from pathlib import Path

from gateway.core.errors import DataError
from gateway.core.lists import plural
from gateway.engine.tokenizer import Tokenizer
from gateway.quantization.chunks import read_text

PIECE = 128
"""Tokens: a step's passes read some thousand, so that this costs a few hundredths of its time."""


def pieces(path: str, tokenizer: Tokenizer) -> tuple[tuple[int, ...], ...]:
    """All whole pieces of a file's text, as token ids; of no file none.

    Raises:
        DataError: it is absent, no UTF-8, or shorter than a piece.
    """
    tokens = tokenizer.tokenize([(text_of(path), False)], add_special=False) if path else []
    if path and len(tokens) < PIECE:
        raise DataError(
            f"--replay {path}: {plural(len(tokens), 'token')}, and a piece has {PIECE}",
            hint="give a longer text",
        )
    whole = range(0, len(tokens) - PIECE + 1, PIECE)
    return tuple(tuple(tokens[at : at + PIECE]) for at in whole)


def text_of(path: str) -> str:
    """The text of a file; of no file none. Raises DataError as `pieces`."""
    return read_text(Path(path)) if path else ""
