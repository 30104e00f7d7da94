"""The cards that the library can use: which there are, and how much of their memory is free."""

import ctypes
from dataclasses import dataclass
from functools import cache
from typing import Any

from gateway.engine.llama import library

_GPU_TYPES = (1, 2)
"""`GGML_BACKEND_DEVICE_TYPE_GPU` and `_IGPU` of ggml-backend.h."""


@dataclass(frozen=True, slots=True)
class GpuCard:
    """One card, or a graphics processor that shares the machine's memory."""

    name: str
    """As the library calls it: CUDA0, Metal, Vulkan0."""
    description: str
    """The maker's name."""
    free: int
    """Bytes, now."""


def cards() -> tuple[GpuCard, ...]:
    """Those that this build of the library can compute on, in its order; none on a CPU build."""
    if not library.supports_cards():
        return ()
    ggml = _ggml()
    devices = [ggml.ggml_backend_dev_get(i) for i in range(ggml.ggml_backend_dev_count())]
    return tuple(_card(ggml, d) for d in devices if ggml.ggml_backend_dev_type(d) in _GPU_TYPES)


def _card(ggml: Any, device: int) -> GpuCard:
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    ggml.ggml_backend_dev_memory(device, ctypes.byref(free), ctypes.byref(total))
    name = ggml.ggml_backend_dev_name(device).decode()
    return GpuCard(name, ggml.ggml_backend_dev_description(device).decode(), free.value)


@cache
def _ggml() -> Any:
    from llama_cpp._ggml import libggml

    for name, restype, argtypes in (
        ("count", ctypes.c_size_t, []),
        ("get", ctypes.c_void_p, [ctypes.c_size_t]),
        ("type", ctypes.c_int, [ctypes.c_void_p]),
        ("name", ctypes.c_char_p, [ctypes.c_void_p]),
        ("description", ctypes.c_char_p, [ctypes.c_void_p]),
        ("memory", None, [ctypes.c_void_p, *[ctypes.POINTER(ctypes.c_size_t)] * 2]),
    ):
        function = getattr(libggml, f"ggml_backend_dev_{name}")
        function.restype, function.argtypes = restype, argtypes
    return libggml
