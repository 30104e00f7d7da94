"""Memory of a training on one device, term by term, at the moment when it is largest.

A step has four moments: the loss, where the logits are beside all that the forward pass kept; the
first and the last block going backward; and the optimizer's step. Counted is what torch allocates
(`torch.cuda.max_memory_allocated`); what is beside it is in `BESIDE`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from gateway.tuning.plan import activations
from gateway.tuning.plan.architecture import Architecture
from gateway.tuning.plan.figures import Figure, number, times, total
from gateway.tuning.plan.parameters import count, linears, lora, quantizable
from gateway.tuning.plan.setup import HALF, OPTIMIZERS, Setup

NF4_BLOCK, NF4_SECOND_BLOCK = 64, 256
"""Weights that share a scale, and scales that share one (QLoRA, arXiv:2305.14314, section 3)."""
NF4_BITS = 4 + 32 / NF4_BLOCK
"""A weight, its float32 scale included: 4.5."""
NF4_DOUBLE_BITS = 4 + 8 / NF4_BLOCK + 32 / (NF4_BLOCK * NF4_SECOND_BLOCK)
"""The same with scales of 8 bits: 4.127."""
BESIDE = (0.5e9, 1.3e9)
"""Bytes of the CUDA context and loaded kernels, beside what torch allocates: about 0.5 GB with
kernels that are loaded when first used (CUDA 11.7 and later), 1.3 GB where all are loaded (Hugging
Face, "Model training anatomy"). Not in any total here, and neither is what torch reserves beyond
what it allocates."""
_GATHERED = 2
"""Blocks whose weights are whole while ZeRO 3 computes: the one at work and the one fetched."""


@dataclass(frozen=True, slots=True)
class TrainingMemory:
    """Bytes on one device."""

    setup: Setup
    moments: Mapping[str, tuple[Figure, ...]]
    """What is in memory at each moment of a step."""

    @property
    def peak(self) -> str:
        """The moment at which most is."""
        return max(self.moments, key=lambda moment: total(self.moments[moment]))

    @property
    def figures(self) -> tuple[Figure, ...]:
        """What is in memory then."""
        return self.moments[self.peak]

    @property
    def total(self) -> float:
        return total(self.figures)


def training_memory(a: Architecture, s: Setup) -> TrainingMemory:
    """What training the model takes on each device."""
    gradients = _gradients(a, s)
    held = (*_weights(a, s), _states(a, s))
    # From the second forward pass of a step on, the gradients of those before are there.
    before = (gradients,) if s.accumulate > 1 else ()
    computing = (*held, *_computing(a, s))
    kept = activations.kept(a, s)
    block = (*activations.of_a_block(a, s), activations.within_a_block(a, s))
    moments = {"loss": (*computing, *before, *kept, *activations.head(a, s))}
    if s.checkpointing:
        moments["first block backward"] = (*computing, *before, *kept, *block)
    moments["last block backward"] = (*computing, gradients, *block)
    moments["optimizer step"] = (*held, gradients, *_step(a, s))
    return TrainingMemory(s, moments)


def trained(a: Architecture, s: Setup) -> int:
    """How many weights are."""
    return count(a) if s.method == "full" else int(total(lora(a, s.rank, s.targets)))


def _weights(a: Architecture, s: Setup) -> Iterator[Figure]:
    shares, weights = s.share(3), count(a)
    if s.method == "full":
        yield _shared("weights", weights, s.trained_width, shares)
        return
    if s.method == "lora":
        yield _shared("base weights", weights, HALF, shares)
    else:
        bits = NF4_DOUBLE_BITS if s.double_quantization else NF4_BITS
        yield _shared("base weights in NF4", quantizable(a), bits / 8, shares)
        yield _shared("other weights", weights - quantizable(a), s.stream_width, shares)
    yield _shared("LoRA weights", trained(a, s), s.trained_width, shares)


def _states(a: Architecture, s: Setup) -> Figure:
    optimizer = OPTIMIZERS[s.optimizer]
    width = optimizer.states * (optimizer.width or s.trained_width)
    return _shared(f"states of {s.optimizer}", trained(a, s), width, s.share(1))


def _gradients(a: Architecture, s: Setup) -> Figure:
    return _shared("gradients", trained(a, s), s.trained_width, s.share(2))


def _step(a: Architecture, s: Setup) -> Iterator[Figure]:
    if copies := OPTIMIZERS[s.optimizer].copies:
        width = copies * s.trained_width
        yield _shared(f"copies {s.optimizer} makes", trained(a, s), width, s.share(1))


def _computing(a: Architecture, s: Setup) -> Iterator[Figure]:
    """What is there while the model computes, and only then."""
    block = sum(x.weights for x in linears(a))
    if s.mixed:
        matrices = quantizable(a) + a.vocabulary * a.hidden
        yield _shared("bfloat16 copies", matrices, HALF, s.share(3))
    if s.method == "qlora":
        largest = max(x.weights for x in linears(a))
        yield Figure("one matrix dequantized", largest * HALF, times(largest, HALF))
    if s.share(3) > 1:
        bits = NF4_DOUBLE_BITS if s.method == "qlora" else 8 * HALF
        value = _GATHERED * block * bits / 8
        yield Figure("blocks gathered", value, f"{times(_GATHERED, block, bits)} / 8")


def _shared(name: str, numbers: int, width: float, shares: int) -> Figure:
    formula = times(numbers, width) + (f" / {number(shares)}" if shares > 1 else "")
    return Figure(name, numbers * width / shares, formula)
