"""Was a source quantized before? Found out by a round trip: quantized again, it comes back.

Types with one scale a block (Q4_0, Q4_1, Q5_0, Q5_1, Q8_0) store their own output without loss. So
a ladder from weights that once were Q4_1 has a Q4_1 level that equals its source, where a ladder
from the weights before would have shown a loss. K- and I-quants search for their scales; some
of their tensors come back and some do not, so that these types are tried only where a file has
them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gateway.engine.llama.blocks import Values, decode, encode
from gateway.models.gguf import Header, Tensor, block_layout
from gateway.quantization.contents import is_matrix

_SINGLE_SCALE = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0")
"""In ascending order of bits: what was Q4_0 comes back from Q5_0 too."""

_ROUNDING = {"F32": 0.0, "F16": 2.0**-9, "BF16": 3 * 2.0**-8}
"""How far a weight may come back from itself, as a share of the largest of its 32: what rounding
to the source's own type does to dequantized weights. Measured on normal weights: at most 1.4 x
2**-10 (F16) and 7.2 x 2**-10 (BF16), where weights that never were quantized differ by 18 x 2**-10
(Q5_1) or more, and by 2.8 x 2**-10 for Q8_0, which is therefore not told apart in a BF16."""

_SAMPLE_ROWS = 32
_SLAB_WEIGHTS = 1 << 22
_BLOCK = 32


@dataclass(frozen=True, slots=True)
class Origin:
    """What the round trip of a file found."""

    returning: Mapping[str, str]
    """By tensor: the type from which all of it comes back."""
    tried: Mapping[str, str]
    """By tensor that is stored quantized: its type, which was tried and did not come back."""

    @property
    def by_type(self) -> Mapping[str, int]:
        """Tensors that come back, counted by type."""
        types = list(self.returning.values())
        return {kind: types.count(kind) for kind in sorted(set(types))}


def origin_of(header: Header, on_tensor: Callable[[], None] = lambda: None) -> Origin:
    """Quantize every matrix of a file again to what it is, or may have been, and compare.

    What is stored quantized has to come back byte for byte. Floating-point numbers have to come
    back within the rounding of their own type.

    Args:
        on_tensor: called after each of the file's tensors.
    """
    returning, tried = {}, {}
    data = {file: np.memmap(file, np.uint8, mode="r") for file in header.parts}
    for tensor in header.tensors:
        file, begin = header.place(tensor)
        stored = data[file][begin:][: tensor.size]
        kind = _returns_to(tensor, stored) if is_matrix(tensor) else None
        if kind is not None:
            returning[tensor.name] = kind
        elif tensor.type not in _ROUNDING and is_matrix(tensor):
            tried[tensor.name] = tensor.type
        on_tensor()
    return Origin(returning, tried)


def _returns_to(tensor: Tensor, stored: "np.ndarray[tuple[int], np.dtype[np.uint8]]") -> str | None:
    def everywhere(kind: str) -> bool:
        return all(_comes_back(tensor, kind, slab) for slab in _slabs(tensor, stored))

    if not stored.any():
        return None  # zeros come back from everything
    return next((kind for kind in _candidates(tensor) if everywhere(kind)), None)


def _candidates(tensor: Tensor) -> Sequence[str]:
    if tensor.type in _ROUNDING:
        known = _SINGLE_SCALE[: -1 if tensor.type == "BF16" else None]
        return known if tensor.width % _BLOCK == 0 else ()
    return (tensor.type,)


def _slabs(tensor: Tensor, stored: "np.ndarray[tuple[int], np.dtype[np.uint8]]") -> Iterator[bytes]:
    """Rows, a few first: most of what does not come back shows there."""
    block, size = block_layout(tensor.type)
    row = tensor.width // block * size
    begin, rows = 0, _SAMPLE_ROWS
    while begin < len(stored):
        yield stored[begin : begin + rows * row].tobytes()
        begin, rows = begin + rows * row, max(1, _SLAB_WEIGHTS // tensor.width)


def _comes_back(tensor: Tensor, kind: str, stored: bytes) -> bool:
    values = decode(tensor.type, stored, tensor.width)
    again = encode(kind, values)
    if tensor.type == kind:
        return again == stored
    return _within(decode(kind, again, tensor.width), values, _ROUNDING[tensor.type])


def _within(found: Values, wanted: Values, share: float) -> bool:
    largest = np.abs(wanted).reshape(-1, _BLOCK).max(axis=1)
    apart = np.abs(found - wanted).reshape(-1, _BLOCK).max(axis=1)
    return bool((apart <= share * largest).all())
