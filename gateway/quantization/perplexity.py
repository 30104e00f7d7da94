"""Perplexity of a text, as `llama-perplexity` defines and prints it.

The text is read in chunks of the context's length. Of each, the second half is evaluated: token
number i is predicted from all before it in its chunk, for i from n/2 + 1 to n - 1. Perplexity is
exp of the mean negative log-likelihood, and its standard error follows from that of the mean.
Reference: `perplexity` in llama.cpp's `tools/perplexity/perplexity.cpp`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Measured:
    """A mean over tokens, and its standard error; both NaN of no tokens."""

    value: float
    error: float


def log_softmax(logits: NDArray[np.float32]) -> Floats:
    """Log-probabilities in double precision, shape (vocabulary,)."""
    wide = logits.astype(np.float64)
    wide -= wide.max()
    wide -= np.log(np.exp(wide).sum())
    return wide


def mean_of(values: Sequence[float] | Floats) -> Measured:
    """The mean, with sqrt((mean of squares - square of mean) / (n - 1)) as its error."""
    array = np.asarray(values, dtype=np.float64)
    if array.size < 2:
        return Measured(float(array.mean()) if array.size else np.nan, np.nan)
    return Measured(float(array.mean()), float(array.std() / np.sqrt(array.size - 1)))


def perplexity(losses: Sequence[float] | Floats) -> Measured:
    """Of the negative log-likelihoods (in nats) of all evaluated tokens."""
    mean = mean_of(losses)
    value = float(np.exp(mean.value))
    return Measured(value, value * mean.error)


def first_evaluated(length: int) -> int:
    """The position in a chunk from which on logits are evaluated."""
    return length // 2
