"""The llama.cpp backend: requests in, jobs to the engine, results out."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway.backends.base import MemoryUse, RenderedRequest
from gateway.backends.llama_cpp.context import Attending, Context, embed
from gateway.backends.llama_cpp.model import GgufModel
from gateway.backends.llama_cpp.shelf import Shelf
from gateway.config import ModelSpec, digest_memory
from gateway.constraints import GuidanceMatcher, grammar_of
from gateway.engine.engine import SERIAL_PIECE, Done, Engine, Stats
from gateway.engine.jobs import (
    Generated,
    OnText,
    Scored,
    generate,
    score,
)
from gateway.engine.trie import build_trie, count_nodes
from gateway.errors import ContextOverflow, InvalidRequest, ModelLoadError
from gateway.identity import digest_json, digest_text, weights_digests
from gateway.llama import library
from gateway.llama.reader import Reader
from gateway.types import (
    Completion,
    Delta,
    Embeddings,
    GenerationRequest,
    LabelScores,
    TokenLogprob,
    Usage,
)

_SETTINGS: Mapping[Attending, str] = {
    "plain": "kv_unified=0 flash_attn=0 extra_bufts=0",
    "flash": "kv_unified=0 flash_attn=1 type_k=q8_0 extra_bufts=0",
    "any": "kv_unified=0 flash_attn=auto extra_bufts=0",
}
"""What is asked of the library for each way to attend."""

_LONG_TEXT = 50_000
"""Characters; so many are tokenized in some 20 ms."""

_models: Shelf[tuple[object, ...], GgufModel] = Shelf()
_engines: Shelf[tuple[object, ...], Engine] = Shelf()


class LlamaCppBackend:
    """One GGUF file, served in process, with a GGUF LoRA adapter where the entry names one.

    Entries on the same file share one copy of the weights; where they differ in nothing but the
    adapter or the template, they share one engine, so that their requests are scheduled together.
    See `gateway.backends.base.Backend`.

    Raises:
        ModelLoadError: a file can not be loaded or is not the one that the entry describes.
    """

    def __init__(self, spec: ModelSpec, path: Path) -> None:
        self.spec = spec
        digests = weights_digests(path, digest_memory())
        if spec.sha256 and digests.file != spec.sha256:
            raise ModelLoadError(
                f"{path}: its sha256 is {digests.file}, models.toml says {spec.sha256}",
                hint=f"the file changed or is incomplete: gateway models pull {spec.name}",
            )
        kernels = library.settle_kernels(spec.kernels, digests.types)
        self.threads = spec.threads or _usable_cores()
        self._model_key = (digests.file,)
        self._model = _models.take(self._model_key, lambda: GgufModel(path))
        try:
            self._adapter, adapter_digest = None, ""
            if spec.adapter is not None:
                adapter_digest = weights_digests(spec.adapter, digest_memory()).contents
                self._adapter = self._model.adapter(
                    spec.adapter, adapter_digest, spec.adapter_scale
                )
            bitwise = spec.deterministic == "bitwise"
            self._attending: Attending = spec.attention if bitwise else "any"
            self._serial = bitwise and library.build().llamafile
            self._engine_key = (
                *self._model_key,
                spec.parallel,
                spec.context_length,
                self.threads,
                spec.batch_tokens,
                self._attending,
            )
            self._engine = _engines.take(self._engine_key, self._make_engine)
        except Exception:
            _models.give_back(self._model_key)
            raise
        self._closed = False
        self.concurrency = spec.parallel
        self._reader = Reader(spec, self._model)
        self.warnings = _weaknesses(spec)
        self.identity = self._identify(digests.contents, adapter_digest, kernels)
        self.fingerprint = digest_json(self.identity)

    def _make_engine(self) -> Engine:
        context = Context(
            self._model,
            sequences=self.spec.parallel,
            length=min(self.spec.context_length, self._model.context_trained),
            threads=self.threads,
            batch_tokens=self.spec.batch_tokens,
            attention=self._attending,
        )
        return Engine(context, serial=self._serial)

    def _identify(self, contents: str, adapter: str, kernels: str) -> Mapping[str, str]:
        build = library.build()
        serial = f"serial={min(SERIAL_PIECE, self.spec.batch_tokens)}" if self._serial else ""
        settings = " ".join(filter(None, (_SETTINGS[self._attending], kernels, serial)))
        identity = {
            "backend": "llama_cpp",
            "weights": contents,
            "chat_template": digest_text(self._reader.template_source or ""),
            "end_of_turn": self.spec.end_of_turn,
            "context_length": str(self._engine.context_length),
            "version": build.version,
            "build": build.system_info.strip(),
            "settings": settings,
        }
        if adapter:
            identity |= {"adapter": adapter, "adapter_scale": repr(self.spec.adapter_scale)}
        return identity

    async def generate(self, request: GenerationRequest) -> Completion:
        return await self._generate(request, None)

    async def stream(self, request: GenerationRequest) -> AsyncIterator[Delta]:
        loop = asyncio.get_running_loop()
        pieces: asyncio.Queue[Delta | None] = asyncio.Queue()

        def put(text: str, logprobs: tuple[TokenLogprob, ...]) -> None:
            loop.call_soon_threadsafe(pieces.put_nowait, Delta(text, logprobs=logprobs))

        task = asyncio.ensure_future(self._generate(request, put))
        task.add_done_callback(lambda _: pieces.put_nowait(None))
        try:
            told = 0
            while (delta := await pieces.get()) is not None:
                told += len(delta.logprobs)
                yield delta
            completion = await task
            yield Delta("", completion, (completion.logprobs or ())[told:])
        finally:
            task.cancel()

    async def score_labels(self, request: GenerationRequest, labels: Sequence[str]) -> LabelScores:
        prompt, continuations = self._reader.split_labels(request, labels)
        longest = max(len(tokens) for tokens in continuations)
        self._check_context(len(prompt) + longest)
        job = score(prompt, continuations, self._reader.vocabulary)
        done = await self._run(prompt, job)
        assert isinstance(done.answer, Scored)
        return LabelScores(
            labels=tuple(labels),
            logprobs=done.answer.logprobs,
            token_counts=tuple(len(tokens) + 1 for tokens in continuations),
            byte_counts=tuple(len(label.encode()) for label in labels),
            tokens_evaluated=len(prompt) + count_nodes(build_trie(continuations)),
            prompt_tokens=len(prompt),
            exact=True,
            fingerprint=self.fingerprint,
            timings=done.timings,
        )

    async def embed(self, texts: Sequence[str]) -> Embeddings:
        if not texts:
            raise InvalidRequest("no text to embed", parameter="input")
        tokens = [self._model.tokenize([(t, False)], add_special=True) for t in texts]
        for number, ids in enumerate(tokens):
            if not ids:
                raise InvalidRequest(f"text {number} is empty", parameter="input")
            self._check_context(len(ids))
        vectors = await asyncio.to_thread(embed, self._model, tokens, threads=self.threads)
        return Embeddings(
            tuple(tuple(float(x) for x in v) for v in vectors),
            sum(len(ids) for ids in tokens),
            self.fingerprint,
        )

    @property
    def stats(self) -> Stats:
        """What the engine has done since the model was loaded."""
        return self._engine.stats

    @property
    def memory(self) -> MemoryUse:
        taken = self._engine.memory
        return MemoryUse(self._model.weights_bytes, taken.cache, taken.scratch)

    @property
    def context_length(self) -> int:
        return self._engine.context_length

    @property
    def chat_template(self) -> str:
        return self._reader.template_source or ""

    def piece(self, token: int) -> bytes:
        return self._model.checked_piece(token)

    def render(self, request: GenerationRequest) -> RenderedRequest:
        return self._reader.render(request)

    def count(self, text: str) -> int:
        return self._reader.count(text)

    def head(self, text: str, tokens: int) -> str:
        return self._reader.head(text, tokens)

    def tail(self, text: str, tokens: int) -> str:
        return self._reader.tail(text, tokens)

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            await asyncio.to_thread(_engines.give_back, self._engine_key)
            _models.give_back(self._model_key)

    async def _generate(self, request: GenerationRequest, on_text: OnText | None) -> Completion:
        prompt = await self._read(request)
        self._check_context(len(prompt) + request.sampling.max_tokens)
        sampling = request.sampling
        if request.messages and self.spec.end_of_turn and request.constraint is None:
            sampling = replace(sampling, stop=(*sampling.stop, self.spec.end_of_turn))
        matcher = None
        if request.constraint is not None:
            grammar = await asyncio.to_thread(grammar_of, request.constraint)
            matcher = GuidanceMatcher(self._reader.guidance_tokenizer, grammar)
        job = generate(
            prompt,
            self._reader.vocabulary,
            sampling,
            logprobs=request.logprobs,
            matcher=matcher,
            on_text=on_text,
        )
        done = await self._run(prompt, job)
        answer = done.answer
        assert isinstance(answer, Generated)
        return Completion(
            text=answer.text,
            token_ids=answer.token_ids,
            finish_reason=answer.finish_reason,
            usage=Usage(len(prompt), len(answer.token_ids)),
            fingerprint=self.fingerprint,
            logprobs=answer.logprobs,
            timings=done.timings,
        )

    async def _read(self, request: GenerationRequest) -> tuple[int, ...]:
        """The prompt's tokens; a long text is read beside the event loop, which others need."""
        length = len(request.prompt or "") + sum(len(m.content) for m in request.messages)
        if length < _LONG_TEXT:
            return self.render(request).token_ids
        return (await asyncio.to_thread(self.render, request)).token_ids

    async def _run(self, prompt: Sequence[int], job: Any) -> Done:
        """Wait for a job; when the caller is cancelled, so is the job."""
        return await asyncio.wrap_future(self._engine.submit(prompt, job, self._adapter))

    def _check_context(self, needed: int) -> None:
        if needed > self._engine.context_length:
            raise ContextOverflow(needed, self._engine.context_length)


def _weaknesses(spec: ModelSpec) -> tuple[str, ...]:
    """What lets results depend on batching and caches, each in one sentence."""
    if spec.deterministic == "off":
        return (
            f'{spec.name} runs with deterministic = "off": results may depend on what is cached or '
            "batched",
        )
    return library.build().weaknesses()


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
