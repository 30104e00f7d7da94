"""Is this adapter for this base? All the reasons why not, found without loading weights.

What is recorded (card.toml) is compared first, then every tensor with the module it names.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gateway.core.errors import ConfigError, ModelLoadError
from gateway.models.adapters import config_keys
from gateway.models.adapters.base import GGUF_OF, HEAD, Base, read_base
from gateway.models.adapters.card import Card, read_card
from gateway.models.adapters.complete import incomplete
from gateway.models.adapters.folder import WEIGHTS, Adapter, Tensor, misnamed, read_adapter
from gateway.models.adapters.heads import read_heads
from gateway.models.adapters.kinds import SUPPORTED
from gateway.models.adapters.names import is_probe
from gateway.models.adapters.number_probe import read_number_probe
from gateway.models.adapters.numbers import oddities
from gateway.models.adapters.own_template import own_template
from gateway.models.adapters.probe import read_probe
from gateway.models.adapters.probe_kind import answers_with_numbers

__all__ = [
    "Base",
    "misfits",
    "other_weights",
    "read_base",
    "refuse_other_weights",
    "remarks",
    "why_not",
]

_SIDES = {
    **dict.fromkeys(("lora_A", "lora_embedding_A", "hada_w1_b", "hada_w2_b"), ("inputs", 1)),
    **dict.fromkeys(("lora_B", "lora_embedding_B", "hada_w1_a", "hada_w2_a"), ("outputs", 0)),
    **dict.fromkeys(("vera_lambda_b", "ln_tuning_layers", "delora_B"), ("outputs", 0)),
    "delora_A": ("inputs", 1),
    "hra_u": ("inputs", 0),
    "trainable_tokens_delta": ("outputs", 1),
}
"""Part -> which width of its module it has, and in which of its dimensions."""
_LEARNED = "prompt_embeddings"
_OF_TOKENS = "trainable_tokens_delta"
"""A row of the embedding for each token; also where the output layer shares its weights."""
_UNSUPPORTED = {
    "layer_replication": "it repeats layers of the base (layer_replication)",
    "alora_invocation_tokens": "it begins in the middle of a prompt (alora_invocation_tokens)",
}
"""Keys of adapter_config.json that, set, make it what nothing here runs or merges."""


def why_not(folder: Path, base: Base) -> tuple[str, ...]:
    """All reasons why an adapter is not for a base; none: it fits.

    An adapter's folder that cannot be read is a reason, not an error.
    """
    try:
        if is_probe(folder):
            check_probe(folder)
            other = other_weights(read_card(folder), base.digest, base.first)
            return (other,) if other else ()
        adapter = read_adapter(folder)
    except (ConfigError, ModelLoadError) as exc:
        return (exc.message,)
    other = other_weights(adapter.card, base.digest, base.first)
    return (*([other] if other else []), *misfits(adapter, base))


def check_probe(folder: Path) -> None:
    """Read a probe of either kind, with its heads. Raises as `read_probe`."""
    if answers_with_numbers(folder):
        read_number_probe(folder)
    else:
        read_heads(folder, read_probe(folder))


def other_weights(card: Card | None, digest: str, first: str = "") -> str:
    """Why these are not the weights that the card records; empty: they are, or it has no card.

    Args:
        digest: of the base's contents.
        first: as `WeightsDigests.first`, which older cards have.
    """
    if card is None or card.base.digest in (digest, first):
        return ""
    return (
        f"it was trained on {card.base.name}, contents {card.base.digest[:12]}; "
        f"this base has contents {digest[:12]}"
    )


def refuse_other_weights(folder: Path, digest: str, first: str = "") -> None:
    """Raise where the card beside an adapter records other weights than those it is loaded onto.

    Args:
        folder: the adapter's; without a card nothing is known and nothing refused.
        digest, first: as `other_weights`.

    Raises:
        ModelLoadError: they are others, with both digests.
        ConfigError: the card cannot be read.
    """
    if reason := other_weights(read_card(folder), digest, first):
        raise ModelLoadError(
            f"{folder} is not for this base model: {reason}",
            hint="an adapter fits the weights that it was trained on; to try it on others all the "
            "same, move its card.toml away",
        )


def misfits(adapter: Adapter, base: Base) -> tuple[str, ...]:
    """Reasons that lie in the model's form, whatever the numbers in its weights: architecture,
    hidden size, modules and shapes. A base in another quantization has none."""
    kind = adapter.config.peft_type
    if kind not in SUPPORTED:
        supported = ", ".join(sorted(SUPPORTED))
        return (f"adapters of type {kind} are not supported; supported: {supported}",)
    reasons = [*_recorded(adapter.card, base), *config_keys.refusals(_config(adapter))]
    if not adapter.tensors:
        reasons.append("it has no tensors, and would change nothing")
    reasons += unsupported(adapter)
    for key, tensor in adapter.tensors.items():
        wrong = misnamed(key)
        reasons += [wrong] if wrong else _of_tensor(adapter, key, tensor, base)
    if not reasons:
        reasons += incomplete(adapter, base)
    return tuple(dict.fromkeys(reasons))


def unsupported(adapter: Adapter) -> tuple[str, ...]:
    """What of an adapter's configuration nothing here runs, merges or exports."""
    more = adapter.config.model_extra or {}
    return tuple(
        f"{said}, which is not supported" for key, said in _UNSUPPORTED.items() if more.get(key)
    )


def remarks(folder: Path) -> tuple[str, ...]:
    """What could not be compared, and what is odd about the numbers; nothing of a folder that
    cannot be read."""
    try:
        adapter = read_adapter(folder)
    except (ConfigError, ModelLoadError):
        return ()
    return (*_remarks(adapter), *oddities(folder / WEIGHTS))


def _config(adapter: Adapter) -> Mapping[str, Any]:
    config = adapter.config
    kept = {"peft_type": config.peft_type, "lora_alpha": config.lora_alpha}
    return {**(config.model_extra or {}), **kept}


def _remarks(adapter: Adapter) -> Iterator[str]:
    if adapter.card is None:
        yield "it has no card.toml: which weights it was trained on is unknown"
    yield from config_keys.told(_config(adapter))
    if said := config_keys.moves_the_base(_config(adapter)):
        yield f"it changes the base's own weights ({said}): merge it, or set adapter_merged = true"
    if own_template(adapter.folder):
        yield "it was saved with a chat template, which an entry takes only where it names it"
    parts = {tensor.part for tensor in adapter.tensors.values()}
    learned = set() if adapter.config.peft_type == "PREFIX_TUNING" else {_LEARNED}
    if unchecked := sorted(parts - {*_SIDES, "weight", *learned}):
        yield f"the shapes of {', '.join(unchecked)} were not compared with the base's"


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
    # Of prefix tuning they are keys and values of all layers.
    is_text = part == _LEARNED and adapter.config.peft_type != "PREFIX_TUNING"
    if is_text and shape[-1] != base.hidden_size:
        yield f"{part} are {shape[-1]} wide, the base's hidden size is {base.hidden_size}"
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
    if part == _OF_TOKENS and module == HEAD:
        side = "inputs"
    base_width = widths[0] if side == "inputs" else widths[1]
    if shape[dimension : dimension + 1] != (base_width,):
        found = shape[dimension] if dimension < len(shape) else "none"
        yield f"{part} of {module} is for {side} of {found}, the base's are {base_width}"
    yield from _other_rank(adapter, tensor)


def _other_rank(adapter: Adapter, tensor: Tensor) -> Iterator[str]:
    """AdaLoRA prunes ranks as it trains, so that only LoRA's are known beforehand."""
    dimension = {"lora_A": 0, "lora_B": 1}.get(tensor.part)
    if adapter.config.peft_type != "LORA" or dimension is None or len(tensor.shape) != 2:
        return
    found = tensor.shape[dimension]
    said = adapter.config.rank(tensor.module)
    if found != said:
        yield f"{tensor.part} of {tensor.module} has rank {found}, its configuration says {said}"


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
