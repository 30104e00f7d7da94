"""The llama.cpp backend: requests in, jobs to the engine, results out."""

import asyncio
import bisect
import os
import re
import warnings
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from gateway import chat_template
from gateway.backends.base import RenderedRequest
from gateway.backends.llama_cpp import library
from gateway.backends.llama_cpp.context import Context, embed
from gateway.backends.llama_cpp.engine import Done, Engine, Stats
from gateway.backends.llama_cpp.jobs import (
    Generated,
    Scored,
    Vocabulary,
    build_trie,
    count_nodes,
    generate,
    score,
)
from gateway.backends.llama_cpp.model import GgufModel, Segment
from gateway.config import Determinism, ModelSpec, digest_memory
from gateway.constraints import GuidanceMatcher, grammar_of
from gateway.errors import ContextOverflow, InvalidRequest, ModelLoadError, NoChatTemplate
from gateway.identity import digest_json, digest_text, weights_digests
from gateway.types import (
    Completion,
    Delta,
    Embeddings,
    GenerationRequest,
    LabelScores,
    Message,
    Usage,
)

_MARK = "\ue000{}\ue001"
"""Stands for a control token's text inside a message while the chat template is rendered."""
_MARKED = re.compile("\ue000([0-9]+)\ue001")
_SETTINGS: Mapping[Determinism, str] = {
    "bitwise": "kv_unified=0 flash_attn=0 extra_bufts=0",
    "off": "kv_unified=0 flash_attn=auto extra_bufts=0",
}
"""What is asked of the library for each level of determinism."""

_CHARACTERS_PER_TOKEN = 16
"""Where a search for the length of a text begins; most texts have 3 to 5."""


class LlamaCppBackend:
    """One GGUF file, served in process. See `gateway.backends.base.Backend`.

    Raises:
        ModelLoadError: the file can not be loaded or is not the one that the entry describes.
    """

    def __init__(self, spec: ModelSpec, path: Path) -> None:
        self.spec = spec
        digests = weights_digests(path, digest_memory())
        if spec.sha256 and digests.file != spec.sha256:
            raise ModelLoadError(
                f"{path}: its sha256 is {digests.file}, models.toml says {spec.sha256}",
                hint=f"the file changed or is incomplete: gateway models pull {spec.name}",
            )
        bitwise = spec.deterministic == "bitwise"
        self._model = GgufModel(path)
        length = min(spec.context_length, self._model.context_trained)
        self.threads = spec.threads or _usable_cores()
        try:
            context = Context(
                self._model,
                sequences=spec.parallel,
                length=length,
                threads=self.threads,
                batch_tokens=spec.batch_tokens,
                bitwise=bitwise,
            )
        except ModelLoadError:
            self._model.close()
            raise
        self._context_length = context.length
        self._engine = Engine(context)
        self.concurrency = spec.parallel
        self._template_source = _template_source(spec, self._model)
        self.warnings = _weaknesses(spec)
        self.identity = self._identify(digests.contents)
        self.fingerprint = digest_json(self.identity)

    def _identify(self, contents: str) -> Mapping[str, str]:
        build = library.build()
        return {
            "backend": "llama_cpp",
            "weights": contents,
            "chat_template": digest_text(self._template_source or ""),
            "end_of_turn": self.spec.end_of_turn,
            "context_length": str(self._context_length),
            "version": build.version,
            "build": build.system_info.strip(),
            "settings": f"{_SETTINGS[self.spec.deterministic]} tiled_mm={int(build.tiled_kernels)}",
        }

    async def generate(self, request: GenerationRequest) -> Completion:
        return await self._generate(request, None)

    async def stream(self, request: GenerationRequest) -> AsyncIterator[Delta]:
        loop = asyncio.get_running_loop()
        pieces: asyncio.Queue[str | None] = asyncio.Queue()

        def put(text: str) -> None:
            loop.call_soon_threadsafe(pieces.put_nowait, text)

        task = asyncio.ensure_future(self._generate(request, put))
        task.add_done_callback(lambda _: pieces.put_nowait(None))
        try:
            while (text := await pieces.get()) is not None:
                yield Delta(text)
            yield Delta("", await task)
        finally:
            task.cancel()

    async def score_labels(self, request: GenerationRequest, labels: Sequence[str]) -> LabelScores:
        _check_labels(labels)
        prompt, continuations = self._split_labels(request, labels)
        longest = max(len(tokens) for tokens in continuations)
        self._check_context(len(prompt) + longest)
        job = score(prompt, continuations, self._vocabulary)
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

    def render(self, request: GenerationRequest) -> RenderedRequest:
        segments = self._segments(request)
        tokens = self._tokenize(segments)
        return RenderedRequest("".join(text for text, _ in segments), tuple(tokens))

    def count(self, text: str) -> int:
        return len(self._plain_tokens(text))

    def head(self, text: str, tokens: int) -> str:
        return text[: self._fitting(text, tokens, lambda length: text[:length])]

    def tail(self, text: str, tokens: int) -> str:
        fits = self._fitting(text, tokens, lambda length: text[len(text) - length :])
        return text[len(text) - fits :]

    def _fitting(self, text: str, tokens: int, part: Callable[[int], str]) -> int:
        """Most characters whose part of the text is at most that many tokens.

        Characters are searched, not tokens cut: a vocabulary that lacks a byte loses it, so that
        the pieces of some tokens do not join to the text again. The whole text comes first: it
        can be fewer tokens than a part of it ("NULL" is one token and "NUL" two).
        """
        if self.count(text) <= tokens:
            return len(text)
        limit = min(len(text), tokens * _CHARACTERS_PER_TOKEN)
        if self.count(part(limit)) <= tokens:
            limit = len(text)
        lengths = range(1, limit + 1)
        return bisect.bisect_right(lengths, tokens, key=lambda length: self.count(part(length)))

    async def close(self) -> None:
        await asyncio.to_thread(self._engine.close)
        self._model.close()

    async def _generate(
        self, request: GenerationRequest, on_text: Callable[[str], None] | None
    ) -> Completion:
        prompt = self.render(request).token_ids
        self._check_context(len(prompt) + request.sampling.max_tokens)
        sampling = request.sampling
        if request.messages and self.spec.end_of_turn and request.constraint is None:
            sampling = replace(sampling, stop=(*sampling.stop, self.spec.end_of_turn))
        matcher = None
        if request.constraint is not None:
            grammar = await asyncio.to_thread(grammar_of, request.constraint)
            matcher = GuidanceMatcher(self._guidance_tokenizer, grammar)
        job = generate(
            prompt,
            self._vocabulary,
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

    async def _run(self, prompt: Sequence[int], job: Any) -> Done:
        """Wait for a job; when the caller is cancelled, so is the job."""
        return await asyncio.wrap_future(self._engine.submit(prompt, job))

    def _check_context(self, needed: int) -> None:
        if needed > self._context_length:
            raise ContextOverflow(needed, self._context_length)

    def _split_labels(
        self, request: GenerationRequest, labels: Sequence[str]
    ) -> tuple[list[int], list[list[int]]]:
        """The tokens that all labels share, and each label's own after them.

        A label is tokenized together with the prompt before it, because a tokenizer may join the
        end of the prompt and the beginning of the label into one token.
        """
        segments = self._segments(request)
        whole = [self._tokenize(self._extend(segments, label)) for label in labels]
        shared = min(_common(whole[0], other) for other in whole)
        shared = min(shared, _common(whole[0], self._tokenize(segments)))
        if shared == 0:
            raise InvalidRequest("the prompt is empty: there is nothing to score labels after")
        continuations = [tokens[shared:] for tokens in whole]
        for label, tokens in zip(labels, continuations, strict=True):
            if not tokens:
                raise InvalidRequest(f"label {label!r} can not be tokenized after this prompt")
        return whole[0][:shared], continuations

    def _segments(self, request: GenerationRequest) -> list[Segment]:
        """The text of a request, split where data must not be read as control tokens."""
        if request.prompt is not None:
            return self._extend([(request.prompt, True)], request.answer_start)
        template = self._chat_template
        hidden: list[str] = []
        messages = [Message(m.role, self._hide(m.content, hidden)) for m in request.messages]
        special = {
            "bos_token": self._model.special_text("bos"),
            "eos_token": self._model.special_text("eos"),
        }
        text = template.render(messages, special=special)
        segments: list[Segment] = []
        for number, piece in enumerate(_MARKED.split(text)):
            if number % 2:
                segments.append((hidden[int(piece)], False))
            elif piece:
                segments.append((piece, True))
        return self._extend(segments, request.answer_start)

    def _hide(self, content: str, hidden: list[str]) -> str:
        """Put a mark in place of every control token's text in a message.

        The marks' own characters, should data contain them, are hidden the same way.
        """

        def mark(found: re.Match[str]) -> str:
            hidden.append(found.group())
            return _MARK.format(len(hidden) - 1)

        return self._data_pattern.sub(mark, content)

    @cached_property
    def _data_pattern(self) -> re.Pattern[str]:
        control = self._model.control_pattern
        marks = "[\ue000\ue001]"
        return re.compile(f"{control.pattern}|{marks}" if control else marks)

    def _extend(self, segments: Sequence[Segment], text: str) -> list[Segment]:
        """Add text that is data, an answer's beginning or a label, to the last segment."""
        if not text:
            return list(segments)
        control = self._model.control_pattern
        if control and control.search(text):
            return [*segments, (text, False)]
        *before, (last, special) = segments
        return [*before, (last + text, special)]

    def _tokenize(self, segments: Sequence[Segment]) -> list[int]:
        bos = self._model.special_text("bos")
        already = bool(bos) and segments[0][0].startswith(bos)
        split = [piece for s in segments for piece in self._defuse(s)]
        return self._model.tokenize(split, add_special=not already)

    def _defuse(self, segment: Segment) -> list[Segment]:
        """Cut data that spells a control token after its first character.

        llama.cpp finds user-defined control tokens even when told not to parse any; a token that
        is cut in two it can not find.
        """
        text, parse_special = segment
        control = self._model.control_pattern
        if parse_special or control is None:
            return [segment]
        pieces: list[Segment] = []
        start = 0
        for found in control.finditer(text):
            pieces.append((text[start : found.start() + 1], False))
            start = found.start() + 1
        pieces.append((text[start:], False))
        return [p for p in pieces if p[0]]

    @cached_property
    def _chat_template(self) -> chat_template.ChatTemplate:
        if self._template_source is None:
            raise NoChatTemplate(
                f"model {self.spec.name} has no chat template: {self._model.path.name} is a base "
                "model, or its conversion lost the template",
                hint='send a raw prompt, or give its entry in models.toml chat_template = "plain" '
                "or the path of a Jinja file",
            )
        return chat_template.ChatTemplate(self._template_source)

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        ends = self._model.end_tokens
        stops = set(ends)
        if self.spec.end_of_turn:
            stops |= set(self._model.tokens_beginning_with(self.spec.end_of_turn))
        return Vocabulary(
            self._model.piece, frozenset(ends), np.array(sorted(stops), dtype=np.intp)
        )

    @cached_property
    def _guidance_tokenizer(self) -> Any:
        from llguidance.llamacpp import lltokenizer_from_vocab

        with warnings.catch_warnings():
            # llguidance 1.9 calls a function that llama-cpp-python 0.3.36 calls deprecated.
            warnings.simplefilter("ignore", DeprecationWarning)
            return lltokenizer_from_vocab(self._model.vocab, eos_token=list(self._model.end_tokens))

    def _plain_tokens(self, text: str) -> list[int]:
        return self._model.tokenize(self._defuse((text, False)), add_special=False)


def _weaknesses(spec: ModelSpec) -> tuple[str, ...]:
    """What lets results depend on batching and caches, each in one sentence."""
    if spec.deterministic == "off":
        return (
            f'{spec.name} runs with deterministic = "off": results may depend on what is cached or '
            "batched",
        )
    return library.build().weaknesses()


def _template_source(spec: ModelSpec, model: GgufModel) -> str | None:
    if spec.chat_template == "plain":
        return chat_template.PLAIN
    return spec.chat_template or model.chat_template


def _check_labels(labels: Sequence[str]) -> None:
    if not labels:
        raise InvalidRequest("no labels to score", parameter="labels")
    if not all(labels):
        raise InvalidRequest("a label is empty", parameter="labels")
    if len(set(labels)) != len(labels):
        raise InvalidRequest("two labels are equal", parameter="labels")


def _common(a: Sequence[int], b: Sequence[int]) -> int:
    """Length of the common beginning."""
    for i, (x, y) in enumerate(zip(a, b, strict=False)):
        if x != y:
            return i
    return min(len(a), len(b))


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
