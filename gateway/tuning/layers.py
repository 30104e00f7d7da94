"""A model's layers in two parts: the first ones, and all that is above them."""

import copy
from typing import Any

from gateway.core.errors import Unsupported

Tensor = Any


class _Reached(Exception):
    """The layer that is asked for has been reached; it carries what came there."""

    def __init__(self, states: Tensor) -> None:
        super().__init__()
        self.states = states


def prepare(module: Any) -> None:
    """Let the model attend in a way that gradients flow through, torch's own where it can."""
    # What soft caps and the like need, transformers knows of each model.
    module.set_attn_implementation("sdpa" if module._supports_sdpa else "eager")


def upper(module: Any, below: int) -> Any:
    """The model without its first layers, which takes what they would give as `inputs_embeds`.

    It shares everything with the model; nothing of the model is changed.

    Raises:
        Unsupported: the model does not list its layers where decoders do.
    """
    inner = _decoder(module)
    top = _shallow(inner)
    # A module's own __setattr__ would register the list in the dictionary that both had.
    top._modules["layers"] = type(inner.layers)(list(inner.layers)[below:])
    top.config = copy.deepcopy(inner.config)
    text = top.config.get_text_config()
    if getattr(text, "layer_types", None):
        text.layer_types = list(text.layer_types)[below:]
    text.num_hidden_layers = len(inner.layers) - below
    shell = _shallow(module)
    shell._modules[module.base_model_prefix] = top
    return shell


def lower(
    module: Any, below: int, ids: Tensor, mask: Tensor | None, positions: Tensor | None
) -> Tensor:
    """What comes out of the first layers, shape (rows, tokens, width); no gradient flows there."""
    import torch

    def reached(_: Any, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        raise _Reached(given[0] if given else named["hidden_states"])

    inner = _decoder(module)
    handle = inner.layers[below].register_forward_pre_hook(reached, with_kwargs=True)
    try:
        with torch.no_grad():
            inner(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False)
    except _Reached as found:
        return found.states.detach()
    finally:
        handle.remove()
    raise Unsupported(f"{type(inner).__name__} does not run its layers one by one")


def _decoder(module: Any) -> Any:
    inner = module.base_model
    if not hasattr(inner, "layers"):
        raise Unsupported(
            f"{type(module).__name__} cannot be cut below its top layers",
            hint="train without --top-layers",
        )
    return inner


def _shallow(module: Any) -> Any:
    twin = copy.copy(module)
    twin._modules = dict(module._modules)
    return twin
