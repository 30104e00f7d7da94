"""Rows of weights into blocks of a type and back, by ggml's own code, as its quantizer does it."""

import ctypes
from functools import cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from gateway.engine.llama import library
from gateway.models.gguf import block_layout

Values = NDArray[np.float32]
"""Shape (rows, width)."""

_FLOATS = ctypes.POINTER(ctypes.c_float)


class _Traits(ctypes.Structure):
    """The beginning of `ggml_type_traits` in `ggml/include/ggml.h`."""

    _fields_: ClassVar = [
        ("type_name", ctypes.c_char_p),
        ("block", ctypes.c_int64),
        ("block_interleave", ctypes.c_int64),
        ("size", ctypes.c_size_t),
        ("is_quantized", ctypes.c_bool),
        ("to_float", ctypes.CFUNCTYPE(None, ctypes.c_void_p, _FLOATS, ctypes.c_int64)),
    ]


def encode(kind: str, values: Values) -> bytes:
    """The rows in blocks of a type, without an importance matrix; the width fits its block."""
    rows, width = values.shape
    block, size = block_layout(kind)
    made = ctypes.create_string_buffer(rows * width // block * size)
    source = np.ascontiguousarray(values, dtype=np.float32)
    _ggml().ggml_quantize_chunk(
        _number(kind), source.ctypes.data_as(_FLOATS), made, 0, rows, width, None
    )
    return made.raw


def decode(kind: str, data: bytes, width: int) -> Values:
    """The weights that blocks of a type stand for."""
    block, size = block_layout(kind)
    weights = np.empty(len(data) // size * block, np.float32)
    if kind == "F32":
        weights[:] = np.frombuffer(data, np.float32)
    else:
        traits = _ggml().ggml_get_type_traits(_number(kind)).contents
        traits.to_float(data, weights.ctypes.data_as(_FLOATS), weights.size)
    return weights.reshape(-1, width)


def _number(kind: str) -> int:
    from gguf import GGMLQuantizationType

    return int(GGMLQuantizationType[kind])


@cache
def _ggml() -> Any:
    """The functions of ggml, found through llama.cpp's library, which is linked to it."""
    lib = library.load()._lib
    lib.ggml_quantize_chunk.restype = ctypes.c_size_t
    lib.ggml_quantize_chunk.argtypes = [
        *(ctypes.c_int, _FLOATS, ctypes.c_void_p),
        *(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, _FLOATS),
    ]
    lib.ggml_get_type_traits.restype = ctypes.POINTER(_Traits)
    lib.ggml_get_type_traits.argtypes = [ctypes.c_int]
    return lib
