"""A LoRA adapter of PEFT as a GGUF file that llama.cpp loads.

llama.cpp (src/llama-adapter.cpp) adds lora_b @ lora_a times alpha / rank to a tensor, with one
alpha for the file and the rank of each pair. What that cannot say (rsLoRA, an alpha or a rank of
a module's own) is multiplied into lora_b. A GGUF of the llama family keeps the rows of attn_q and
attn_k in another order than transformers (convert_hf_to_gguf.py: each head's two halves
interleaved, as ggml's rotary embedding wants them), and so do the rows of their lora_b.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import deserialize

from gateway.core.errors import ConfigError, ModelLoadError
from gateway.models.adapters.base import HEAD, Base, tensor_names
from gateway.models.adapters.check import misfits, unsupported
from gateway.models.adapters.folder import WEIGHTS, Adapter
from gateway.tuning.export.gguf_file import Prove, new_gguf, unproved

Array = np.ndarray[Any, np.dtype[np.float32]]
Pairs = Mapping[str, tuple[Array, Array]]
"""Name of the base's tensor -> lora_a of (rank, inputs) and lora_b of (outputs, rank), its rows in
the tensor's order."""

_INTERLEAVED = {"llama"}
"""Architectures of GGUF whose query and key rows are reordered."""
_PLAIN_STARTS = {True, False, None, "gaussian", "eva", "orthogonal"}
"""`init_lora_weights` after which the base's own weights are what they were. PiSSA, OLoRA, CorDA
and others move a part of them into the adapter when training starts."""
_OTHER_MATHS = (
    *("use_dora", "use_qalora", "use_bdlora", "alora_invocation_tokens", "arrow_config"),
    *("kasa_config", "velora_config", "monteclora_config", "layer_replication"),
    *("modules_to_save", "trainable_token_indices", "target_parameters", "lora_bias"),
)
"""Keys of adapter_config.json that, set, make it more or other than lora_B @ lora_A."""
_OF_THE_BASE = "base_layer"
"""Weights of the base that PEFT saves beside an adapter on the output layer. A file of the adapter
alone has none: whoever proves it sees that they are the base's own."""
_MERGE = "gateway adapters merge makes one model of base and adapter, whatever the adapter's type"


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written."""

    path: Path
    tensors: int
    alpha: float


def export(adapter: Adapter, base: Base, target: Path, prove: Prove = unproved) -> Exported:
    """Write an adapter as a GGUF of F32 tensors; a reader never meets half of it.

    The same adapter and base give the same bytes.

    Args:
        prove: raises where the file is not what the adapter is; then none is written.

    Raises:
        ConfigError: a GGUF cannot say what this adapter is (the message names it), the base's
            architecture is not known here, or the file cannot be written.
        ModelLoadError: the adapter does not fit the base.
    """
    architecture = _architecture(base)
    pairs, alpha = pairs_of(adapter, base)
    _write(target, architecture, adapter.name, alpha, pairs, prove)
    return Exported(target, len(pairs), alpha)


def pairs_of(adapter: Adapter, base: Base) -> tuple[Pairs, float]:
    """What is added to the tensors of a GGUF of the base, and alpha: up @ down * alpha / rank.

    Raises:
        ConfigError, ModelLoadError: as `export`.
    """
    if reasons := [*refusals(adapter), *_not_in_a_gguf(adapter, base)]:
        raise ConfigError(
            f"{adapter.folder}: cannot be said in a GGUF: {'; '.join(reasons)}",
            hint="" if unsupported(adapter) else _MERGE,
        )
    if reasons := [*misfits(adapter, base)]:
        raise ModelLoadError(
            f"{adapter.folder} does not fit {base.name}: {reasons[0]}",
            hint="gateway adapters check lists all reasons",
        )
    alpha = adapter.config.lora_alpha or 1.0
    return _pairs(adapter, base, alpha), alpha


def refusals(adapter: Adapter) -> tuple[str, ...]:
    """What of an adapter llama.cpp's format has no words for, whatever the base; none: nothing."""
    return tuple(_refusals(adapter))


def _refusals(adapter: Adapter) -> Iterator[str]:
    config, more = adapter.config, adapter.config.model_extra or {}
    if config.peft_type != "LORA":
        yield f"its type is {config.peft_type}, not LORA"
        return
    for key in _OTHER_MATHS:
        if more.get(key):
            yield f"{key} is set"
    if (bias := more.get("bias", "none")) != "none":
        yield f"bias = {bias!r}: it has biases"
    start = more.get("init_lora_weights", True)
    if start not in _PLAIN_STARTS:
        yield f"init_lora_weights = {start!r}: it belongs to a base that was changed with it"
    for part in sorted({tensor.part for tensor in adapter.tensors.values()}):
        if part not in ("lora_A", "lora_B", _OF_THE_BASE):
            yield f"it has tensors called {part}"
    if any(key.endswith(".bias") for key in adapter.tensors):
        yield "it has biases"


def _not_in_a_gguf(adapter: Adapter, base: Base) -> Iterator[str]:
    if base.tied and any(tensor.module == HEAD for tensor in adapter.tensors.values()):
        yield f"it changes {HEAD}, for which the base has no weights but the embedding's"


def _architecture(base: Base) -> str:
    if base.gguf_architecture is None:
        raise ConfigError(
            f"how a GGUF lays out the architecture {base.architecture!r} is not known here",
            hint=_MERGE,
        )
    return base.gguf_architecture


def _pairs(adapter: Adapter, base: Base, alpha: float) -> Pairs:
    names = tensor_names(_architecture(base), base.blocks)
    parts: dict[str, dict[str, Array]] = {}
    for key, values in _numbers(adapter.folder / WEIGHTS).items():
        tensor = adapter.tensors[key]
        if tensor.part == _OF_THE_BASE:
            continue
        parts.setdefault(tensor.module, {})[tensor.part] = values
    made = {}
    for module, pair in sorted(parts.items()):
        name = names.get_name(module)
        if name is None or pair.keys() != {"lora_A", "lora_B"}:
            raise ConfigError(f"{adapter.folder}: {module}: no pair for a tensor of a GGUF")
        up = _folded(pair["lora_B"], adapter, module, alpha)
        made[f"{name}.weight"] = (pair["lora_A"], _ordered(up, module, base))
    return made


def _folded(up: Array, adapter: Adapter, module: str, alpha: float) -> Array:
    """lora_B times what alpha / rank leaves of PEFT's scale; nothing where they are the same."""
    config = adapter.config
    factor = config.scale(module) * config.rank(module) / alpha
    return up if factor == 1.0 else (up * np.float64(factor)).astype(np.float32)


def _ordered(up: Array, module: str, base: Base) -> Array:
    """lora_B with its rows in the order of the base's tensor."""
    if base.gguf_architecture not in _INTERLEAVED:
        return up
    if module.endswith("self_attn.q_proj"):
        return interleaved(up, base.heads)
    if module.endswith("self_attn.k_proj"):
        return interleaved(up, base.kv_heads)
    return up


def interleaved(rows: Array, heads: int) -> Array:
    """Rows of a query or key matrix, each head's second half woven into its first.

    Args:
        rows: of shape (heads * dimensions, anything).
    """
    count, width = rows.shape
    halves = rows.reshape(heads, 2, count // heads // 2, width)
    return halves.swapaxes(1, 2).reshape(count, width)


def _numbers(path: Path) -> dict[str, Array]:
    """All tensors as float32. NumPy has no bfloat16, whose bits are the upper half of a float32's.

    Raises:
        ConfigError: a tensor is of another type.
    """
    made = {}
    for name, raw in deserialize(path.read_bytes()):  # type: ignore[no-untyped-call]
        kind, data = raw["dtype"], raw["data"]
        if kind == "BF16":
            flat = (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
        elif kind in ("F16", "F32", "F64"):
            flat = np.frombuffer(data, f"<f{int(kind[1:]) // 8}").astype(np.float32)
        else:
            raise ConfigError(f"{path}: {name} has numbers of type {kind}")
        made[name] = flat.reshape(raw["shape"])
    return made


def _write(
    target: Path, architecture: str, name: str, alpha: float, pairs: Pairs, prove: Prove
) -> None:
    with new_gguf(target, architecture, prove=prove) as writer:
        writer.add_type("adapter")
        writer.add_name(name)
        writer.add_string("adapter.type", "lora")
        writer.add_float32("adapter.lora.alpha", alpha)
        for tensor, (down, up) in pairs.items():
            writer.add_tensor(f"{tensor}.lora_a", np.ascontiguousarray(down))
            writer.add_tensor(f"{tensor}.lora_b", np.ascontiguousarray(up))
