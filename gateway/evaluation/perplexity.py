"""How well a model still predicts an ordinary text: what is lost of it was forgotten in tuning.

Perplexity is taken as `gateway.quantization.perplexity` defines it, but through the engine, so that
adapters on torch and in llama.cpp are measured alike.
"""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.core.errors import DataError
from gateway.core.lists import plural
from gateway.engine.in_process import EngineBackend
from gateway.quantization.perplexity import Measured, first_evaluated, perplexity

CHUNK = 512
"""Tokens, or as many as the context has; the second half of each is evaluated."""
MOST_CHUNKS = 40
"""Read of a text: 10,240 evaluated tokens."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A text as one model predicts it."""

    perplexity: Measured
    tokens: int
    """That were evaluated."""


async def read(
    backend: EngineBackend,
    text: str,
    begin: Callable[[int], Callable[[], None]],
    *,
    chunk: int = CHUNK,
    most: int = MOST_CHUNKS,
) -> Reading:
    """Read a text's first chunks.

    Args:
        begin: told how many there are; answers what is called after each.

    Raises:
        DataError: the text is shorter than one chunk.
    """
    chunk = min(chunk, backend.context_length)
    tokens, before = backend.tokens_of(text)
    count = min(len(tokens) // chunk, most)
    if not count:
        raise DataError(
            f"the text has {plural(len(tokens), 'token')}; at least {chunk} are needed",
            hint="give a longer text",
        )
    done = begin(count)
    losses: list[float] = []
    for number in range(count):
        piece = tokens[number * chunk : (number + 1) * chunk]
        whole = [*before, *piece[len(before) :]]
        losses += [-each for each in await backend.read(whole, first_evaluated(chunk) + 1)]
        done()
    return Reading(perplexity(losses), len(losses))
