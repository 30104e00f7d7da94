"""A model's layers one after the other, and what goes into each, over pieces of a text."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from gateway.core.errors import Unsupported


@dataclass
class Block:
    """One layer of the decoder, with what goes into it.

    Attributes:
        name: of its module in the model.
        inputs: a tensor a piece, shape (1, tokens, width).
        settings: what else the layer is given: masks and positions, the same for every piece.
    """

    name: str
    layer: nn.Module
    inputs: list[torch.Tensor]
    settings: dict[str, Any]

    @property
    def linears(self) -> dict[str, nn.Linear]:
        """Its linear layers by their names within it."""
        return {n: m for n, m in self.layer.named_modules() if isinstance(m, nn.Linear)}

    def run(self, piece: torch.Tensor) -> torch.Tensor:
        """What comes out for a piece."""
        made = self.layer(piece, **self.settings)
        return made[0] if isinstance(made, tuple) else made


class _Enough(Exception):
    """Raised to end a pass."""


def blocks_of(module: Any, pieces: Sequence[Sequence[int]]) -> Iterator[Block]:
    """The layers in their order. What goes into one is computed when the one before is done with,
    as that then is.

    Args:
        pieces: token ids, as many in each.

    Raises:
        Unsupported: the model's layers are not found, or hold matrices that are no linear layers.
    """
    decoder = module.get_decoder()
    layers = getattr(decoder, "layers", None)
    if not isinstance(layers, nn.ModuleList):
        raise Unsupported(f"quantizing {module.config.model_type} by its layers")
    settings = _settings(module, layers, pieces[0])
    inputs = [_embedded(module, layers[0], piece) for piece in pieces]
    names = {id(each): name for name, each in module.named_modules()}
    for layer, given in zip(layers, settings, strict=True):
        block = Block(names[id(layer)], layer, inputs, given)
        _refuse_other_matrices(module, block)
        yield block
        inputs = [block.run(piece) for piece in inputs]


def _settings(module: Any, layers: nn.ModuleList, piece: Sequence[int]) -> list[dict[str, Any]]:
    """What each layer is given besides its input; a layer with a window has a mask of its own."""
    found: list[dict[str, Any]] = []

    def keep(_: nn.Module, __: Any, given: dict[str, Any]) -> None:
        plain = {"past_key_values": None, "use_cache": False}
        found.append(given | {key: value for key, value in plain.items() if key in given})

    with _hooked([layer.register_forward_pre_hook(keep, with_kwargs=True) for layer in layers]):
        module(input_ids=torch.tensor([piece]), use_cache=False)
    return found


def _embedded(module: Any, first: nn.Module, piece: Sequence[int]) -> torch.Tensor:
    """What goes into the first layer."""
    found: list[torch.Tensor] = []

    def take(_: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        found.append(given[0])
        raise _Enough

    with _hooked([first.register_forward_pre_hook(take)]):
        try:
            module(input_ids=torch.tensor([piece]), use_cache=False)
        except _Enough:
            return found[0]
    raise AssertionError("a pass that did not reach the first layer")


@contextmanager
def _hooked(hooks: list[Any]) -> Iterator[None]:
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _refuse_other_matrices(module: Any, block: Block) -> None:
    known = {id(linear.weight) for linear in block.linears.values()}
    for name, value in block.layer.named_parameters():
        if value.ndim > 1 and id(value) not in known:
            raise Unsupported(
                f"quantizing {module.config.model_type}: {block.name}.{name} is no linear layer"
            )
