"""Weights of one GGUF file, loaded once and shared by any number of contexts."""

import ctypes
import threading
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from gateway.backends.llama_cpp.adapter import Adapter, load_adapter
from gateway.backends.llama_cpp.offload import Offload, too_large
from gateway.backends.llama_cpp.split import split_files
from gateway.core.errors import ModelLoadError
from gateway.core.mapped import MappedFiles
from gateway.engine.llama import library
from gateway.engine.llama.vocabulary import GgufVocabulary
from gateway.models.abilities import READ_AT_ONCE, Abilities, Memory, Pooling
from gateway.models.gguf_parts import files_of, parts_of, read_model

_METADATA_BYTES = 4096
POOLINGS: Mapping[str, Pooling] = {
    "0": "none",
    "1": "mean",
    "2": "cls",
    "3": "last",
    "4": "rank",
    "4294967295": "none",
}
"""The library's numbers of them (`llama_pooling_type`), as the file's metadata write them; the last
is -1, which says nothing."""
_CLASSIFIERS = ("cls.output.weight", "cls.weight")
"""Layers of a classifier, the last one first."""


class GgufModel(GgufVocabulary):
    """A loaded GGUF file.

    Weights are memory-mapped. Repacked ones (`use_extra_bufts`) are a copy in memory: for some
    types their kernels sum in another order for one row than for many, and on a processor with AMX
    those of llama-cpp-python 0.3.36 end the process with a segmentation fault at the first pass of
    several rows. So they are taken only where they were tried, or where an entry says so.

    Closing it frees weights and adapters; every context on them must have been closed before.

    Args:
        offload: which layers lie on a card.
        repack: lay weights out anew for the processor.
        split: the file's digest, to compute its Q4_1 as Q4_0 and a product beside it; empty: it is
            computed as it is.

    Raises:
        ModelLoadError: the file is absent, no GGUF, truncated, of an unknown architecture, or too
            large for the card.
    """

    def __init__(
        self,
        path: Path,
        offload: Offload = Offload(),  # noqa: B008 - frozen
        *,
        repack: bool = False,
        split: str = "",
    ) -> None:
        settings: dict[str, Any] = {"use_extra_bufts": repack, "n_gpu_layers": offload.layers}
        if offload.layers:
            settings["main_gpu"] = offload.main
        if offload.split:
            most = library.load().llama_max_devices()
            # The library reads one share for each device that it can have.
            settings["tensor_split"] = (ctypes.c_float * most)(*offload.split[:most])
        self.offload = offload
        self.files = MappedFiles(parts_of(path) if path.is_file() else ())
        self.minimums: Adapter | None = None
        """What each pass is computed with, beside weights that are split."""
        try:
            beside = self._load(path, split, settings)
        except ModelLoadError as error:
            self.files.close()
            if not offload.layers or "memory" not in str(error):
                raise
            message, hint = too_large(path, offload, library.recent_errors())
            raise ModelLoadError(message, hint=hint) from error
        self.context_trained: int = self._lib.llama_model_n_ctx_train(self.handle)
        self.dimensions: int = self._lib.llama_model_n_embd_out(self.handle)
        self.width: int = self._lib.llama_model_n_embd(self.handle)
        self.blocks: int = self._lib.llama_model_n_layer(self.handle)
        self.weights_bytes: int = self._lib.llama_model_size(self.handle) + beside
        self._adapters: dict[str, Any] = {}
        self._adapters_lock = threading.Lock()

    def _load(self, path: Path, split: str, settings: Mapping[str, Any]) -> int:
        """How many bytes lie beside the model's own tensors."""
        if not split:
            super().__init__(path, **settings)
            return 0
        with split_files(path, split) as (weights, minimums):
            super().__init__(weights, **settings)
            self.path = path
            try:
                return self._hold(weights, minimums, split)
            except (ModelLoadError, OSError) as error:
                super().close()
                if isinstance(error, ModelLoadError):
                    raise
                raise ModelLoadError(
                    f"{path}: its split form was removed while it was loaded", hint="load it again"
                ) from error

    def _hold(self, weights: Path, minimums: Path, split: str) -> int:
        if not self.abilities.writes:
            raise ModelLoadError(
                f"{self.path}: split weights are for models that write",
                hint="leave split out of its entry",
            )
        self.files.hold(weights)
        self.minimums = Adapter(split, 1.0, load_adapter(self.handle, minimums))
        return minimums.stat().st_size

    def close(self) -> None:
        super().close()
        self.files.close()

    def adapter(self, path: Path, digest: str, scale: float) -> Adapter:
        """An adapter on these weights; of one content, one copy is loaded, whatever its scale.

        Raises:
            ModelLoadError: the file is no adapter for this model.
        """
        # The library sums what adapters add in the order of their addresses, another each time.
        assert self.minimums is None, "an adapter on split weights"
        with self._adapters_lock:
            if digest not in self._adapters:
                self._adapters[digest] = load_adapter(self.handle, path)
            return Adapter(digest, scale, self._adapters[digest])

    @cached_property
    def abilities(self) -> Abilities:
        """What it can do, as the file and the library say it."""
        lib, handle, kind = self._lib, self.handle, self.metadata("general.architecture")
        pooling = self._pooling(kind)
        return Abilities(
            architecture=kind,
            memory=self._memory(kind),
            encoder=bool(lib.llama_model_has_encoder(handle)),
            decoder=bool(lib.llama_model_has_decoder(handle)),
            causal=self.metadata(f"{kind}.attention.causal") != "false",
            diffusion=bool(lib.llama_model_is_diffusion(handle)),
            pooling=pooling,
            classes=self._classes if pooling == "rank" else (),
            headless=pooling == "rank" and self._headless,
            parts=len(files_of(self.path)),
            before=self._texts(self.before),
            behind=self._texts(self.behind),
        )

    def _memory(self, kind: str) -> Memory:
        if kind in READ_AT_ONCE:
            return "none"
        if self._lib.llama_model_is_hybrid(self.handle):
            return "hybrid"
        return "recurrent" if self._lib.llama_model_is_recurrent(self.handle) else "attention"

    def _pooling(self, kind: str) -> Pooling:
        """What the file names; an encoder with a classifier's layers that names none is a
        reranker. A type that is not known here is refused: the library would end the process."""
        said = self.metadata(f"{kind}.pooling_type") or "0"
        if said not in POOLINGS:
            raise ModelLoadError(f"{self.path}: its pooling_type is {said}, which is not known")
        pooling = POOLINGS[said]
        if pooling == "none" and kind in READ_AT_ONCE and not self._headless:
            return "rank"
        return pooling

    @cached_property
    def _headless(self) -> bool:
        """Whether no last layer of a classifier gives as many scores as the library would read:
        it would take the first numbers of the state for them."""
        shapes = {tensor.name: tensor.shape for tensor in read_model(self.path).tensors}
        last = next((shapes[name] for name in _CLASSIFIERS if name in shapes), None)
        return last is None or (*last, 1)[1] != self._lib.llama_model_n_cls_out(self.handle)

    @property
    def _classes(self) -> tuple[str, ...]:
        lib, count = self._lib, self._lib.llama_model_n_cls_out(self.handle)
        names = [lib.llama_model_cls_label(self.handle, number) for number in range(count)]
        return tuple((name or b"").decode("utf-8", "replace") for name in names)

    def _texts(self, tokens: Sequence[int]) -> tuple[str, ...]:
        return tuple(map(self.token_text, tokens))

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
