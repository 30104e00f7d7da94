"""Perplexity of a text, as `llama-perplexity` defines and prints it.

The text is read in chunks of the context's length. Of each, the second half is evaluated: token
number i is predicted from all before it in its chunk, for i from n/2 + 1 to n - 1. Perplexity is
exp of the mean negative log-likelihood, and its standard error follows from that of the mean.
Reference: `perplexity` in llama.cpp's `tools/perplexity/perplexity.cpp`.

That error takes tokens as independent, and a text that is hard in one place is hard in the next.
What is shown beside a mean is therefore half of a 95% interval for which blocks of neighbours are
resampled (Künsch 1989, "The jackknife and the bootstrap for general stationary observations"; in a
circle: Politis and Romano 1992).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_NORMAL = 1.959964
_FEWEST_FOR_BLOCKS = 9
"""Tokens; of fewer, blocks would be three or less."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A mean over tokens, and how sure it is; all NaN of no tokens."""

    value: float
    error: float
    """Its standard error, as the tool has it: were the tokens independent."""
    reach: float = np.nan
    """Half of its 95% interval, by blocks of neighbouring tokens."""


def log_softmax(logits: NDArray[np.float32]) -> Floats:
    """Log-probabilities in double precision, shape (vocabulary,)."""
    wide = logits.astype(np.float64)
    wide -= wide.max()
    wide -= np.log(np.exp(wide).sum())
    return wide


def mean_of(values: Sequence[float] | Floats) -> Measured:
    """The mean, with sqrt((mean of squares - square of mean) / (n - 1)) as its error.

    Args:
        values: in the order of the text.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.size < 2:
        return Measured(float(array.mean()) if array.size else np.nan, np.nan)
    error = float(array.std() / np.sqrt(array.size - 1))
    return Measured(float(array.mean()), error, _NORMAL * _block_error(array))


def _block_error(values: Floats) -> float:
    """What resampling circular blocks of about sqrt(n) comes to in the limit of all resamples, so
    that it needs no seed: the deviation of the means of all blocks, by the root of how many fit."""
    length = round(np.sqrt(values.size)) if values.size >= _FEWEST_FOR_BLOCKS else 1
    sums = np.concatenate([[0.0], np.concatenate([values, values[: length - 1]]).cumsum()])
    means = (sums[length:] - sums[:-length]) / length
    return float(means.std() / np.sqrt(values.size / length - 1))


def perplexity(losses: Sequence[float] | Floats) -> Measured:
    """Of the negative log-likelihoods (in nats) of all evaluated tokens, in the text's order."""
    mean = mean_of(losses)
    value = float(np.exp(mean.value))
    return Measured(value, value * mean.error, value * mean.reach)


def first_evaluated(length: int) -> int:
    """The position in a chunk from which on logits are evaluated."""
    return length // 2
