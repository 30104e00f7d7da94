"""Log-probabilities in Ollama's shape: the model's own, before penalties and format."""

from collections.abc import Callable, Sequence

from gateway.core.types import TokenLogprob
from gateway.server.wire import Answered, finite


class TopLogprob(Answered):
    """A token that could have come."""

    token: str
    logprob: float
    bytes: list[int]


class TokenLogprobs(TopLogprob):
    """A token that came; without `top_logprobs` where none were asked for."""

    top_logprobs: list[TopLogprob] | None = None


def token_logprobs(
    entries: Sequence[TokenLogprob], piece: Callable[[int], bytes]
) -> list[TokenLogprobs]:
    """One entry a token.

    Args:
        piece: the bytes of a token.
    """

    def shown(token: int, text: str, logprob: float) -> dict[str, object]:
        return {"token": text, "logprob": finite(logprob), "bytes": list(piece(token))}

    found = []
    for entry in entries:
        fields = shown(entry.token_id, entry.text, entry.logprob)
        if entry.top:
            fields["top_logprobs"] = [shown(*alternative) for alternative in entry.top]
        found.append(TokenLogprobs.model_validate(fields))
    return found
