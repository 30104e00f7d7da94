"""What a request asks of the engine: a job, written as a straight-line generator.

A job yields `Step`s and is sent the logits that each step produced. It knows nothing of other
jobs, batches or caches; the engine decides when and with whom a step runs.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gateway.core.types import FinishReason, TokenLogprob
from gateway.engine.context import Logits


@dataclass(frozen=True, slots=True)
class Step:
    """Make the sequence hold its first `keep` tokens and then `tokens`."""

    keep: int
    tokens: Sequence[int]
    outputs: int = 1
    """The logits after each of the last `outputs` tokens are wanted, at least 1."""
    returns: bool = False
    """The job comes back to where this step ends, and goes on from there otherwise."""


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
    ends: tuple[int, ...] = ()
    """Of each token, how many characters of the text there are behind it."""


@dataclass(frozen=True, slots=True)
class Scored:
    """What `score` found: one entry a label, in the order asked."""

    logprobs: tuple[float, ...]
    """Of a label that was not finished, that of the beginning that was."""
    prompt_done: float
    forwarded: int
    """Tokens that the labels added to the prompt."""
    unfinished: tuple[tuple[int, ...], ...] = ()
    """Labels that have one beginning in common, behind which nothing was computed."""
    ending: float = 0.0
    """As `LabelScores.ending`."""
    exact: bool = True
    """As `LabelScores.exact`."""


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
