"""An importance matrix from a text: the model reads it, and the inputs of its products are summed.

Of a product of matrices, the second operand holds the inputs. As in `tools/imatrix/imatrix.cpp`:
products with the tensors of the blocks, of 16 tokens or more, all positions of each chunk.
"""

import ctypes
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from gateway.backends.llama_cpp.context import Context
from gateway.backends.llama_cpp.model import GgufModel
from gateway.core.errors import Unsupported
from gateway.engine.context import OUTPUTS_PER_PASS, PassRow
from gateway.engine.in_process import usable_cores
from gateway.engine.llama import library
from gateway.engine.llama.operations import F32, Tensor, Watch, values_of
from gateway.quantization.chunks import chunks_of
from gateway.quantization.imatrix import Imatrix
from gateway.quantization.source import Given

CHUNK_TOKENS = 512
"""As `llama-imatrix` cuts a text."""
_LEAST_TOKENS = 16


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


class _Watch(Watch):
    """Sums up the inputs of products."""

    def __init__(self) -> None:
        super().__init__()
        self._name_of = library.load()._lib.ggml_op_name
        self._name_of.restype, self._name_of.argtypes = ctypes.c_char_p, [ctypes.c_int]
        self.sums: dict[str, NDArray[np.float64]] = {}
        self.counts: dict[str, int] = {}

    def wanted(self, tensor: Tensor) -> bool:
        operation = self._name_of(tensor.op)
        if operation == b"MUL_MAT_ID":
            raise Unsupported(
                "an importance matrix of a mixture of experts",
                hint="make one with llama.cpp's llama-imatrix and give its file",
            )
        if operation != b"MUL_MAT" or not tensor.src[0].contents.name.startswith(b"blk."):
            return False
        inputs = tensor.src[1].contents
        return bool(inputs.type == F32 and inputs.ne[1] >= _LEAST_TOKENS)

    def see(self, tensor: Tensor) -> bool:
        values = values_of(tensor.src[1].contents)
        name = tensor.src[0].contents.name.decode()
        found = np.einsum("ij,ij->j", values, values, dtype=np.float64)
        self.sums[name] = self.sums.get(name, np.zeros(found.shape)) + found
        self.counts[name] = self.counts.get(name, 0) + len(values)
        return True
