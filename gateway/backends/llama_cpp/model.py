"""Weights of one GGUF file, loaded once and shared by any number of contexts."""

import ctypes
import threading
from functools import cached_property
from pathlib import Path
from typing import Any

from gateway.backends.llama_cpp.adapter import Adapter, load_adapter
from gateway.backends.llama_cpp.offload import Offload, too_large
from gateway.core.errors import ModelLoadError
from gateway.engine.llama import library
from gateway.engine.llama.vocabulary import GgufVocabulary

_METADATA_BYTES = 4096


class GgufModel(GgufVocabulary):
    """A loaded GGUF file.

    Weights are memory-mapped and not repacked (`use_extra_bufts=False`): repacked kernels sum in
    another order for one row than for many, and on a processor with AMX those of llama-cpp-python
    0.3.36 end the process with a segmentation fault at the first pass of several rows.

    Closing it frees weights and adapters; every context on them must have been closed before.

    Args:
        offload: which layers lie on a card.

    Raises:
        ModelLoadError: the file is absent, no GGUF, truncated, of an unknown architecture, or too
            large for the card.
    """

    def __init__(self, path: Path, offload: Offload = Offload()) -> None:  # noqa: B008 - frozen
        settings: dict[str, Any] = {"use_extra_bufts": False, "n_gpu_layers": offload.layers}
        if offload.layers:
            settings["main_gpu"] = offload.main
        if offload.split:
            most = library.load().llama_max_devices()
            # The library reads one share for each device that it can have.
            settings["tensor_split"] = (ctypes.c_float * most)(*offload.split[:most])
        self.offload = offload
        try:
            super().__init__(path, **settings)
        except ModelLoadError as error:
            if not offload.layers or "memory" not in str(error):
                raise
            message, hint = too_large(path, offload, library.recent_errors())
            raise ModelLoadError(message, hint=hint) from error
        self.context_trained: int = self._lib.llama_model_n_ctx_train(self.handle)
        self.dimensions: int = self._lib.llama_model_n_embd(self.handle)
        self.weights_bytes: int = self._lib.llama_model_size(self.handle)
        self._adapters: dict[str, Any] = {}
        self._adapters_lock = threading.Lock()

    def adapter(self, path: Path, digest: str, scale: float) -> Adapter:
        """An adapter on these weights; of one content, one copy is loaded, whatever its scale.

        Raises:
            ModelLoadError: the file is no adapter for this model.
        """
        with self._adapters_lock:
            if digest not in self._adapters:
                self._adapters[digest] = load_adapter(self.handle, path)
            return Adapter(digest, scale, self._adapters[digest])

    @cached_property
    def description(self) -> str:
        """Architecture, size and quantization type as llama.cpp names them."""
        buffer = ctypes.create_string_buffer(_METADATA_BYTES)
        self._lib.llama_model_desc(self.handle, buffer, _METADATA_BYTES)
        return buffer.value.decode()

    @cached_property
    def parameters(self) -> int:
        """Number of weights."""
        return int(self._lib.llama_model_n_params(self.handle))
