"""The llama.cpp backend: a GGUF file in this process."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from gateway.backends.llama_cpp import plain, trial
from gateway.backends.llama_cpp.adapter import Adapter
from gateway.backends.llama_cpp.context import Attending, NoContext
from gateway.backends.llama_cpp.embedding import Vector, outputs, pair, unit
from gateway.backends.llama_cpp.model import GgufModel
from gateway.backends.llama_cpp.offload import offload
from gateway.backends.llama_cpp.spec import LlamaCppSpec
from gateway.backends.llama_cpp.states import StateReader
from gateway.backends.llama_cpp.tiled import context_kind
from gateway.core.digests import digest_json
from gateway.core.errors import InvalidRequest, ModelLoadError, Unsupported
from gateway.core.mapped import SeenFiles
from gateway.core.types import EmbeddingInput, Embeddings, GenerationRequest, MemoryUse, Ranking
from gateway.engine.engine import SERIAL_PIECE, Engine
from gateway.engine.in_process import EngineBackend, usable_cores
from gateway.engine.kept_beginnings import kept_beginnings
from gateway.engine.llama import library
from gateway.engine.reader import Reader
from gateway.engine.shared import Shelf
from gateway.models.abilities import READ_ALONE, Abilities, Pooling
from gateway.models.choices import SPLIT_FORM, Choice, choice_for, rows_of
from gateway.models.environment import digest_memory, kept_files, tries_files
from gateway.models.gguf_parts import files_of
from gateway.models.locate import described_digests
from gateway.models.weights import WeightsDigests, weights_digests

_SETTINGS: Mapping[Attending, str] = {
    "plain": "kv_unified=0 flash_attn=0",
    "flash": "kv_unified=0 flash_attn=1 type_k=q8_0",
    "tiled": "kv_unified=0 flash_attn=1 prompts=tiled",
    "any": "kv_unified=0 flash_attn=auto",
}
"""What is asked of the library for each way to attend."""

_models: Shelf[tuple[object, ...], GgufModel] = Shelf()
_engines: Shelf[tuple[object, ...], Engine] = Shelf()


class LlamaCppBackend(EngineBackend):
    """One GGUF file, served in process, with a GGUF LoRA adapter where the entry names one.

    Entries on the same file share one copy of the weights; where they differ in nothing but the
    adapter or the template, they share one engine, so that their requests are scheduled together.
    See `gateway.backends.protocol.Backend`.

    Raises:
        ModelLoadError: a file cannot be loaded or is not the one that the entry describes.
    """

    spec: LlamaCppSpec
    _adapter: Adapter | None

    def __init__(self, spec: LlamaCppSpec, path: Path) -> None:
        self.spec = spec
        seen = SeenFiles(files_of(path))
        digests = described_digests(spec, path)
        self._kernels = library.settle_kernels(spec.kernels, digests.types)
        self.threads = spec.threads or usable_cores()
        self._offload = offload(spec, path)
        self.choice = self._chosen(digests.file)
        chosen = self.choice.settings if self.choice else spec.pinned
        self._repack, self._split = chosen.repack, chosen.split
        where = (self._offload.setting, self._repack, self._split)
        self._model_key = (digests.file, digests.contents, *where)
        self._attending: Attending = chosen.attention if spec.deterministic == "bitwise" else "any"
        split = self._split_from(digests)
        trial.check(
            *(path, digests.contents, self._attending, self._offload, spec.parallel),
            split=split,
        )
        load = partial(GgufModel, path, self._offload, repack=self._repack, split=split)
        self._model = _models.take(self._model_key, load)
        self._files = self._model.files
        try:
            seen.check()
            if split and not tries_files():
                trial.refuse_lost_minimums(self._model)
            self._adapter = self._load_adapter(digests)
            bitwise = spec.deterministic == "bitwise"
            self.abilities = _as_entry_says(spec, self._model.abilities)
            on_card = self._offload.layers > 0
            alone = self._model.abilities.architecture in READ_ALONE
            self._serial = bitwise and (on_card or alone or library.build().llamafile)
            self._engine_key = (
                *self._model_key,
                spec.parallel,
                spec.context_length,
                self.threads,
                spec.batch_tokens,
                self._attending,
            )
            make = partial(self._make_engine, digests.contents)
            self._engine = _engines.take(self._engine_key, make)
        except Exception:
            _models.give_back(self._model_key)
            raise
        self._closed = False
        self.concurrency = spec.parallel
        self._reader = Reader(spec, self._model)
        self.warnings = (*filter(None, [self._offload.remark]), *_weaknesses(spec), *self._told())
        self.identity = self._identify(digests.contents)
        self.fingerprint = digest_json(self.identity)

    def _chosen(self, file: str) -> Choice | None:
        """What was certified as fastest for this file here, where the entry leaves it open."""
        if not self.chooses:
            return None
        rows = rows_of(self.spec.batch_tokens, self.spec.parallel)
        build, adapted = str(library.build()), self.spec.adapter is not None
        return choice_for(file, self.spec.kernels, build, rows, adapted=adapted)

    def _split_from(self, digests: WeightsDigests) -> str:
        """Digest of the file that is computed split; empty: it is not."""
        if self._split and self._offload.layers:
            raise ModelLoadError(
                f"{self.spec.name}: split weights are computed on a processor alone",
                hint="gpu_layers = 0 in its entry, or leave split out",
            )
        return digests.file if self._split else ""

    @property
    def chooses(self) -> bool:
        """See `gateway.backends.protocol.Choosing`."""
        return self.spec.chooses and not self._offload.layers and not library.build().llamafile

    def _load_adapter(self, base: WeightsDigests) -> Adapter | None:
        """The entry's adapter for these weights."""
        spec = self.spec
        if spec.adapter is None:
            return None
        # Most entries have none, and what reads cards and tensors takes a while to load.
        from gateway.models.adapters.check import refuse_other_weights

        refuse_other_weights(spec.adapter.parent, base.contents, base.first)
        digest = weights_digests(spec.adapter, digest_memory()).contents
        return self._model.adapter(spec.adapter, digest, spec.adapter_scale)

    def _told(self) -> tuple[str, ...]:
        """What a person should know of chat template and adapter."""
        if self.spec.adapter is None:
            return self._reader.warnings
        from gateway.models.adapters.warnings import told_of

        template = self._reader.template_source
        return (*self._reader.warnings, *told_of(self.spec.name, self.spec.adapter, template))

    def _make_engine(self, contents: str) -> Engine:
        length = min(self.spec.context_length, self._model.context_trained)
        if not self.abilities.writes:
            batch, count = self.spec.batch_tokens, self.spec.parallel
            return Engine(NoContext(sequences=count, length=length, batch_tokens=batch))
        make = partial(
            context_kind(self._attending),
            self._model,
            sequences=self.spec.parallel,
            length=length,
            threads=self.threads,
            batch_tokens=self.spec.batch_tokens,
            attention=self._attending,
        )
        # On a card it was never measured, and computing takes hardly longer than reading.
        of_processor = self.spec.deterministic == "bitwise" and not self._offload.layers
        files = kept_files() if of_processor else None
        context = make()
        # A state says of how many sequences the memory was, and is refused by one of others.
        of = {**self._computing(contents, context.length), "sequences": str(self.spec.parallel)}
        kept = kept_beginnings(files, of)
        apart = self._attending == "tiled"
        return Engine(context, remake=make, serial=self._serial, kept=kept, prompts_apart=apart)

    def _computing(self, contents: str, context_length: int) -> Mapping[str, str]:
        """What computes, whatever is read: all that the state behind some tokens depends on."""
        build = library.build()
        serial = f"serial={min(SERIAL_PIECE, self.spec.batch_tokens)}" if self._serial else ""
        on_card = self._offload.setting
        ways = f"{_SETTINGS[self._attending]} extra_bufts={int(self._repack)}"
        ways += f" q4_1=split form={SPLIT_FORM}" if self._split else ""
        asked = (ways, self._kernels, serial, on_card)
        of_card = ", ".join(card.description for card in self._offload.cards)
        return {
            "backend": "llama_cpp",
            "weights": contents,
            "context_length": str(context_length),
            "version": build.version,
            "build": build.system_info.strip(),
            "settings": " ".join(filter(None, asked)),
            **({"device": of_card} if on_card else {}),
        }

    def _identify(self, contents: str) -> Mapping[str, str]:
        computing = self._computing(contents, self._engine.context_length)
        first = {key: computing[key] for key in ("backend", "weights")}
        identity = {**first, **self._reader.identity, **computing, **self._of_vectors}
        if self._adapter is not None:
            scale = repr(self.spec.adapter_scale)
            identity |= {"adapter": self._adapter.digest, "adapter_scale": scale}
        return identity

    @property
    def _of_vectors(self) -> Mapping[str, str]:
        """What the entry or the file say of embedding, where it is not the mean over a text with
        nothing behind it."""
        pooled = {"pooling": self._pooling} if self._pooling != "mean" else {}
        raw = {} if self.spec.normalize else {"normalize": "no"}
        behind = {"behind_embedded": " ".join(self.abilities.behind)}
        return {**pooled, **raw, **(behind if self.abilities.behind else {})}

    @property
    def _pooling(self) -> Pooling:
        said = self.abilities.pooling
        return "mean" if said == "none" else said

    def _vectors(self, texts: Sequence[Sequence[int]]) -> Iterable[Iterable[float]]:
        found = self._outputs(texts)
        return map(unit, found) if self.spec.normalize else found

    def _outputs(self, texts: Sequence[Sequence[int]]) -> list[Vector]:
        threads, adapter = self.threads, self._adapter
        return outputs(self._model, texts, self._pooling, threads=threads, adapter=adapter)

    async def embed(self, texts: Sequence[EmbeddingInput]) -> Embeddings:
        return replace(await super().embed(texts), unit=self.spec.normalize)

    async def rerank(self, query: str, documents: Sequence[str]) -> Ranking:
        """See `gateway.backends.protocol.Ranks`."""
        self.abilities.check(self.spec.name, "rerank")
        if not documents:
            raise InvalidRequest("no documents to rank", parameter="documents")
        pairs = [pair(self._model, query, document) for document in documents]
        for tokens in pairs:
            self._check_context(len(tokens))
        found = await asyncio.to_thread(self._outputs, pairs)
        scores = tuple(float(each[self.abilities.relevance or 0]) for each in found)
        return Ranking(scores, sum(map(len, pairs)), self.fingerprint)

    async def plain_scores(
        self, request: GenerationRequest, labels: Sequence[str]
    ) -> tuple[float, ...]:
        """See `gateway.backends.protocol.Plain`."""
        self.abilities.check(self.spec.name, "score")
        prompt, continuations = self._reader.split_labels(request, labels, self.context_length)
        score = partial(
            plain.label_score,
            self._model,
            prompt,
            vocabulary=self._reader.vocabulary,
            threads=self.threads,
            attention=self._attending,
            adapter=self._adapter,
        )
        found = [await asyncio.to_thread(score, tokens) for tokens in continuations]
        return tuple(found)

    async def plain_vector(self, text: str) -> tuple[float, ...]:
        """See `gateway.backends.protocol.Plain`."""
        self.abilities.check(self.spec.name, "embed")
        tokens = self._embedded(text)
        made = plain.vector(
            self._model, tokens, self._pooling, threads=self.threads, adapter=self._adapter
        )
        return tuple(map(float, made))

    @property
    def blocks(self) -> int:
        """Of the model; behind each but the last it tells its hidden states."""
        return self._model.blocks

    def states(self, layers: Sequence[int]) -> StateReader:
        """Who reads hidden states behind these layers; the caller closes it.

        Raises:
            Unsupported: the model lies on a card.
            ModelLoadError: the memory cannot be had.
        """
        if self._offload.layers:
            raise Unsupported(
                "hidden states of layers on a card", hint="gpu_layers = 0 in its entry"
            )
        return StateReader(
            self._model,
            layers,
            length=self.context_length,
            threads=self.threads,
            batch_tokens=self.spec.batch_tokens,
            # What is watched here are all rows of a pass, and none that fill it up.
            attention="flash" if self._attending == "tiled" else self._attending,
        )

    @property
    def memory(self) -> MemoryUse:
        taken, where = self._engine.memory, str(self._offload)
        weights = self._model.weights_bytes
        return MemoryUse(weights, taken.cache, taken.scratch, where, taken.state)

    async def close(self) -> None:
        await asyncio.to_thread(self.release)

    def release(self) -> None:
        """As `close`, for who has no event loop."""
        if not self._closed:
            self._closed = True
            _engines.give_back(self._engine_key)
            _models.give_back(self._model_key)


def _as_entry_says(spec: LlamaCppSpec, abilities: Abilities) -> Abilities:
    return abilities if spec.pooling == "auto" else replace(abilities, pooling=spec.pooling)


def _weaknesses(spec: LlamaCppSpec) -> tuple[str, ...]:
    """What lets results depend on batching and caches, each in one sentence."""
    if spec.deterministic == "off":
        return (
            f'{spec.name} runs with deterministic = "off": results may depend on what is cached or '
            "batched",
        )
    return library.build().weaknesses()
