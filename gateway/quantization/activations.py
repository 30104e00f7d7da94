"""An importance matrix from a text: the model reads it, and the inputs of its products are summed.

llama.cpp calls back before and behind each operation of a pass (`cb_eval`); of a product of
matrices, the second operand holds the inputs. As in `tools/imatrix/imatrix.cpp`: products with the
tensors of the blocks, of 16 tokens or more, all positions of each chunk.
"""

import ctypes
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from gateway.backends.llama_cpp.context import Context
from gateway.backends.llama_cpp.model import GgufModel
from gateway.core.errors import BackendError, Unsupported
from gateway.engine.context import OUTPUTS_PER_PASS, PassRow
from gateway.engine.in_process import usable_cores
from gateway.engine.llama import library
from gateway.quantization.chunks import chunks_of
from gateway.quantization.imatrix import Imatrix
from gateway.quantization.source import Given

CHUNK_TOKENS = 512
"""As `llama-imatrix` cuts a text."""
_LEAST_TOKENS = 16
_F32 = 0


class _Tensor(ctypes.Structure):
    """`ggml_tensor` of ggml's `include/ggml.h`, as of llama-cpp-python 0.3.36, which is pinned."""

    _fields_: ClassVar[Any]


_Tensor._fields_ = [
    ("type", ctypes.c_int),
    ("buffer", ctypes.c_void_p),
    ("ne", ctypes.c_int64 * 4),
    ("nb", ctypes.c_size_t * 4),
    ("op", ctypes.c_int),
    ("op_params", ctypes.c_int32 * 16),
    ("flags", ctypes.c_int32),
    ("src", ctypes.POINTER(_Tensor) * 10),
    ("view_src", ctypes.c_void_p),
    ("view_offs", ctypes.c_size_t),
    ("data", ctypes.c_void_p),
    ("name", ctypes.c_char * 64),
]


def collect(
    model: Given,
    text: str,
    source: str,
    *,
    length: int = 0,
    threads: int = 0,
    begin: Callable[[int], Callable[[], None]] = lambda _: lambda: None,
) -> Imatrix:
    """The importance matrix of a model on a text.

    Args:
        source: what the text is called.
        length: tokens of a chunk; 0: as llama.cpp's.
        begin: called with the number of chunks; what it answers is called after each.

    Raises:
        DataError: the text is too short.
        Unsupported: the model is a mixture of experts.
        ModelLoadError: it does not load.
    """
    length = length or CHUNK_TOKENS
    loaded = GgufModel(model.path)
    watch = _Watch()
    try:
        chunks = chunks_of(loaded, text, length)
        done = begin(len(chunks))
        context = Context(
            loaded,
            sequences=1,
            length=length,
            threads=threads or usable_cores(),
            batch_tokens=OUTPUTS_PER_PASS,
            on_eval=watch.callback,
        )
        try:
            for chunk in chunks:
                context.truncate(0, 0)
                for start in range(0, len(chunk), OUTPUTS_PER_PASS):
                    piece = range(start, min(start + OUTPUTS_PER_PASS, len(chunk)))
                    # Logits of all: for the others the last block would not be computed.
                    context.decode([PassRow(0, i, chunk[i], True) for i in piece])
                watch.check()
                done()
        finally:
            context.close()
    finally:
        loaded.close()
    counts = {name: np.array([count], np.float32) for name, count in watch.counts.items()}
    sums = {name: values.astype(np.float32)[None] for name, values in watch.sums.items()}
    return Imatrix(sums, counts, (source,), len(chunks), length)


class _Watch:
    """Sums up what passes by."""

    def __init__(self) -> None:
        lib = library.load()
        self._name_of = lib._lib.ggml_op_name
        self._name_of.restype, self._name_of.argtypes = ctypes.c_char_p, [ctypes.c_int]
        self.sums: dict[str, NDArray[np.float64]] = {}
        self.counts: dict[str, int] = {}
        self._problem: Exception | None = None
        self.callback = lib.ggml_backend_sched_eval_callback(self._on_eval)

    def check(self) -> None:
        """Raise what went wrong within the library's call, through which nothing can be raised."""
        if self._problem is not None:
            raise self._problem

    def _on_eval(self, address: int, ask: bool, _data: Any) -> bool:
        try:
            tensor = ctypes.cast(address, ctypes.POINTER(_Tensor)).contents
            if ask:
                return self._wanted(tensor)
            self._add(tensor)
        except Exception as exc:  # noqa: BLE001
            self._problem = BackendError(f"the inputs of a tensor cannot be read: {exc}")
        return True

    def _wanted(self, tensor: _Tensor) -> bool:
        operation = self._name_of(tensor.op)
        if operation == b"MUL_MAT_ID":
            self._problem = Unsupported(
                "an importance matrix of a mixture of experts",
                hint="make one with llama.cpp's llama-imatrix and give its file",
            )
        if operation != b"MUL_MAT" or not tensor.src[0].contents.name.startswith(b"blk."):
            return False
        inputs = tensor.src[1].contents
        return bool(inputs.type == _F32 and inputs.ne[1] >= _LEAST_TOKENS)

    def _add(self, tensor: _Tensor) -> None:
        weights, inputs = tensor.src[0].contents, tensor.src[1].contents
        width, tokens, *more = inputs.ne
        if more != [1, 1]:
            raise ValueError(f"shape {list(inputs.ne)}")
        data = ctypes.cast(inputs.data, ctypes.POINTER(ctypes.c_float))
        values = np.ctypeslib.as_array(data, shape=(tokens, inputs.nb[1] // 4))[:, :width]
        name = weights.name.decode()
        found = np.einsum("ij,ij->j", values, values, dtype=np.float64)
        self.sums[name] = self.sums.get(name, np.zeros(width)) + found
        self.counts[name] = self.counts.get(name, 0) + tokens
