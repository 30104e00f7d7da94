"""LoRA adapters of random numbers, in GGUF files: real enough to change every answer."""

from pathlib import Path

import numpy as np
from gguf import GGUFWriter

from tests.support.few_layers import LAYERS

RANK = 4
Targets = dict[str, tuple[int, int]]
"""Tensors, each with its input and output width."""


def _of_smollm2(layers: int) -> Targets:
    return {
        **{f"blk.{layer}.attn_q.weight": (576, 576) for layer in range(layers)},
        **{f"blk.{layer}.ffn_down.weight": (1536, 576) for layer in range(layers)},
    }


SMOLLM2_TARGETS = _of_smollm2(30)
FEW_TARGETS = _of_smollm2(LAYERS["llama"])
"""Of SmolLM2 135M with a few layers."""


def write_adapter(
    path: Path,
    seed: int,
    *,
    size: float = 0.12,
    targets: Targets = SMOLLM2_TARGETS,
    architecture: str = "llama",
) -> Path:
    """An adapter of rank 4 and alpha 8 with both matrices drawn from a normal distribution."""
    draw = np.random.default_rng(seed)
    writer = GGUFWriter(path, architecture)
    writer.add_string("general.type", "adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 8.0)
    for name, (width_in, width_out) in targets.items():
        down = draw.normal(0.0, size, (RANK, width_in)).astype(np.float32)
        up = draw.normal(0.0, size, (width_out, RANK)).astype(np.float32)
        writer.add_tensor(f"{name}.lora_a", down)
        writer.add_tensor(f"{name}.lora_b", up)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
