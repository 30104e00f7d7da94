"""How far a model's predictions of a text are from its reference's.

The quantities are those of `llama-perplexity --kl-divergence`, by the same definitions
(`kl_divergence` in llama.cpp's `tools/perplexity/perplexity.cpp`). There the reference's
log-probabilities have passed through a file in 16 bits, steps of up to 0.00024 nats, and what is
less likely than exp(-16) is left out; here they are exact. A mean KL differs by that in its third
or fourth digit, the smallest quantiles more; `in_16_bits` rounds as the file does.

Reference for KL as a measure of quantization: Dutta et al., "Accuracy is Not All You Need",
NeurIPS 2024, arXiv:2407.09141.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from gateway.quantization.perplexity import Floats, Measured, mean_of, perplexity

QUANTILES = (0.0, 0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1.0)
"""Of the values of single tokens: minimum, median and maximum among them."""

Quantiles = Mapping[float, float]


@dataclass(frozen=True, slots=True)
class Divergence:
    """A model beside its reference, over all evaluated tokens. Logarithms are natural."""

    tokens: int
    perplexity: Measured
    reference_perplexity: Measured
    correlation: float
    """Of both models' losses of single tokens, from -1 to 1; NaN where one has no variance."""
    log_ratio: Measured
    """ln(perplexity / reference's): the mean difference of the losses."""
    log_ratios: Quantiles
    """The difference of the losses of single tokens."""
    ratio: Measured
    """perplexity / reference's."""
    difference: Measured
    """perplexity - reference's."""
    kl: Measured
    """Kullback-Leibler divergence from the reference to the model, in nats a token."""
    kls: Quantiles
    change: Measured
    """Of the true token's probability, model - reference, from -1 to 1."""
    changes: Quantiles
    rms_change: Measured
    """Root of the mean square of that change."""
    same_top: Measured
    """Share of tokens where both find the same token most likely."""


LEAST_IN_A_FILE = -16.0
"""What llama-perplexity's file holds of log-probabilities and its divergence counts, in nats."""


@dataclass(slots=True)
class Tokens:
    """What is kept of every evaluated token, in their order."""

    least: float = -np.inf
    """The divergence leaves out what the reference finds no likelier, in nats."""
    losses: list[float] = field(default_factory=list)
    reference_losses: list[float] = field(default_factory=list)
    kls: list[float] = field(default_factory=list)
    same_top: list[bool] = field(default_factory=list)

    def add(self, reference: Floats, model: Floats, true: int) -> None:
        """Take one token.

        Args:
            reference: log-probabilities, shape (vocabulary,); -inf where a token is impossible.
            model: the same of the model.
            true: the token that comes next in the text.
        """
        self.losses.append(-float(model[true]))
        self.reference_losses.append(-float(reference[true]))
        self.kls.append(kl_divergence(reference, model, self.least))
        self.same_top.append(int(reference.argmax()) == int(model.argmax()))


def in_16_bits(logprobs: Floats) -> Floats:
    """Log-probabilities as llama-perplexity's file of them holds them, shape (vocabulary,).

    Integers of 16 bits between the largest and 16 nats below it, or the smallest where that is
    nearer. Reference: the `log_softmax` that writes them, in `perplexity.cpp`.
    """
    most = logprobs.max()
    least = max(logprobs.min(), most + LEAST_IN_A_FILE)
    if least == most:
        return logprobs
    step = (most - least) / 65535
    rounded: Floats = least + step * np.rint(np.maximum(logprobs - least, 0) / step)
    return rounded


def kl_divergence(reference: Floats, model: Floats, least: float = -np.inf) -> float:
    """Of two vectors of log-probabilities, in nats; what is impossible adds nothing.

    Args:
        least: leave out what the reference finds no likelier.
    """
    possible = reference > least
    known, found = reference[possible], model[possible]
    return float(np.exp(known) @ (known - found))


def divergence(tokens: Tokens) -> Divergence:
    """The figures of at least two tokens."""
    losses = np.asarray(tokens.losses)
    known = np.asarray(tokens.reference_losses)
    changes = np.exp(-losses) - np.exp(-known)
    ppl, reference_ppl = perplexity(losses), perplexity(known)
    log_ratio = mean_of(losses - known)
    ratio = float(np.exp(log_ratio.value))
    return Divergence(
        tokens=losses.size,
        perplexity=ppl,
        reference_perplexity=reference_ppl,
        correlation=_correlation(losses, known),
        log_ratio=log_ratio,
        log_ratios=_quantiles(losses - known),
        ratio=Measured(ratio, ratio * log_ratio.error, ratio * log_ratio.reach),
        difference=replace(
            mean_of(ppl.value * losses - reference_ppl.value * known),
            value=ppl.value - reference_ppl.value,
        ),
        kl=mean_of(tokens.kls),
        kls=_quantiles(np.asarray(tokens.kls)),
        change=mean_of(changes),
        changes=_quantiles(changes),
        rms_change=_root(mean_of(changes**2)),
        same_top=mean_of(np.asarray(tokens.same_top, dtype=np.float64)),
    )


def _root(square: Measured) -> Measured:
    """The root of a mean, its error to first order."""
    root = float(np.sqrt(square.value))
    shrunk = 0.5 / root if root > 0 else 0.0
    return Measured(root, square.error * shrunk, square.reach * shrunk)


def _correlation(a: Floats, b: Floats) -> float:
    if a.std() == 0 or b.std() == 0:
        return np.nan
    return min(float(np.corrcoef(a, b)[0, 1]), 1.0)


def _quantiles(values: Floats) -> Quantiles:
    """Between two values linearly, as llama.cpp does."""
    return dict(zip(QUANTILES, map(float, np.quantile(values, QUANTILES)), strict=True))
