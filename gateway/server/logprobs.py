"""Log-probabilities of tokens, in the shape that OpenAI's chat and Ollama's answers share.

They are the model's own, from the full softmax before penalties, bias and constraints.
"""

from collections.abc import Callable, Sequence

from gateway.core.types import TokenLogprob
from gateway.server.wire import Answered, finite


class TopLogprob(Answered):
    """A token that could have come."""

    token: str
    logprob: float
    bytes: list[int]


class TokenLogprobs(TopLogprob):
    """A token that came."""

    top_logprobs: list[TopLogprob] | None = None


def token_logprobs(
    entries: Sequence[TokenLogprob], piece: Callable[[int], bytes], *, always_top: bool
) -> list[TokenLogprobs]:
    """One entry a token. `bytes` are the token's own, also where it is half a character.

    Args:
        piece: the bytes of a token.
        always_top: `top_logprobs` is there too where no alternatives were asked for.
    """

    def shown(token: int, text: str, logprob: float) -> dict[str, object]:
        return {"token": text, "logprob": finite(logprob), "bytes": list(piece(token))}

    found = []
    for entry in entries:
        fields = shown(entry.token_id, entry.text, entry.logprob)
        if entry.top or always_top:
            fields["top_logprobs"] = [shown(*alternative) for alternative in entry.top]
        found.append(TokenLogprobs.model_validate(fields))
    return found
