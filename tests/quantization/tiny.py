"""Models of random weights with a header, and no vocabulary: enough for a quantizer, not to run."""

from pathlib import Path

import numpy as np
from gguf import GGUFWriter

LAYERS, VOCABULARY = 8, 512


def write_tiny(path: Path, width: int = 256, *, seed: int = 0, zeros: str = "") -> Path:
    """A llama in F32 whose matrices are all `width` wide.

    Args:
        zeros: the tensor of this name holds zeros.
    """
    draw = np.random.default_rng(seed)
    writer = GGUFWriter(path, "llama")
    writer.add_block_count(LAYERS)
    writer.add_context_length(512)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(width)
    writer.add_head_count(4)
    writer.add_head_count_kv(4)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(VOCABULARY)
    shapes = {"token_embd.weight": (VOCABULARY, width), "output_norm.weight": (width,)}
    for layer in range(LAYERS):
        for norm in ("attn_norm", "ffn_norm"):
            shapes[f"blk.{layer}.{norm}.weight"] = (width,)
        for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
            shapes[f"blk.{layer}.{name}.weight"] = (width, width)
    for name, shape in shapes.items():
        values = draw.standard_normal(shape, dtype=np.float32)
        writer.add_tensor(name, np.zeros_like(values) if name == zeros else values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
