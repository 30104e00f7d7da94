"""Models of which only the first layers are left, for what few layers show as well as all.

The vocabulary, the chat template, the sizes, types and values of the tensors that are left, and the
kernels are the model's own, and so is a request's way through the engine. Whether bytes depend on a
batch, a cache, a chunk or a thread is seen as in the whole, in a fraction of the time. What such a
model says means nothing: a test of what the whole one says takes `tests.conftest.spec_and_path`.
"""

import ctypes
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from gateway.models.gguf import read_header

LAYERS = {"llama": 3, "gemma3": 6}
"""How many are left. Every sixth layer of Gemma 3 attends to the whole context, the others not."""

_folder = TemporaryDirectory(prefix="few-layers-")


@cache
def cut(path: Path) -> Path:
    """A GGUF with the first layers of another; it lasts as long as this process."""
    from gateway.engine.llama import library

    header, made = read_header(path), Path(_folder.name) / path.name
    last = range(LAYERS[header.architecture], int(header.of_architecture("block_count")))
    lib = library.load()
    params = lib.llama_model_quantize_default_params()
    params.only_copy = True
    params.prune_layers = (ctypes.c_int32 * (len(last) + 1))(*last, -1)
    assert lib.llama_model_quantize(str(path).encode(), str(made).encode(), params) == 0
    return made
