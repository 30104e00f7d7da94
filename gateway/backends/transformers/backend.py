"""The transformers backend: a GGUF file dequantized, or a folder of safetensors, on torch."""

import asyncio
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path

from gateway.backends.transformers import library
from gateway.backends.transformers.adapter_folder import adapter_digest, adapter_kind
from gateway.backends.transformers.model import TorchModel
from gateway.backends.transformers.spec import TransformersSpec
from gateway.backends.transformers.tokenizer import FolderTokenizer
from gateway.core.digests import digest_json, file_digest
from gateway.core.errors import ModelLoadError
from gateway.core.kept import KeptFiles
from gateway.core.mapped import SeenFiles
from gateway.core.types import MemoryUse
from gateway.engine.engine import PROMPT_BESIDE_SHORT, SERIAL_PIECE, Engine
from gateway.engine.in_process import EngineBackend, usable_cores
from gateway.engine.kept_beginnings import kept_beginnings
from gateway.engine.llama.vocabulary import GgufVocabulary
from gateway.engine.reader import Reader
from gateway.engine.shared import Shelf
from gateway.models.adapters.check import refuse_other_weights
from gateway.models.adapters.folder import WEIGHTS
from gateway.models.adapters.warnings import told_of
from gateway.models.environment import kept_files
from gateway.models.gguf_parts import files_of
from gateway.models.locate import described_digests
from gateway.models.shards import refuse_broken_folder
from gateway.models.weights import folder_contents_digest, shards_identity

_models: Shelf[tuple[object, ...], TorchModel] = Shelf()
_engines: Shelf[tuple[object, ...], Engine] = Shelf()
_taking = threading.Lock()


class TransformersBackend(EngineBackend):
    """A causal language model on torch, with a PEFT adapter where the entry names one.

    Entries on the same weights share one copy of them; where they differ in nothing but the adapter
    or the template, they share one engine, which computes one adapter at a time.
    See `gateway.backends.protocol.Backend`.

    At "bitwise" requests are computed together in passes whose shape keeps their bytes apart (see
    `steady`). Where none does, on this machine or with these layers, one request is computed at a
    time, a prompt in pieces of `SERIAL_PIECE` tokens counted from its beginning, and whole ones
    are kept for the next prompt: then every shape is a function of the request alone. With
    `deterministic = "off"` torch's own attention is taken, and no row is idle.

    Raises:
        ModelLoadError: a file cannot be loaded or is not the one that the entry describes.
    """

    spec: TransformersSpec
    _adapter: str | None

    def __init__(self, spec: TransformersSpec, path: Path) -> None:
        self.spec = spec
        seen = SeenFiles(_read_of(spec, path))
        weights = _weights(spec, path)
        if spec.adapter:
            refuse_other_weights(spec.adapter, weights.digest, weights.first)
        self.threads = spec.threads or usable_cores()
        # An adapter of another type must not come between.
        with _taking:
            self._model_key, self._model = _take_model(spec, path, weights)
            self._adapter = self._add_adapter()
        self._files = self._model.files
        try:
            seen.check()
            self._computing = self._settled(weights)
            self._serial = spec.deterministic == "bitwise" and not self._is_steady()
            self._tokenizer = tokenizer_of(path, self._model)
            self._engine_key = (
                *self._model_key,
                spec.parallel,
                spec.context_length,
                self.threads,
                spec.deterministic,
                self._serial,
                self._batch_tokens(),
            )
            self._engine = _engines.take(self._engine_key, self._make_engine)
        except Exception:
            self._give_back_model()
            raise
        self._closed = False
        self.concurrency = spec.parallel
        self._reader = Reader(spec, self._tokenizer)
        of_tokens = getattr(self._tokenizer, "warnings", ())
        told = (f"{spec.name}: {said}" for said in (*self._model.warnings, *of_tokens))
        self.warnings = (*_weaknesses(spec), *told, *self._reader.warnings)
        if spec.adapter is not None:
            self.warnings += told_of(
                spec.name, spec.adapter / WEIGHTS, self._reader.template_source
            )
        self.identity = self._identify(weights)
        self.fingerprint = digest_json(self.identity)

    def _add_adapter(self) -> str | None:
        """Put the entry's adapter on the layers; its name there."""
        if self.spec.adapter is None or self.spec.adapter_merged:
            return None
        try:
            return self._model.add_adapter(self.spec.adapter, pickles=_pickles(self.spec))
        except Exception:
            _models.give_back(self._model_key)
            raise

    def _is_steady(self) -> bool:
        """Whether requests can be computed together; found once for each adapter."""
        from gateway.backends.transformers.tried_shapes import shape_of

        model = self._model
        if model.mixes_rows:
            return False
        if self._adapter not in model.shapes:
            found = shape_of(model, self._adapter, self.threads, self._computing)
            model.shapes[self._adapter] = found
        return model.shapes[self._adapter] is not None

    def _make_engine(self) -> Engine:
        from gateway.backends.transformers.context import TorchContext

        make = partial(
            TorchContext,
            self._model,
            sequences=self.spec.parallel,
            length=min(self.spec.context_length, self._model.context_trained),
            batch_tokens=self._batch_tokens(),
            threads=self.threads,
            fast=self.spec.deterministic == "off",
        )
        files = self._kept_files()
        context = make()
        of_pass = {"context_length": str(context.length), "serial": str(self._serial)}
        kept = kept_beginnings(files, {**self._computing, **of_pass})
        of_card = self._model.device.type == "cuda"
        return Engine(
            context,
            remake=make,
            serial=self._serial,
            prompt_beside_short=context.batch_tokens if of_card else PROMPT_BESIDE_SHORT,
            kept=kept,
        )

    def _kept_files(self) -> KeptFiles | None:
        """Where beginnings of prompts are kept: of what a processor computes to the last bit."""
        of_processor = self._model.device.type == "cpu" and not library.depends_on_threads()
        return kept_files() if of_processor and self.spec.deterministic == "bitwise" else None

    def _settled(self, weights: "_Weights") -> Mapping[str, str]:
        """What computes on a processor, whatever is read: all that the state behind some tokens
        depends on, an adapter that is on the layers apart."""
        torch, transformers = library.load()
        spec, packing = self.spec, self._model.packing
        merged = spec.adapter is not None and spec.adapter_merged
        return {
            "backend": "transformers",
            "weights": digest_json([str(each) for each in weights.key]),
            "dtype": spec.dtype,
            "quantize": f"{spec.quantize} {packing.named if packing else ''}",
            "adapter": self._digest_of_adapter() if merged else "",
            "version": f"{transformers.__version__} {torch.__version__}",
            "build": f"{torch.backends.cpu.get_cpu_capability()} {library.mode()}",
        }

    def _digest_of_adapter(self) -> str:
        assert self.spec.adapter is not None
        return adapter_digest(self.spec.adapter, pickles=_pickles(self.spec))

    def _batch_tokens(self) -> int:
        """Most tokens of a pass: on a card, as many as keep it busy."""
        if self._model.device.type != "cuda" or self._serial:
            return SERIAL_PIECE
        from gateway.backends.transformers.invariant_shape import SIZES

        fast = self.spec.deterministic == "off"
        return SIZES[-1] if fast else self._model.shape(self._adapter).sizes[-1]

    def _identify(self, weights: "_Weights") -> Mapping[str, str]:
        from gateway.backends.transformers.attention import BLOCK

        torch, transformers = library.load()
        serial = f"serial={SERIAL_PIECE}" if self._serial else ""
        attention = "sdpa" if self.spec.deterministic == "off" else f"blocks of {BLOCK}"
        build = f"{torch.backends.cpu.get_cpu_capability()} MKL_CBWR={library.mode()}"
        if self._model.device.type == "cuda":
            build = library.card(self._model.device)
            shape = self._model.shape(self._adapter)
            if self.spec.deterministic != "off" and not self._serial:
                attention = f"{shape.attending}, passes of {shape.sizes} rows"
        identity = {
            "backend": "transformers",
            "weights": weights.digest,
            **weights.shards,
            "dtype": self.spec.dtype,
            "device": self.spec.device,
            "attention": attention,
            **self._reader.identity,
            "context_length": str(self.context_length),
            "version": f"transformers {transformers.__version__}, torch {torch.__version__}",
            "build": build,
            "settings": serial,
        }
        if self.spec.quantize:
            identity["quantize"] = f"{self.spec.quantize}, bitsandbytes {version('bitsandbytes')}"
        if packing := self._model.packing:
            computed = ", unpacked" if packing.unpacked else f" {version('bitsandbytes')}"
            identity["packing"] = packing.named + computed
        if self.spec.adapter:
            merged = ", merged" if self.spec.adapter_merged else ""
            identity["adapter"] = self._digest_of_adapter() + merged
        return identity

    def _vectors(self, texts: Sequence[Sequence[int]]) -> Iterable[Iterable[float]]:
        from gateway.backends.transformers.embedding import embed

        return embed(self._model, texts, self._adapter, self.threads)

    @property
    def context_length(self) -> int:
        """What an adapter has learned to put before every prompt takes its part of it."""
        beginning = self._model.adapters.beginning(self._adapter)
        return self._engine.context_length - (beginning.tokens if beginning else 0)

    @property
    def memory(self) -> MemoryUse:
        taken = self._engine.memory
        where = f"device {self.spec.device}"
        return MemoryUse(self._model.weights_bytes, taken.cache, taken.scratch, where)

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            await asyncio.to_thread(_engines.give_back, self._engine_key)
            self._tokenizer.close()
            self._give_back_model()

    def _give_back_model(self) -> None:
        if self._adapter:
            self._model.give_back_adapter(self._adapter)
        _models.give_back(self._model_key)


def _take_model(
    spec: TransformersSpec, path: Path, weights: "_Weights"
) -> tuple[tuple[object, ...], TorchModel]:
    """The weights and their key; a copy of its own for an adapter that no other one goes with."""

    def load() -> TorchModel:
        model = TorchModel(path, dtype=spec.dtype, device=spec.device, quantize=spec.quantize)
        if spec.adapter and spec.adapter_merged:
            model.merge(spec.adapter, pickles=_pickles(spec))
        return model

    key: tuple[object, ...] = (*weights.key, spec.dtype, spec.device, spec.quantize)
    if spec.adapter and spec.adapter_merged:
        key = (*key, adapter_digest(spec.adapter, pickles=_pickles(spec)))
        return key, _models.take(key, load)
    model = _models.take(key, load)
    if spec.adapter is None or model.adapters.takes(adapter_kind(spec.adapter)):
        return key, model
    _models.give_back(key)
    key = (*key, adapter_kind(spec.adapter))
    return key, _models.take(key, load)


def _pickles(spec: TransformersSpec) -> bool:
    """Whether the person has let the adapter be read from a pickle."""
    return bool(spec.adapter_pickle)


@dataclass(frozen=True, slots=True)
class _Weights:
    """What tells a model's weights from others'."""

    digest: str
    """Of their contents: of a GGUF as everywhere, of a folder all that a model is read from."""
    first: str = ""
    """As `WeightsDigests.first`."""
    shards: Mapping[str, str] = field(default_factory=dict)
    """As `shards_identity`."""
    ends: str = ""
    """Digest of generation_config.json, which transformers loads with them."""

    @property
    def key(self) -> tuple[object, ...]:
        """Of what is loaded, which entries share."""
        return (self.digest, *self.shards.values(), self.ends)


def _weights(spec: TransformersSpec, path: Path) -> _Weights:
    """Raises:
    ModelLoadError: it is not the file that the entry describes, or no folder of safetensors.
    """
    if not path.is_dir():
        digests = described_digests(spec, path)
        return _Weights(digests.contents, digests.first)
    if spec.sha256:
        raise ModelLoadError(f"model {spec.name}: sha256 is of a file, and {path} is a folder")
    # Also where the same weights are loaded already, for an entry of a sound folder.
    refuse_broken_folder(path)
    file = path / "generation_config.json"
    return _Weights(
        folder_contents_digest(path),
        shards=shards_identity(path),
        ends=file_digest(file) if file.is_file() else "",
    )


def tokenizer_of(path: Path, model: TorchModel) -> GgufVocabulary | FolderTokenizer:
    """What reads texts for a model: llama.cpp's vocabulary of a GGUF, or the folder's own."""
    if path.is_dir():
        return FolderTokenizer(path, model.end_tokens, model.vocab_size)
    return GgufVocabulary(path)


def _read_of(spec: TransformersSpec, path: Path) -> Iterator[Path]:
    """Files that a model and its adapter are read from."""
    if path.is_dir():
        yield from (file for file in path.iterdir() if file.is_file())
    else:
        yield from files_of(path)
    if spec.adapter is not None and spec.adapter.is_dir():
        yield from (file for file in spec.adapter.glob("adapter_*") if file.is_file())


def _weaknesses(spec: TransformersSpec) -> tuple[str, ...]:
    """What lets results depend on batching and caches, each in one sentence."""
    if spec.deterministic == "off":
        return (
            f'{spec.name} runs with deterministic = "off": results may depend on what '
            "is cached and on what runs beside",
        )
    if spec.device == "cpu" and library.depends_on_threads():
        return (
            f"{spec.name}: torch's products of matrices change with the number of threads here; "
            "MKL was used before it could be told MKL_CBWR=AVX2,STRICT",
        )
    return ()
