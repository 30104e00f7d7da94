"""Log-probabilities in OpenAI's two shapes.

They are the model's own, from the full softmax before penalties, bias and constraints.
"""

from collections.abc import Callable, Iterable, Sequence

from gateway.core.types import TokenLogprob
from gateway.server.openai.chat_wire import ChoiceLogprobs, TokenLogprobs, TopLogprob
from gateway.server.wire import finite

Piece = Callable[[int], bytes]


def chat_logprobs(entries: Sequence[TokenLogprob], piece: Piece) -> ChoiceLogprobs:
    """The chat endpoint's shape. `bytes` are the token's own, also where it is half a character.

    Args:
        piece: the bytes of a token.
    """
    content = [
        TokenLogprobs(
            token=entry.text,
            logprob=finite(entry.logprob),
            bytes=list(piece(entry.token_id)),
            top_logprobs=_tops(entry.top, piece),
        )
        for entry in entries
    ]
    return ChoiceLogprobs(content=content, refusal=None)


def _tops(top: Iterable[tuple[int, str, float]], piece: Piece) -> list[TopLogprob]:
    return [
        TopLogprob(token=text, logprob=finite(logprob), bytes=list(piece(token)))
        for token, text, logprob in top
    ]
