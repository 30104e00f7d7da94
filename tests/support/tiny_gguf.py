"""GGUF files of a few kilobytes that llama.cpp runs: drawn weights and a vocabulary of bytes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFWriter, TokenType

Template = str | list[dict[str, str]]
"""One chat template, or several, each with "name" and "template"."""
Array = np.ndarray[Any, np.dtype[np.float32]]

TOKENS = 288
WIDTH, INNER, LAYERS, HEADS, KV_HEADS, HEAD, CONTEXT = 64, 128, 2, 4, 2, 16, 1024
TEMPLATE = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>"


def shapes(*, tied: bool = False) -> dict[str, tuple[int, ...]]:
    """Tensors of a llama, as NumPy has their shapes."""
    found: dict[str, tuple[int, ...]] = {"token_embd.weight": (TOKENS, WIDTH)}
    for layer in range(LAYERS):
        of_layer: dict[str, tuple[int, ...]] = {
            "attn_norm": (WIDTH,),
            "attn_q": (HEADS * HEAD, WIDTH),
            "attn_k": (KV_HEADS * HEAD, WIDTH),
            "attn_v": (KV_HEADS * HEAD, WIDTH),
            "attn_output": (WIDTH, HEADS * HEAD),
            "ffn_norm": (WIDTH,),
            "ffn_gate": (INNER, WIDTH),
            "ffn_up": (INNER, WIDTH),
            "ffn_down": (WIDTH, INNER),
        }
        found |= {f"blk.{layer}.{name}.weight": shape for name, shape in of_layer.items()}
    found["output_norm.weight"] = (WIDTH,)
    return found if tied else {**found, "output.weight": (TOKENS, WIDTH)}


def drawn(seed: int = 0, *, tied: bool = False) -> dict[str, Array]:
    """Numbers for these tensors: norms about 1, the others about 0."""
    draw = np.random.default_rng(seed)
    return {
        name: (draw.normal(0.0, 0.2, shape) + (len(shape) == 1)).astype(np.float32)
        for name, shape in shapes(tied=tied).items()
    }


def write_gguf(
    path: Path,
    tensors: Mapping[str, Array] | None = None,
    *,
    architecture: str = "llama",
    tensors_a_part: int = 0,
    template: Template = TEMPLATE,
    more: Mapping[str, float] | None = None,
    endian: Any = None,
) -> tuple[Path, ...]:
    """A llama; in parts of `tensors_a_part` tensors, named as llama.cpp names them.

    Returns:
        Its files in order.
    """
    order = {} if endian is None else {"endianess": endian}
    writer = GGUFWriter(path, architecture, split_max_tensors=tensors_a_part, **order)
    _add_metadata(writer, template)
    for key, number in (more or {}).items():
        writer.add_float32(f"{architecture}.{key}", number)
    for name, values in (drawn() if tensors is None else tensors).items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return tuple(sorted(path.parent.glob(f"{path.stem}-*-of-*.gguf"))) or (path,)


def _add_metadata(writer: GGUFWriter, template: Template) -> None:
    writer.add_block_count(LAYERS)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_dimension_count(HEAD)
    writer.add_rope_freq_base(10000.0)
    add_vocabulary(writer)
    if template:
        writer.add_chat_template(template)


def add_vocabulary(writer: GGUFWriter) -> None:
    """A SentencePiece vocabulary of `TOKENS` tokens: the bytes, and a few letters."""
    writer.add_vocab_size(TOKENS)
    special = ["<unk>", "<s>", "</s>"]
    bytes_ = [f"<0x{n:02X}>" for n in range(256)]
    pieces = ["▁", *"abcdefghijklmnopqrstuvwxyz"]
    tokens = [*special, *bytes_, *pieces]
    tokens += [f"▁{chr(97 + n)}" for n in range(TOKENS - len(tokens))]
    kinds = [TokenType.UNKNOWN, TokenType.CONTROL, TokenType.CONTROL]
    kinds += [TokenType.BYTE] * len(bytes_)
    kinds += [TokenType.NORMAL] * (TOKENS - len(kinds))
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores([-float(n) for n in range(TOKENS)])
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
