"""Label scores from a server that tells the 20 most likely next tokens.

The prompt is sent with a label's tokens appended one by one, one token being asked for each time,
and the label's next token is looked for among the 20. Where it is not, its probability is at most
that of the last of them, and at most what the 20 leave over: the score is then an upper bound.

What ends an answer are control tokens, of which the server tells no name: all have an empty text.
Which one is meant is only certain of the most likely token, where the model ends its answer at
once. The others may or may not end it: where, counted in full, they add less than `EXACT_WITHIN`,
the score is taken for exact without them, else it is the upper bound with them.
"""

import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from gateway.backends.ollama.tokens import ServerReader
from gateway.engine.trie import TrieNode, build_trie

EXACT_WITHIN = 0.01
"""Nats by which a score may be too low and still be called exact: a tenth of what the same
question asked twice changes on such a server."""
_LEAST = 1e-9
"""What the 20 leave over at least, against rounding."""


@dataclass(frozen=True, slots=True)
class Alternatives:
    """The most likely next tokens: bytes, none for control tokens, and log-probability."""

    tokens: tuple[tuple[bytes, float], ...]
    ends_at_once: bool = False
    """The most likely one of all ends the answer."""

    @property
    def unseen(self) -> float:
        """Log-probability that no token can have that is not among them."""
        rest = 1.0 - sum(math.exp(logprob) for _, logprob in self.tokens)
        return min([math.log(max(rest, _LEAST)), *(logprob for _, logprob in self.tokens)])


Ask = Callable[[Sequence[int]], Awaitable[Alternatives | None]]
"""What follows these tokens; None where no text makes the server read them."""


@dataclass(frozen=True, slots=True)
class LabelScore:
    """Of one label: its log-probability, or an upper bound of it."""

    logprob: float
    exact: bool


@dataclass(frozen=True, slots=True)
class Stops:
    """The tokens that end an answer."""

    written: frozenset[bytes]
    """Bytes of those that have any."""
    hidden: int
    """How many have none."""


async def score(
    prompt: Sequence[int],
    labels: Sequence[Sequence[int]],
    stops: Stops,
    reader: ServerReader,
    ask: Ask,
) -> list[LabelScore]:
    """Scores of all labels, in their order; what they have in common is asked once."""
    found: list[LabelScore | None] = [None] * len(labels)
    waiting: list[tuple[list[int], TrieNode, LabelScore]] = [
        ([], build_trie(labels), LabelScore(0.0, exact=True))
    ]
    while waiting:
        path, node, so_far = waiting.pop()
        alternatives = await ask([*prompt, *path])
        for index in node.ends:
            found[index] = _then(so_far, _end(alternatives, stops, reader))
        for token, child in node.children.items():
            next_one = _token(alternatives, reader.vocabulary.piece(token), reader)
            waiting.append(([*path, token], child, _then(so_far, next_one)))
    return [each for each in found if each is not None]


def _then(first: LabelScore, second: LabelScore) -> LabelScore:
    return LabelScore(first.logprob + second.logprob, first.exact and second.exact)


def _token(alternatives: Alternatives | None, data: bytes, reader: ServerReader) -> LabelScore:
    """Of one token. A probability of at most 1 is all that is known where nothing was asked."""
    if alternatives is None:
        return LabelScore(0.0, exact=False)
    seen = [logprob for each, logprob in alternatives.tokens if data and each == data]
    if not seen:
        return LabelScore(alternatives.unseen, exact=False)
    return LabelScore(max(seen), exact=len(seen) == 1 and reader.is_unique(data))


def _end(alternatives: Alternatives | None, stops: Stops, reader: ServerReader) -> LabelScore:
    """Of the answer ending here: the sum over all tokens that end it."""
    if alternatives is None:
        return LabelScore(0.0, exact=False)
    sure: list[float] = []
    unsure: list[float] = []
    for number, (data, logprob) in enumerate(alternatives.tokens):
        if (number == 0 and alternatives.ends_at_once) or (
            data in stops.written and reader.is_unique(data)
        ):
            sure.append(math.exp(logprob))
        elif not data or data in stops.written:
            unsure.append(math.exp(logprob))
    missing = len(stops.written) + stops.hidden - len(sure) - len(unsure)
    rest = max(1.0 - sum(math.exp(logprob) for _, logprob in alternatives.tokens), _LEAST)
    extra = sum(unsure) + min(rest, max(0, missing) * math.exp(alternatives.unseen))
    known, most = sum(sure), sum(sure) + extra
    if known and math.log(most / known) < EXACT_WITHIN:
        return LabelScore(math.log(known), exact=True)
    return LabelScore(min(0.0, math.log(max(most, _LEAST))), exact=False)
