"""Memory of a model at a given context, estimated from its header before anything is loaded.

Weights and keys and values are what llama.cpp allocates, to the byte, for models that attend with
plain keys and values. Scratch follows the largest intermediate results of a pass: the logits, or
the scores of attention; it is within about a tenth where it was compared (SmolLM2 135M, Gemma 3
270M). What a loaded model takes, the library itself says: `Backend.memory`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.engine.context import OUTPUTS_PER_PASS
from gateway.models.gguf import Header, block_layout

_STEP = 256
"""llama.cpp rounds the cells of a sequence up to it."""
_OTHER_CACHES = ("attention.kv_lora_rank", "ssm.state_size", "wkv.head_size", "shortconv.l_cache")
"""Keys of architectures whose memory of a text is not plain keys and values of every layer."""
_FLOAT = 4
_STATES = 5.7
"""Vectors of the model's width, of 4 bytes a number, that a token takes in a pass: the inputs and
outputs of a layer. Measured, SmolLM2 135M: 12.8 kB at a width of 576."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Bytes."""

    weights: int
    cache: int | None
    """Keys and values of all sequences; None for an architecture that keeps something else."""
    scratch: int

    @property
    def total(self) -> int | None:
        return None if self.cache is None else self.weights + self.cache + self.scratch


def estimate(
    header: Header,
    context: int,
    *,
    sequences: int = 1,
    batch_tokens: int = 128,
    flash: bool = False,
) -> Estimate:
    """What a model takes with `sequences` sequences of `context` tokens each.

    Args:
        context: lowered to what the model was trained for, as when it is loaded.
        flash: attends in one operation, with keys of Q8_0 instead of F16.
    """
    trained = header.of_architecture("context_length") or context
    cells = -(-min(context, trained) // _STEP) * _STEP
    weights = sum(tensor.size for tensor in header.tensors)
    return Estimate(
        weights,
        _cache(header, cells * sequences, "Q8_0" if flash else "F16"),
        _scratch(header, cells, sequences, batch_tokens, flash),
    )


def _cache(header: Header, cells: int, key_type: str) -> int | None:
    if any(header.of_architecture(key) is not None for key in _OTHER_CACHES):
        return None
    heads = _kv_heads(header)
    if heads is None:
        return None
    keys = sum(heads) * _head_size(header, "key") * cells
    values = sum(heads) * _head_size(header, "value") * cells
    block, size = block_layout(key_type)
    return keys // block * size + 2 * values


def _kv_heads(header: Header) -> Sequence[int] | None:
    """Of each layer; None where the header has them in an array that was not read."""
    layers = int(header.of_architecture("block_count") or 0)
    key = f"{header.architecture}.attention.head_count_kv"
    found = header.metadata.get(key, header.of_architecture("attention.head_count"))
    if isinstance(found, int):
        return [found] * layers
    return found if isinstance(found, list) else None


def _head_size(header: Header, which: str) -> int:
    given = header.of_architecture(f"attention.{which}_length")
    if given is not None:
        return int(given)
    width = int(header.of_architecture("embedding_length") or 0)
    return width // _heads(header)


def _heads(header: Header) -> int:
    """Of queries; of the layer that has most."""
    found = header.of_architecture("attention.head_count")
    return max(found) if isinstance(found, list) else int(found or 1)


def _scratch(header: Header, cells: int, sequences: int, batch_tokens: int, flash: bool) -> int:
    """The larger of what attention and what the logits need, and the outputs of all sequences."""
    width = int(header.of_architecture("embedding_length") or 0)
    scores = 1 if flash else 1 + _heads(header)  # one of them is the mask
    states = _STATES * batch_tokens * width * _FLOAT
    attention = batch_tokens * cells * scores * _FLOAT + states
    vocabulary = next((t.shape[1] for t in header.tensors if t.name == "token_embd.weight"), 0)
    logits = OUTPUTS_PER_PASS * (vocabulary + width) * _FLOAT
    return int(max(attention, logits) + sequences * vocabulary * _FLOAT)
