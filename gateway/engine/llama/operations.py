"""The operations of a forward pass, seen as the library computes them.

llama.cpp calls back before and behind each operation (`cb_eval` of a context): before, whether its
result is wanted; behind, with the result, and whether to go on.
"""

import ctypes
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from gateway.core.errors import BackendError, GatewayError
from gateway.engine.llama import library

F32 = 0
"""`GGML_TYPE_F32`."""


class Tensor(ctypes.Structure):
    """`ggml_tensor` of ggml's `include/ggml.h`, as of llama-cpp-python 0.3.36, which is pinned."""

    _fields_: ClassVar[Any]


Tensor._fields_ = [
    ("type", ctypes.c_int),
    ("buffer", ctypes.c_void_p),
    ("ne", ctypes.c_int64 * 4),
    ("nb", ctypes.c_size_t * 4),
    ("op", ctypes.c_int),
    ("op_params", ctypes.c_int32 * 16),
    ("flags", ctypes.c_int32),
    ("src", ctypes.POINTER(Tensor) * 10),
    ("view_src", ctypes.c_void_p),
    ("view_offs", ctypes.c_size_t),
    ("data", ctypes.c_void_p),
    ("name", ctypes.c_char * 64),
]


class Watch:
    """Sees the operations of a context's passes; give its `callback` to the context.

    A pass that failed here ends as if all were well, since nothing can be raised through the
    library: call `check` behind each.
    """

    def __init__(self) -> None:
        lib = library.load()
        self._problem: Exception | None = None
        self.callback = lib.ggml_backend_sched_eval_callback(self._on_eval)

    def wanted(self, tensor: Tensor) -> bool:
        """Whether to see the result of this operation."""
        raise NotImplementedError

    def see(self, tensor: Tensor) -> bool:
        """Take what was computed; False ends the pass, what lies above is not computed."""
        raise NotImplementedError

    def check(self) -> None:
        """Raise what went wrong since the last check."""
        problem, self._problem = self._problem, None
        if problem is not None:
            raise problem

    def _on_eval(self, address: int, ask: bool, _data: Any) -> bool:
        try:
            tensor = ctypes.cast(address, ctypes.POINTER(Tensor)).contents
            return self.wanted(tensor) if ask else self.see(tensor)
        except GatewayError as exc:
            self._problem = exc
        except Exception as exc:  # noqa: BLE001
            self._problem = BackendError(f"a tensor of a pass cannot be read: {exc}")
        return not ask


def values_of(tensor: Tensor) -> NDArray[np.float32]:
    """A view of a matrix in this machine's memory, shape (rows, columns).

    Raises:
        ValueError: it is no matrix of F32.
    """
    width, rows, *more = tensor.ne
    if more != [1, 1] or tensor.type != F32:
        raise ValueError(f"shape {list(tensor.ne)}, type {tensor.type}")
    data = ctypes.cast(tensor.data, ctypes.POINTER(ctypes.c_float))
    return np.ctypeslib.as_array(data, shape=(rows, tensor.nb[1] // 4))[:, :width]
