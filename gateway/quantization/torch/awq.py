"""AWQ: inputs that are large are given finer steps, by scales that the layer before takes back.

Lin, Tang, Tang, Yang, Dang, Han 2023, "AWQ: Activation-aware Weight Quantization". The scale of an
input is its mean size to a power, which is searched for on 20 values by the error of what comes
out of the layer. Weights are not clipped, as the authors' code does in a second search.

Which layer can take a scale back is seen as the model runs: a norm whose output goes into nothing
but linear layers, and the rows of the matrix before another one (values before the output of
attention, "up" before "down").
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from gateway.core.errors import Unsupported
from gateway.quantization.torch.blocks import Block
from gateway.quantization.torch.grids import rounded

_POWERS = 20
_ROWS = 512
"""Inputs on which a scale's error is measured."""
_BEFORE = {"o_proj": "v_proj", "down_proj": "up_proj"}
"""Matrix -> the one whose rows are its inputs, times something."""
_SAME = 1e-3
"""What a layer may differ in, of its largest number, when scales were put into it."""


@dataclass
class _Group:
    """Linear layers with one input, and what a scale of it is taken back by."""

    linears: list[nn.Linear]
    before: nn.Module
    sizes: torch.Tensor
    """Mean size of each input."""
    rows: torch.Tensor
    """Some inputs, shape (rows, inputs)."""


def scale(block: Block, bits: int, group: int) -> None:
    """Put scales into a layer: it computes the same, and loses less when it is rounded.

    Raises:
        Unsupported: it does not compute the same afterwards.
    """
    piece = block.inputs[0]
    wanted = block.run(piece)
    for each in _groups(block):
        if group < 0 or len(each.sizes) % group == 0:
            _put(each, _best(each, bits, group))
    error = (block.run(piece) - wanted).abs().max()
    if error > _SAME * wanted.abs().max():
        raise Unsupported(f"AWQ of {type(block.layer).__name__}: its layers take no scales")


def _groups(block: Block) -> Iterator[_Group]:
    """In the order in which a layer computes; what a group sees, the groups before do not change
    but by their scales."""
    seen = _Seen(block)
    linears = block.linears
    for norm, named in seen.behind_norms.items():
        yield seen.group([linears[name] for name in named], norm)
    for name, linear in linears.items():
        place, _, last = name.rpartition(".")
        before = linears.get(f"{place}.{_BEFORE.get(last)}")
        # Heads that share their values have fewer of them than the output has inputs.
        if before is not None and before.out_features == linear.in_features:
            yield seen.group([linear], before)


class _Seen:
    """What went through a layer's parts for all pieces."""

    def __init__(self, block: Block) -> None:
        self.behind_norms: dict[nn.Module, list[str]] = {}
        self._sums: dict[nn.Module, torch.Tensor] = {}
        self._rows: dict[nn.Module, torch.Tensor] = {}
        self._norms: dict[int, nn.Module] = {}
        self._kept: list[torch.Tensor] = []
        self._tokens = 0
        every = max(1, sum(piece.shape[1] for piece in block.inputs) // _ROWS)
        hooks = [
            linear.register_forward_pre_hook(self._input(name, every))
            for name, linear in block.linears.items()
        ]
        hooks += [
            part.register_forward_hook(self._norm)
            for part in block.layer.modules()
            if {p.ndim for p in part.parameters(recurse=False)} == {1}
        ]
        try:
            for piece in block.inputs:
                self._tokens += piece.shape[1]
                block.run(piece)
                self._norms.clear()
                self._kept.clear()
        finally:
            for hook in hooks:
                hook.remove()

    def group(self, linears: list[nn.Linear], before: nn.Module) -> _Group:
        """What went into them."""
        first = linears[0]
        return _Group(linears, before, self._sums[first] / self._tokens, self._rows[first])

    def _norm(self, norm: nn.Module, _: Any, made: torch.Tensor) -> None:
        self._norms[id(made)] = norm
        # Held, so that no other tensor is given its number.
        self._kept.append(made)

    def _input(self, name: str, every: int) -> Any:
        def take(linear: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
            rows = given[0].reshape(-1, given[0].shape[-1])
            if (norm := self._norms.get(id(given[0]))) is not None:
                named = self.behind_norms.setdefault(norm, [])
                named += [] if name in named else [name]
            self._sums[linear] = self._sums.get(linear, 0) + rows.abs().sum(0)
            some = rows[::every].clone()
            held = self._rows.get(linear)
            self._rows[linear] = some if held is None else torch.cat([held, some])

        return take


def _best(of: _Group, bits: int, group: int) -> torch.Tensor:
    """The scale of each input with which the least is lost; powers from 0, which is no scale."""
    whole = torch.cat([linear.weight for linear in of.linears]).float()
    wanted = of.rows @ whole.T
    scales = [_of_power(of.sizes, power / _POWERS) for power in range(_POWERS)]
    errors = [_error(whole, each, of.rows, wanted, bits, group) for each in scales]
    return scales[min(range(_POWERS), key=errors.__getitem__)]


def _of_power(sizes: torch.Tensor, power: float) -> torch.Tensor:
    found = sizes.pow(power).clamp(min=1e-4)
    return found / (found.max() * found.min()).sqrt()


def _error(
    whole: torch.Tensor,
    scale: torch.Tensor,
    rows: torch.Tensor,
    wanted: torch.Tensor,
    bits: int,
    group: int,
) -> float:
    lossy = rounded(whole * scale, bits, group).weights() / scale
    return float((rows @ lossy.T - wanted).pow(2).mean())


def _put(of: _Group, scale: torch.Tensor) -> None:
    for linear in of.linears:
        linear.weight.mul_(scale)
    before = of.before
    added = 0.0 if isinstance(before, nn.Linear) else _added(before, len(scale))
    for each in before.parameters(recurse=False):
        shaped = scale[:, None] if each.ndim > 1 else scale
        each.add_(added).div_(shaped).sub_(added)


def _added(norm: nn.Module, width: int) -> float:
    """What a norm adds to its weight: nothing, or 1 in Gemma's."""
    own = {part: part.clone() for part in norm.parameters(recurse=False)}
    for part in own:
        part.zero_()
    made = norm(torch.ones(1, 1, width))
    for part, held in own.items():
        part.copy_(held)
    return 1.0 if made.any() else 0.0
