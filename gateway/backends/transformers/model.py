"""Weights of a causal language model, loaded once and shared by any number of contexts."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

from gateway.backends.transformers import library
from gateway.backends.transformers.adapter_folder import adapter_digest
from gateway.core.errors import ModelLoadError
from gateway.core.mapped import MappedFiles
from gateway.models.gguf_parts import parts_of
from gateway.models.spec import Dtype, Quantize

if TYPE_CHECKING:
    from gateway.backends.transformers.passes import Shape


class TorchModel:
    """A loaded model.

    A GGUF file is dequantized as it is read: the same weights as in llama.cpp, in `dtype`.

    Args:
        path: a GGUF file, or a folder with config.json and safetensors.
        device: as torch names it, or "auto": over all that there are.
        quantize: of linear layers, as safetensors are read. "nf4": in NF4 with doubly quantized
            scales (Dettmers et al. 2023, "QLoRA"); "int8": in 8 bits, with the columns apart in
            which a number is large (Dettmers et al. 2022, "LLM.int8()").

    Raises:
        MissingExtra: torch, transformers, or what quantizes is not installed.
        ModelLoadError: the files are absent, of an unknown architecture, pickled, a part of a
            model, or not those of a model of this configuration, with the tensors' names.
    """

    def __init__(self, path: Path, *, dtype: Dtype, device: str, quantize: Quantize = "") -> None:
        library.load()
        library.check_device(device)
        from gateway.backends.transformers.adapters import Adapters
        from gateway.backends.transformers.attention import NAME
        from gateway.backends.transformers.kept_weights import mapped_from
        from gateway.backends.transformers.loading import load_module
        from gateway.backends.transformers.packed import packing_of

        self.path = path
        self.files = MappedFiles(_weights_in(path))
        self.packing = packing_of(path) if path.is_dir() else None
        try:
            self.module = load_module(path, dtype=dtype, device=device, quantize=quantize)
            if mapped := mapped_from(self.module):
                self.files.hold(mapped)
        except BaseException:
            self.files.close()
            raise
        self.device = self.module.device
        self.module.requires_grad_(False)
        self.module.set_attn_implementation(NAME)
        self.config = self.module.config.get_text_config()
        self.layers = int(self.config.num_hidden_layers)
        self.adapters = Adapters(self.module, self.layers)
        self.shapes: dict[str | None, Shape | None] = {}
        """Of bitwise passes, by adapter, once they were sought (see `steady`)."""
        self._lock = threading.Lock()
        """Held while a pass runs, and while an adapter is put on the layers."""

    @contextmanager
    def computing(self, threads: int) -> Iterator[None]:
        """The block in which passes are computed and adapters selected; one thread at a time."""
        torch, _ = library.load()
        with self._lock, torch.inference_mode(), library.repeatable():
            if torch.get_num_threads() != threads:
                torch.set_num_threads(threads)
            yield

    def shape(self, adapter: str | None) -> "Shape":
        """How passes with this adapter, or with none, are computed at "bitwise"."""
        from gateway.backends.transformers.passes import ALONE

        return self.shapes.get(adapter) or ALONE

    @property
    def mixes_rows(self) -> bool:
        """Whether layers of bitsandbytes take columns apart for all rows of a pass, where a number
        in any row is large."""
        return bool(getattr(self.module, "is_loaded_in_8bit", False))

    @property
    def records(self) -> bool:
        """Whether passes can be recorded as CUDA graphs: all layers lie on one card."""
        placed = getattr(self.module, "hf_device_map", None) or {}
        return bool(self.device.type == "cuda" and len(set(placed.values())) <= 1)

    @property
    def context_trained(self) -> int:
        """Tokens that the model was trained for."""
        return int(self.config.max_position_embeddings)

    @property
    def vocab_size(self) -> int:
        """Logits of a position."""
        return int(self.config.vocab_size)

    @property
    def weights_bytes(self) -> int:
        """What the weights take; one that is used twice (tied embeddings) counts once."""
        return sum(p.numel() * p.element_size() for p in self.module.parameters())

    @property
    def end_tokens(self) -> tuple[int, ...]:
        """Ids that end a generation, as generation_config.json lists them."""
        return tuple(each for each in self._listed_ends if self._is_token(each))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is odd about its configuration, in one sentence each."""
        strange = [str(each) for each in self._listed_ends if not self._is_token(each)]
        what = "its configuration ends an answer with tokens that it does not have"
        return (f"{what}: {', '.join(strange)}",) if strange else ()

    @property
    def _listed_ends(self) -> tuple[object, ...]:
        found = self.module.generation_config.eos_token_id
        return tuple(found) if isinstance(found, list) else () if found is None else (found,)

    def _is_token(self, value: object) -> TypeGuard[int]:
        if not isinstance(value, int) or isinstance(value, bool):
            return False
        return 0 <= value < self.vocab_size

    def add_adapter(self, folder: Path, *, pickles: bool = False) -> str:
        """Load a PEFT adapter onto the layers, once; returns its digest. Raises as `Adapters`.

        Args:
            pickles: read a pickle where there are no safetensors.
        """
        digest = adapter_digest(folder, pickles=pickles)
        with self._lock:
            self.adapters.load(folder, digest)
        return digest

    def merge(self, folder: Path, *, pickles: bool = False) -> str:
        """Add an adapter to the weights for good; returns its digest. Raises as `Adapters`."""
        if self.packing and not self.packing.unpacked:
            raise ModelLoadError(
                f"{self.path}: merged into weights of {self.packing.bits} bits, the adapter would "
                "be rounded away",
                hint="take adapter_merged out of the entry",
            )
        digest = adapter_digest(folder, pickles=pickles)
        with self._lock:
            self.adapters.merge(folder, digest)
        return digest

    def give_back_adapter(self, digest: str) -> None:
        """Take it off the layers, unless others use it."""
        with self._lock:
            self.adapters.give_back(digest)

    def close(self) -> None:
        """Let go of the weights."""
        self.files.close()
        del self.module, self.adapters


def _weights_in(path: Path) -> tuple[Path, ...]:
    if path.is_dir():
        return tuple(file for file in path.glob("*.safetensors") if file.is_file())
    return parts_of(path)
