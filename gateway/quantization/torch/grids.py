"""Even grids: the whole numbers that stand for a matrix's weights, and the steps between them.

A step is rounded to 16 bits before numbers are chosen with it, because that is how it is stored.
"""

import torch

from gateway.backends.transformers.packing import Numbers


def symmetric(weights: torch.Tensor, bits: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Steps and zeros of rows of weights, shape (outputs,) each: the zero in the grid's middle."""
    top = 2**bits - 1
    return _steps(2 * weights.abs().amax(1), top), torch.full((len(weights),), (top + 1) / 2)


def asymmetric(weights: torch.Tensor, bits: int) -> tuple[torch.Tensor, torch.Tensor]:
    """As `symmetric`, from the smallest weight to the largest, with nothing between them."""
    top = 2**bits - 1
    low, high = weights.amin(1).clamp(max=0), weights.amax(1).clamp(min=0)
    step = _steps(high - low, top)
    return step, (-low / step).round().clamp(0, top)


def _steps(width: torch.Tensor, top: int) -> torch.Tensor:
    least = torch.finfo(torch.float16)
    # Where all weights are nothing, any step will do.
    return (width / top).clamp(least.smallest_normal, least.max).half().float()


def numbers_of(
    weights: torch.Tensor, step: torch.Tensor, zero: torch.Tensor, bits: int
) -> torch.Tensor:
    """The nearest number of each weight; the others' shapes fit that of the weights."""
    return ((weights / step).round() + zero).clamp(0, 2**bits - 1)


def rounded(weights: torch.Tensor, bits: int, group: int) -> Numbers:
    """Each weight to its nearest number, on an asymmetric grid.

    Args:
        weights: shape (outputs, inputs).
        group: inputs that share a step; the inputs are a whole number of groups. -1: all.
    """
    outputs, inputs = weights.shape
    size = group if group > 0 else inputs
    rows = weights.reshape(-1, size)
    step, zero = (each[:, None] for each in asymmetric(rows, bits))
    numbers = numbers_of(rows, step, zero, bits)
    return Numbers(
        numbers.reshape(outputs, inputs).T.int(),
        zero.reshape(outputs, -1).T.int(),
        step.reshape(outputs, -1).T.half(),
        torch.arange(inputs) // size,
    )
