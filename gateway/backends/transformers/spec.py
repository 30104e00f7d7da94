"""An entry of models.toml for torch."""

import re
from dataclasses import dataclass
from typing import ClassVar, Literal

from gateway.core.errors import ConfigError
from gateway.models.gguf import GGUF
from gateway.models.spec import (
    Capabilities,
    Dtype,
    HubSource,
    ModelSpec,
    OllamaSource,
    PypiSource,
    Quantize,
)

PickleWords = Literal["", "I trust who made it"]


@dataclass(frozen=True, slots=True)
class TransformersSpec(ModelSpec):
    """A folder of safetensors, or a GGUF that is dequantized, which this process runs on torch."""

    backend: ClassVar = "transformers"
    implementation: ClassVar = "gateway.backends.transformers.backend:TransformersBackend"
    extra: ClassVar = "transformers"
    refused: ClassVar = dict.fromkeys(
        ("adapter_scale", "batch_tokens"), 'only with backend = "llama_cpp"'
    )
    can: ClassVar = Capabilities(adapters="folder")

    dtype: Dtype = "float32"
    """Of weights and computation."""
    device: str = "cpu"
    """As torch names it; "auto": over all that there are."""
    quantize: Quantize = ""
    """"nf4", "int8": linear layers in 4 or 8 bits of bitsandbytes as they are loaded."""
    adapter_merged: bool = False
    """Add the adapter to a copy of the weights that is the entry's own: faster, and no longer
    shared."""
    adapter_pickle: PickleWords = ""
    """The words with which a person lets an adapter be read from a pickle."""

    def __post_init__(self) -> None:
        ModelSpec.__post_init__(self)
        if not re.fullmatch("auto|cpu|mps|cuda(:[0-9]+)?", self.device):
            raise ConfigError(f"device: {self.device!r} is none of auto, cpu, mps, cuda, cuda:1")
        if self.quantize and self._is_gguf:
            raise ConfigError("quantize: a GGUF is quantized already; it is for safetensors")
        if self.adapter_merged and self.adapter is None:
            raise ConfigError("adapter_merged: there is no adapter to merge")
        if self.adapter_merged and self.quantize:
            raise ConfigError("adapter_merged: merged into few bits, it would be rounded away")

    @property
    def precision(self) -> str:
        return self.quantization or self.quantize or self.dtype

    @property
    def _is_gguf(self) -> bool:
        source = self.source
        return isinstance(source, PypiSource | OllamaSource) or (
            isinstance(source, HubSource) and source.file.endswith(GGUF)
        )
