"""The job that generates a text token by token."""

import time
from collections.abc import Sequence

from gateway.core.types import FinishReason, Sampling, TokenLogprob
from gateway.engine.constraints import Matcher
from gateway.engine.context import Logits
from gateway.engine.jobs import Generated, Job, OnText, Step, Vocabulary
from gateway.engine.sampling import Floats, adjusted, choose, log_normalizer, most_likely
from gateway.engine.text import TextAssembler
from gateway.engine.thinking import ThoughtGuide, ThoughtRules


def generate(
    prompt: Sequence[int],
    vocabulary: Vocabulary,
    sampling: Sampling,
    *,
    logprobs: int | None = None,
    matcher: Matcher | None = None,
    thought: ThoughtRules | None = None,
    on_text: OnText | None = None,
) -> Job:
    """Generate token by token until an end token, a stop text, or `max_tokens`.

    Args:
        logprobs: record each token's log-probability and that many alternatives.
        matcher: the constraint's state; None lets every token through.
        thought: what holds for what it thinks; None: nothing does.
        on_text: called with each piece of text as soon as no stop text can take it back, and
            with the log-probabilities that were recorded since the last call.
    """
    (row,) = yield Step(0, prompt)
    prompt_done = time.perf_counter()
    assembler = TextAssembler(sampling.stop)
    guide = ThoughtGuide(thought, vocabulary) if thought is not None else None
    ids: list[int] = []
    ends: list[int] = []
    recorded: list[TokenLogprob] = []
    told = 0
    reason: FinishReason = "length"
    while True:
        wanted = adjusted(row, sampling, prompt, ids)
        masks = matcher if guide is None or guide.answers else None
        allowed = wanted if masks is None else masks.masked(wanted)
        token = choose(allowed, sampling, len(ids))
        token = token if guide is None else guide.instead_of(token)
        written = guide.written if guide is not None else 0
        if token in vocabulary.end_tokens and not written:
            reason = "stop"
            break
        ids.append(token)
        if logprobs is not None:
            recorded.append(_token_logprob(row, allowed, token, logprobs, vocabulary))
        if written == 1:
            assembler.finish()  # What the model wrote ends here, and half a character of it.
            ends[-1:] = [len(assembler.text)] if ends else []
        assembler.add(vocabulary.piece(token))
        ends.append(len(assembler.text))
        if guide is not None:
            guide.saw(assembler.text)
        if on_text and (fresh := assembler.release()):
            on_text(fresh, tuple(recorded[told:]))
            told = len(recorded)
        if assembler.stopped or (masks is not None and masks.finished_by(token)):
            reason = "stop"
            break
        if len(ids) == sampling.max_tokens:
            break
        (row,) = yield Step(len(prompt) + len(ids) - 1, [token])
    assembler.finish()
    ends[-1:] = [len(assembler.text)] if ends else []
    if on_text and (fresh := assembler.release(final=True)):
        on_text(fresh, tuple(recorded[told:]))
    return Generated(
        assembler.text,
        tuple(ids),
        reason,
        tuple(recorded) if logprobs is not None else None,
        prompt_done,
        tuple(min(end, len(assembler.text)) for end in ends),
    )


def _token_logprob(
    row: Logits, allowed: Floats, token: int, count: int, vocabulary: Vocabulary
) -> TokenLogprob:
    """Before and, where they differ, after penalties, bias and constraint."""
    logprob, top = _ranked(row, token, count, vocabulary)
    after, allowed_top = (
        (None, ()) if allowed is row else _ranked(allowed, token, count, vocabulary)
    )
    text = _text(vocabulary, token)
    return TokenLogprob(token, text, logprob, top, after, allowed_top)


def _ranked(
    row: Floats, token: int, count: int, vocabulary: Vocabulary
) -> tuple[float, tuple[tuple[int, str, float], ...]]:
    """A token's log-probability and the most likely tokens; equal ones in order of their ids."""
    normalizer = log_normalizer(row)
    top = tuple(
        (i, _text(vocabulary, i), float(row[i]) - normalizer) for i in most_likely(row, count)
    )
    return float(row[token]) - normalizer, top


def _text(vocabulary: Vocabulary, token: int) -> str:
    return vocabulary.piece(token).decode("utf-8", errors="replace")
