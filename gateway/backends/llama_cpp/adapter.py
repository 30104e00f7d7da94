"""A LoRA adapter in a GGUF file, loaded onto a model."""

import ctypes
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.core.errors import ModelLoadError
from gateway.engine.llama import library
from gateway.models.gguf import read_header


@dataclass(frozen=True, slots=True)
class Adapter:
    """What a pass is computed with, beside the weights. The model that loaded it frees it."""

    digest: str
    """Of the file's contents."""
    scale: float
    """The LoRA product is multiplied by alpha / rank and by this."""
    handle: Any = field(compare=False, repr=False)


def load_adapter(model_handle: Any, path: Path) -> Any:
    """The library's handle of an adapter.

    Raises:
        ModelLoadError: the file is absent or no adapter, is one for another base, or switches
            itself on at some token of the prompt (aLoRA), which shared prefixes do not allow.
    """
    if not path.is_file():
        raise ModelLoadError(f"{path}: no such file")
    if not read_header(path).tensors:
        raise ModelLoadError(f"{path}: it has no tensors, and would change nothing")
    lib = library.load()
    library.forget_errors()
    handle = lib.llama_adapter_lora_init(model_handle, str(path).encode())
    if not handle:
        raise ModelLoadError(
            f"{path}: cannot be loaded onto this base model: {library.recent_errors()}",
            hint="an adapter fits only the base model that it was trained on, and must be a GGUF",
        )
    if lib.llama_adapter_get_alora_n_invocation_tokens(handle):
        lib.llama_adapter_lora_free(handle)
        raise ModelLoadError(
            f"{path}: an activated LoRA (aLoRA) is not supported",
            hint="train a plain LoRA adapter",
        )
    return handle


def select(context_handle: Any, adapter: Adapter | None) -> None:
    """Compute the next passes of a context with this adapter, or with none."""
    lib = library.load()
    if adapter is None:
        lib.llama_set_adapters_lora(context_handle, None, 0, None)
        return
    handles = (lib.llama_adapter_lora_p_ctypes * 1)(adapter.handle)
    lib.llama_set_adapters_lora(context_handle, handles, 1, (ctypes.c_float * 1)(adapter.scale))
