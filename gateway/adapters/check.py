"""Is this adapter for this base? All the reasons why not, found without loading weights.

What is recorded (card.toml) is compared first, then every tensor with the module it names.
"""

from collections.abc import Iterator
from pathlib import Path

from gateway.adapters.base import GGUF_OF, Base, read_base
from gateway.adapters.card import Card
from gateway.adapters.folder import Adapter, Tensor, read_adapter
from gateway.errors import ConfigError, ModelLoadError

__all__ = ["Base", "misfits", "other_weights", "read_base", "unchecked", "why_not"]

IN_PLACE = {"LORA", "LOHA", "LOKR", "IA3", "OFT", "BOFT", "VERA", "ADALORA", "HRA"}
"""PEFT's types that change layers and nothing else. Those that put learned tokens before a prompt
would move every position of the cache of beginnings."""
_SIDES = {
    **dict.fromkeys(("lora_A", "lora_embedding_A", "hada_w1_b", "hada_w2_b"), ("inputs", 1)),
    **dict.fromkeys(("lora_B", "lora_embedding_B", "hada_w1_a", "hada_w2_a"), ("outputs", 0)),
}
"""Part -> which width of its module it has, and in which of its dimensions."""


def why_not(folder: Path, base: Base) -> tuple[str, ...]:
    """All reasons why an adapter is not for a base; none: it fits.

    An adapter's folder that can not be read is a reason, not an error.
    """
    try:
        adapter = read_adapter(folder)
    except (ConfigError, ModelLoadError) as exc:
        return (exc.message,)
    other = other_weights(adapter.card, base.digest)
    return (*([other] if other else []), *misfits(adapter, base))


def other_weights(card: Card | None, digest: str) -> str:
    """Why these are not the weights that the card records; empty: they are, or it has no card.

    Args:
        digest: of the base's contents.
    """
    if card is None or card.base.digest == digest:
        return ""
    return (
        f"it was trained on {card.base.name}, contents {card.base.digest[:12]}; "
        f"this base has contents {digest[:12]}"
    )


def misfits(adapter: Adapter, base: Base) -> tuple[str, ...]:
    """Reasons that lie in the model's form, whatever the numbers in its weights: architecture,
    hidden size, modules and shapes. A base in another quantization has none."""
    kind = adapter.config.peft_type
    if kind not in IN_PLACE:
        supported = ", ".join(sorted(IN_PLACE))
        return (f"adapters of type {kind} are not supported; supported: {supported}",)
    reasons = [*_recorded(adapter.card, base)]
    for key, tensor in adapter.tensors.items():
        reasons += _of_tensor(adapter, key, tensor, base)
    return tuple(dict.fromkeys(reasons))


def unchecked(adapter: Adapter) -> tuple[str, ...]:
    """Parts of its tensors, such as lokr_w1, whose shapes were not compared: only their modules."""
    parts = {tensor.part for tensor in adapter.tensors.values()}
    return tuple(sorted(parts - {*_SIDES, "weight"}))


def _recorded(card: Card | None, base: Base) -> Iterator[str]:
    if card is None:
        return
    then, now = card.base.architecture, base.architecture
    # Mistral is a llama in a GGUF.
    if GGUF_OF.get(then, then) != GGUF_OF.get(now, now):
        yield f"it was trained on the architecture {then}, this base is {now}"
    if card.base.hidden_size != base.hidden_size:
        yield (
            f"it was trained on a hidden size of {card.base.hidden_size}, "
            f"this base has {base.hidden_size}"
        )


def _of_tensor(adapter: Adapter, key: str, tensor: Tensor, base: Base) -> Iterator[str]:
    module, part, shape = tensor.module, tensor.part, tensor.shape
    if not module:
        return
    widths = base.modules.get(module)
    if widths is None:
        yield f"it changes {module}, which the base does not have"
        return
    if part == "weight" and sorted(shape) != sorted(widths[: len(shape)]):
        yield f"{key} has the shape {_by(shape)}, the base's {module} is {_by(widths[::-1])}"
    if part not in _SIDES:
        return
    side, dimension = _SIDES[part]
    base_width = widths[0] if side == "inputs" else widths[1]
    if shape[dimension : dimension + 1] != (base_width,):
        found = shape[dimension] if dimension < len(shape) else "none"
        yield f"{part} of {module} is for {side} of {found}, the base's are {base_width}"
    yield from _other_rank(adapter, tensor)


def _other_rank(adapter: Adapter, tensor: Tensor) -> Iterator[str]:
    """AdaLoRA prunes ranks as it trains, so that only LoRA's are known beforehand."""
    if adapter.config.peft_type != "LORA" or len(tensor.shape) != 2:
        return
    side, _ = _SIDES[tensor.part]
    found = tensor.shape[0 if side == "inputs" else 1]
    said = adapter.config.rank(tensor.module)
    if found != said:
        yield f"{tensor.part} of {tensor.module} has rank {found}, its configuration says {said}"


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
