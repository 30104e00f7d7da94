"""What a request asks of the engine, written as straight-line generators.

A job yields `Step`s and is sent the logits that each step produced. It knows nothing of other
jobs, batches or caches; the engine decides when and with whom a step runs.
"""

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gateway.core.types import FinishReason, Sampling, TokenLogprob
from gateway.engine.constraints import Matcher
from gateway.engine.context import OUTPUTS_PER_PASS, Logits
from gateway.engine.sampling import Floats, adjusted, choose, log_normalizer, log_sum, most_likely
from gateway.engine.text import TextAssembler
from gateway.engine.trie import TrieNode, build_trie


@dataclass(frozen=True, slots=True)
class Step:
    """Make the sequence hold its first `keep` tokens and then `tokens`."""

    keep: int
    tokens: Sequence[int]
    outputs: int = 1
    """The logits after each of the last `outputs` tokens are wanted, at least 1."""


_CHAIN_TOKENS = 32
"""Most tokens of an unbranched stretch of the label trie that one step forwards."""

OnText = Callable[[str, tuple[TokenLogprob, ...]], None]

Job = Generator[Step, Sequence[Logits], "Answer"]


@dataclass(frozen=True, slots=True)
class Generated:
    """What `generate` found."""

    text: str
    token_ids: tuple[int, ...]
    finish_reason: FinishReason
    logprobs: tuple[TokenLogprob, ...] | None
    prompt_done: float
    """`time.perf_counter()` when the prompt's logits came."""


@dataclass(frozen=True, slots=True)
class Scored:
    """What `score` found: one entry a label, in the order asked."""

    logprobs: tuple[float, ...]
    prompt_done: float


@dataclass(frozen=True, slots=True)
class Read:
    """What `read` found: one entry a token, in their order."""

    logprobs: tuple[float, ...]
    prompt_done: float


Answer = Generated | Scored | Read


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The few facts about tokens that generating and scoring need."""

    piece: Callable[[int], bytes]
    end_tokens: frozenset[int]
    """Ids that end a generation."""
    stop_ids: NDArray[np.intp]
    """Ids whose probabilities sum to that of the answer ending here."""


def generate(
    prompt: Sequence[int],
    vocabulary: Vocabulary,
    sampling: Sampling,
    *,
    logprobs: int | None = None,
    matcher: Matcher | None = None,
    on_text: OnText | None = None,
) -> Job:
    """Generate token by token until an end token, a stop text, or `max_tokens`.

    Args:
        logprobs: record each token's log-probability and that many alternatives.
        matcher: the constraint's state; None lets every token through.
        on_text: called with each piece of text as soon as no stop text can take it back, and
            with the log-probabilities that were recorded since the last call.
    """
    (row,) = yield Step(0, prompt)
    prompt_done = time.perf_counter()
    assembler = TextAssembler(sampling.stop)
    ids: list[int] = []
    recorded: list[TokenLogprob] = []
    told = 0
    reason: FinishReason = "length"
    while True:
        wanted = adjusted(row, sampling, prompt, ids)
        allowed = wanted if matcher is None else matcher.masked(wanted)
        token = choose(allowed, sampling, len(ids))
        if token in vocabulary.end_tokens:
            reason = "stop"
            break
        ids.append(token)
        if logprobs is not None:
            recorded.append(_token_logprob(row, allowed, token, logprobs, vocabulary))
        assembler.add(vocabulary.piece(token))
        if on_text and (fresh := assembler.release()):
            on_text(fresh, tuple(recorded[told:]))
            told = len(recorded)
        if assembler.stopped or (matcher is not None and matcher.finished_by(token)):
            reason = "stop"
            break
        if len(ids) == sampling.max_tokens:
            break
        (row,) = yield Step(len(prompt) + len(ids) - 1, [token])
    assembler.finish()
    if on_text and (fresh := assembler.release(final=True)):
        on_text(fresh, tuple(recorded[told:]))
    return Generated(
        assembler.text,
        tuple(ids),
        reason,
        tuple(recorded) if logprobs is not None else None,
        prompt_done,
    )


def score(prompt: Sequence[int], labels: Sequence[Sequence[int]], vocabulary: Vocabulary) -> Job:
    """For each label, the log-probability of its tokens after the prompt and of stopping there.

    Every node of the label trie is forwarded once.
    """
    (row,) = yield Step(0, prompt)
    prompt_done = time.perf_counter()
    results = [0.0] * len(labels)
    root = build_trie(labels)
    pending = _visit(root, row, 0.0, vocabulary, results)
    depth = [len(prompt)] * len(pending)
    while pending:
        token, node, so_far = pending.pop()
        keep = depth.pop()
        chain = _chain(token, node)
        rows = yield Step(keep, [t for t, _ in chain], outputs=len(chain))
        for (_, member), row in zip(chain, rows, strict=True):
            keep += 1
            children = _visit(member, row, so_far, vocabulary, results)
            if len(children) == 1:
                so_far = children[0][2]
        if len(chain[-1][1].children) > 1 or len(chain) == _CHAIN_TOKENS:
            pending += children
            depth += [keep] * len(children)
    return Scored(tuple(results), prompt_done)


def read(tokens: Sequence[int], first: int) -> Job:
    """The log-probability of each token from number `first` on, given all before it.

    Args:
        first: from 1 to the number of tokens less one.
    """
    (row,) = yield Step(0, tokens[:first])
    prompt_done = time.perf_counter()
    found = [float(row[tokens[first]]) - log_normalizer(row)]
    # Behind the last token nothing is asked.
    for start in range(first, len(tokens) - 1, OUTPUTS_PER_PASS):
        piece = tokens[start : min(start + OUTPUTS_PER_PASS, len(tokens) - 1)]
        rows = yield Step(start, piece, outputs=len(piece))
        for number, row in enumerate(rows, start + 1):
            found.append(float(row[tokens[number]]) - log_normalizer(row))
    return Read(tuple(found), prompt_done)


def _chain(token: int, node: TrieNode) -> list[tuple[int, TrieNode]]:
    """The node and those below it up to the first branching: one step forwards them together."""
    chain = [(token, node)]
    while len(node.children) == 1 and len(chain) < _CHAIN_TOKENS:
        ((token, node),) = node.children.items()
        chain.append((token, node))
    return chain


def _visit(
    node: TrieNode, row: Logits, so_far: float, vocabulary: Vocabulary, results: list[float]
) -> list[tuple[int, TrieNode, float]]:
    """Settle the labels that end at a node; return its children with their log-probabilities."""
    normalizer = log_normalizer(row)
    if node.ends:
        stop = so_far + log_sum(row[vocabulary.stop_ids]) - normalizer
        for index in node.ends:
            results[index] = stop
    return [
        (token, child, so_far + float(row[token]) - normalizer)
        for token, child in node.children.items()
    ]


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
