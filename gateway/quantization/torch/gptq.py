"""GPTQ: the error of each rounded column is made good by the columns that are not rounded yet.

Frantar, Ashkboos, Hoefler, Alistarh 2022, "GPTQ: Accurate Post-Training Quantization for Generative
Pre-trained Transformers", algorithm 1, columns in their own order. Two things differ from its code:
the steps of a group are taken from weights that all groups before it have corrected, and a column
whose input is always nothing in the calibration texts keeps its weights.
"""

import torch

from gateway.backends.transformers.packing import Numbers
from gateway.quantization.torch.grids import numbers_of, symmetric

_DAMPING = 0.01
"""Of the mean of the Hessian's diagonal, which is added to it."""
_COLUMNS = 128
"""Whose errors are carried to the rest of a matrix at once, where all inputs share a step."""


class Hessian:
    """The sum of x x^T over the inputs of a layer, in float32."""

    def __init__(self, inputs: int) -> None:
        self.sum = torch.zeros(inputs, inputs)

    def add(self, x: torch.Tensor) -> None:
        """More inputs, shape (..., inputs)."""
        rows = x.reshape(-1, x.shape[-1]).float()
        self.sum += rows.T @ rows


def gptq(weights: torch.Tensor, hessian: torch.Tensor, bits: int, group: int) -> Numbers:
    """Quantize a matrix on a symmetric grid.

    Args:
        weights: shape (outputs, inputs); it is left as it is.
        hessian: of its inputs, shape (inputs, inputs).
        group: inputs that share a step; -1: all.
    """
    inverse = _inverse(hessian)
    left, inputs = weights.float().clone(), weights.shape[1]
    numbers = torch.empty_like(left)
    steps: list[torch.Tensor] = []
    zero = symmetric(left, bits)[1]
    for start in range(0, inputs, size := group if group > 0 else min(_COLUMNS, inputs)):
        end = min(start + size, inputs)
        if group > 0 or not steps:
            steps.append(symmetric(left[:, start : end if group > 0 else inputs], bits)[0])
        errors = torch.empty(len(left), end - start)
        for i in range(start, end):
            numbers[:, i] = numbers_of(left[:, i], steps[-1], zero, bits)
            error = (left[:, i] - (numbers[:, i] - zero) * steps[-1]) / inverse[i, i]
            left[:, i:end] -= error[:, None] * inverse[i, i:end]
            errors[:, i - start] = error
        left[:, end:] -= errors @ inverse[start:end, end:]
    groups = torch.arange(inputs) // (group if group > 0 else inputs)
    scales = torch.stack(steps).half()
    return Numbers(numbers.T.int(), zero.int().expand(scales.shape).contiguous(), scales, groups)


def _inverse(hessian: torch.Tensor) -> torch.Tensor:
    """Of the damped Hessian, as its upper Cholesky factor."""
    damped = hessian.clone()
    diagonal = damped.diagonal()
    diagonal[diagonal == 0] = 1
    diagonal += _DAMPING * diagonal.mean()
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped))
    return torch.linalg.cholesky(inverse, upper=True)
