"""Do passes of a model give a token the same bytes whatever is computed beside it?

Tried for each model and adapter, because it depends on layers, processor and libraries.
"""

import torch

from gateway.backends.transformers import passes
from gateway.backends.transformers.attention import BLOCK, ROW_STEP
from gateway.backends.transformers.cache import Sequences
from gateway.backends.transformers.model import TorchModel
from gateway.backends.transformers.passes import Packed, Shape

_ROWS = (ROW_STEP, 2 * ROW_STEP, 4 * ROW_STEP)
"""Tried in turn. MKL on two threads takes another kernel where a product has fewer rows than
columns and few of both: a LoRA adapter of rank 16 needs passes of 16 rows."""
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
        for rows in _ROWS:
            shape = Shape("blocks", rows)
            whole = _logits(model, shape, (_LENGTH,))
            in_pieces = _logits(model, shape, (1, 9, 15, _LENGTH - 25))
            beside = _logits(model, shape, (12, BLOCK), beside=True)
            if torch.equal(whole, in_pieces) and torch.equal(whole, beside):
                return shape
    return None


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
