"""Do passes of a model give a token the same bytes whatever is computed beside it?

Tried for each model and adapter, because it depends on layers, processor, card and libraries.
"""

import importlib.util

import torch

from gateway.backends.transformers import passes
from gateway.backends.transformers.attention import BLOCK, ROW_STEP
from gateway.backends.transformers.cache import Sequences
from gateway.backends.transformers.model import TorchModel
from gateway.backends.transformers.passes import Packed, Shape
from gateway.backends.transformers.spans import Attending

ROWS = (ROW_STEP, 2 * ROW_STEP, 4 * ROW_STEP)
"""Tried in turn. MKL on two threads takes another kernel where a product has fewer rows than
columns and few of both: a LoRA adapter of rank 16 needs passes of 16 rows."""
SIZES = (64, 256, 1024)
"""Of passes on a card, in rows. A decoding step fits into the smallest, and more than the largest
is no faster a token."""
_LENGTH = BLOCK + 12
_OUTPUTS = 3
"""The last tokens' logits are compared; all keys and values before them go into them."""


def find_shape(model: TorchModel, adapter: str | None, threads: int) -> Shape | None:
    """The shape of passes with which a token's bytes depend on nothing beside it.

    Returns:
        The one with fewest idle rows, or None where none was found: then only passes that hold one
        request, cut in places that depend on nothing else, give equal bytes.
    """
    with model.computing(threads):
        model.adapters.select(adapter)
        if model.device.type == "cuda":
            return _of_sizes(model)
        for rows in ROWS:
            shape = Shape("blocks", rows)
            if _is_steady(model, shape, _logits(model, shape, (_LENGTH,))):
                return shape
    return None


def _of_sizes(model: TorchModel) -> Shape | None:
    """Passes of the largest size that is steady by itself, and of those that give its bytes."""
    attending = attending_on(model.device)
    for largest in reversed(SIZES):
        whole = _logits(model, Shape(attending, 0, (largest,)), _pieces(largest))
        if not _is_steady(model, Shape(attending, 0, (largest,)), whole):
            continue
        smaller = [Shape(attending, 0, (size,)) for size in SIZES if size < largest]
        same = [each.sizes[0] for each in smaller if _is_steady(model, each, whole)]
        return Shape(attending, 0, (*same, largest))
    return None


def attending_on(device: torch.device) -> Attending:
    """One kernel where there is a compiler for it, which comes with torch's builds for CUDA."""
    with_triton = device.type == "cuda" and importlib.util.find_spec("triton") is not None
    return "kernel" if with_triton else "blocks"


def _is_steady(model: TorchModel, shape: Shape, whole: torch.Tensor) -> bool:
    """Whether passes of a shape give these logits, cut otherwise and beside another text."""
    most = shape.sizes[-1] if shape.sizes else 2 * _LENGTH
    in_pieces = _logits(model, shape, (1, 9, 15, *_pieces(most, _LENGTH - 25)))
    if not torch.equal(whole, in_pieces):
        return False
    pieces = (12, BLOCK) if most >= 2 * BLOCK else _pieces(most // 2)
    return bool(torch.equal(whole, _logits(model, shape, pieces, beside=True)))


def _pieces(most: int, length: int = _LENGTH) -> tuple[int, ...]:
    """A text's length in pieces of so many tokens at most; no last piece is too short for the
    outputs that are compared."""
    count = -(-length // most)
    return tuple(length * (i + 1) // count - length * i // count for i in range(count))


def _logits(
    model: TorchModel, shape: Shape, pieces: tuple[int, ...], *, beside: bool = False
) -> torch.Tensor:
    """Logits of the last tokens of a text that is read in pieces, alone or beside another one."""
    drawn = torch.Generator().manual_seed(0)
    ids = torch.randint(0, model.vocab_size, (2, _LENGTH), generator=drawn).tolist()
    cache = Sequences(model.layers, 2, _LENGTH)
    start, found = 0, torch.empty(0)
    for count in pieces:
        packed = Packed(shape)
        for sequence in (1, 0) if beside else (0,):
            packed.add(sequence, start, ids[sequence][start : start + count], min(_OUTPUTS, count))
        found = passes.logits(model.module, cache, packed)[-_OUTPUTS:]
        start += count
    return found
