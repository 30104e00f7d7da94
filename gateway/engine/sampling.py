"""From logits to the next token: greedy at temperature zero, else seeded and counter-based.

The draw for token number n of a request depends on its seed, the number of its sample and n only,
so that the same seed gives the same text whatever runs beside it.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gateway.core.errors import InvalidRequest
from gateway.core.types import Sampling

Floats = NDArray[np.float32] | NDArray[np.float64]


def log_normalizer(logits: Floats) -> float:
    """ln of the sum of exponentials, in double precision. Input shape: (vocabulary,)."""
    wide = logits.astype(np.float64)
    top = float(wide.max())
    return top + float(np.log(np.exp(wide - top).sum()))


def log_sum(values: Floats) -> float:
    """ln(sum(exp(values))) of a non-empty vector; -inf where every value is."""
    top = float(values.max())
    if top == -np.inf:
        return top
    return top + float(np.log(np.exp(values.astype(np.float64) - top).sum()))


def most_likely(logits: Floats, count: int) -> list[int]:
    """Ids of the largest logits, largest first, equal ones in order of their ids; forbidden tokens
    (-inf) are left out. Sorts no more of the vocabulary than it returns, ties apart."""
    count = min(count, len(logits))
    if count == 0:
        return []
    least = np.partition(logits, len(logits) - count)[len(logits) - count]
    ids = np.flatnonzero((logits >= least) & (logits > -np.inf))
    order = np.argsort(-logits[ids], kind="stable")[:count]
    return [int(i) for i in ids[order]]


def adjusted(
    logits: Floats, sampling: Sampling, prompt: Sequence[int], answer: Sequence[int]
) -> Floats:
    """Logits after repetition penalty, presence and frequency penalties, and bias, in that order.

    The row itself where nothing changes, else a copy in double precision.

    Args:
        prompt: the ids that were read; only the repetition penalty counts them.
        answer: the ids generated so far.

    Raises:
        InvalidRequest: a bias is for a token that the vocabulary lacks.
    """
    plain = sampling.presence_penalty == 0.0 == sampling.frequency_penalty
    if plain and sampling.repetition_penalty == 1.0 and not sampling.logit_bias:
        return logits
    changed = logits.astype(np.float64)
    if sampling.repetition_penalty != 1.0:
        seen = np.unique(np.array([*prompt, *answer], dtype=np.intp))
        values, penalty = changed[seen], sampling.repetition_penalty
        changed[seen] = np.where(values > 0, values / penalty, values * penalty)
    if not plain and answer:
        ids, counts = np.unique(np.array(answer, dtype=np.intp), return_counts=True)
        changed[ids] -= sampling.presence_penalty + sampling.frequency_penalty * counts
    for token, bias in sampling.logit_bias:
        if token >= len(changed):
            raise InvalidRequest(
                f"logit_bias is for token {token}; the vocabulary has {len(changed)}",
                parameter="logit_bias",
            )
        changed[token] += bias
    return changed


def choose(logits: Floats, sampling: Sampling, position: int) -> int:
    """The next token's id.

    Args:
        logits: shape (vocabulary,); forbidden tokens at -inf.
        position: how many tokens this request has already generated.
    """
    if sampling.temperature == 0.0:
        return int(np.argmax(logits))
    ids, probabilities = _candidates(logits, sampling)
    # As uint64 arrays: numpy passes a list with a large integer through floats and loses digits.
    key = np.array([sampling.seed, sampling.sample], dtype=np.uint64)
    counter = np.array([0, 0, 0, position], dtype=np.uint64)
    bits = np.random.Philox(key=key, counter=counter)
    draw = np.random.Generator(bits).random()
    index = int(np.searchsorted(np.cumsum(probabilities), draw * probabilities.sum(), "right"))
    return int(ids[min(index, len(ids) - 1)])


def _candidates(logits: Floats, sampling: Sampling) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Ids and probabilities left by top-k, top-p and min-p in that order, most likely first."""
    scaled = logits.astype(np.float64) / sampling.temperature
    ids = np.argsort(-scaled, kind="stable")
    if sampling.top_k:
        ids = ids[: sampling.top_k]
    probabilities = np.exp(scaled[ids] - scaled[ids[0]])
    probabilities /= probabilities.sum()
    kept = len(ids)
    if sampling.top_p < 1.0:
        kept = int(np.searchsorted(np.cumsum(probabilities), sampling.top_p)) + 1
    if sampling.min_p > 0.0:
        floor = sampling.min_p * probabilities[0]
        kept = min(kept, int((probabilities >= floor).sum()))
    kept = max(kept, 1)
    return ids[:kept], probabilities[:kept]
