"""A model's linear layers rounded by GPTQ or AWQ, one layer of the decoder after the other."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from gateway.backends.transformers.packing import Numbers, pack_awq, pack_gptq
from gateway.core.errors import Unsupported
from gateway.quantization.torch import awq
from gateway.quantization.torch.blocks import Block, blocks_of
from gateway.quantization.torch.gptq import Hessian, gptq
from gateway.quantization.torch.grids import rounded
from gateway.quantization.torch.levels import GROUPS, TorchLevel

_WORDS = 32
"""What inputs and outputs of a packed matrix are a multiple of."""


def fitting_group(module: Any, level: TorchLevel) -> int:
    """The groups that a level gets on a model.

    Raises:
        Unsupported: they divide no matrix's inputs.
    """
    linears = [m for m in module.get_decoder().layers.modules() if isinstance(m, nn.Linear)]
    inputs = {linear.in_features for linear in linears if _packs(linear)}
    for group in (level.group,) if level.group else GROUPS:
        if inputs and (group == -1 or all(n % group == 0 for n in inputs)):
            return group
    wanted = f"groups of {level.group}" if level.group else "groups"
    shown = ", ".join(map(str, sorted(inputs))) or "none a multiple of 32"
    raise Unsupported(f"{level.method} in {wanted}: the matrices have {shown} inputs")


def packed_layers(
    module: Any,
    level: TorchLevel,
    group: int,
    pieces: Sequence[Sequence[int]],
    on_layer: Callable[[], None],
) -> Iterator[tuple[str, Mapping[str, torch.Tensor] | None]]:
    """Each linear layer by its name, and its tensors as they are packed; None: it stays as it is,
    because its sizes are no multiples of 32. The model's weights are then what was packed.

    Args:
        pieces: token ids of the calibration text.
        on_layer: called after each layer of the decoder.
    """
    with torch.no_grad():
        for block in blocks_of(module, pieces):
            for name, numbers in _rounded(block, level, group):
                if numbers is None:
                    yield f"{block.name}.{name}", None
                    continue
                block.linears[name].weight.copy_(numbers.weights())
                packed = (
                    pack_awq(numbers) if level.method == "awq" else pack_gptq(numbers, level.bits)
                )
                yield f"{block.name}.{name}", packed
            on_layer()


def _rounded(block: Block, level: TorchLevel, group: int) -> Iterator[tuple[str, Numbers | None]]:
    linears = block.linears
    if level.method == "awq":
        awq.scale(block, level.bits, group)
        for name, linear in linears.items():
            weights = linear.weight.float()
            yield name, rounded(weights, level.bits, group) if _packs(linear) else None
        return
    hessians = _hessians(block)
    for name, linear in linears.items():
        found = hessians.get(name)
        yield name, gptq(linear.weight, found.sum, level.bits, group) if found else None


def _hessians(block: Block) -> dict[str, Hessian]:
    """Of all linear layers that are packed, from the weights as they are before any is rounded."""
    found = {n: Hessian(m.in_features) for n, m in block.linears.items() if _packs(m)}

    def adding(name: str) -> Callable[[nn.Module, tuple[torch.Tensor, ...]], None]:
        return lambda _, given: found[name].add(given[0])

    hooks = [block.linears[name].register_forward_pre_hook(adding(name)) for name in found]
    try:
        for piece in block.inputs:
            block.run(piece)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _packs(linear: nn.Linear) -> bool:
    return not linear.in_features % _WORDS and not linear.out_features % _WORDS
