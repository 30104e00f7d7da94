"""What the backends that compute in this process have in common: requests in, jobs to the engine,
results out."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace
from typing import Any

from gateway.core.errors import ContextOverflow, InvalidRequest
from gateway.core.mapped import MappedFiles
from gateway.core.sequences import common_length
from gateway.core.types import (
    Completion,
    Delta,
    EmbeddingInput,
    Embeddings,
    GenerationRequest,
    LabelScores,
    LabelSearch,
    RenderedRequest,
    TokenLogprob,
    Troubles,
    Usage,
    bounds_of,
)
from gateway.engine.constraints import GuidanceMatcher, grammar_of
from gateway.engine.context import Adapter
from gateway.engine.engine import Done, Engine, Stats
from gateway.engine.generation import generate
from gateway.engine.jobs import Generated, OnText, Read, Scored
from gateway.engine.label_scores import score
from gateway.engine.mailbox import Mailbox
from gateway.engine.reader import Reader
from gateway.engine.token_scores import read
from gateway.models.abilities import Abilities
from gateway.models.reasoning import part, tokens_in
from gateway.models.spec import ModelSpec
from gateway.models.tool_calls import ToolMode

_LONG_TEXT = 50_000
"""Characters; so many are tokenized in some 20 ms."""


class EngineBackend:
    """A model that an engine of this process runs; the fields are set by who loads it.

    See `gateway.backends.protocol.Backend`.
    """

    spec: ModelSpec
    fingerprint: str
    _engine: Engine
    _reader: Reader
    _adapter: Adapter
    """What its passes are computed with, beside the weights; None: nothing."""
    abilities: Abilities = Abilities("")
    """What may be asked of it."""
    _files: MappedFiles
    """Of the weights."""
    _mailbox: Mailbox | None = None
    """Of the event loop that has asked for a stream last."""

    def announce(self, requests: Sequence[GenerationRequest]) -> None:
        """Say that requests like these will come: what all of them begin with is then kept as soon
        as it is computed, for later ones and for the next process. No answer changes by that."""
        prompts = [list(self._reader.render(request).token_ids) for request in requests]
        if len(prompts) > 1:
            shared = min(common_length(prompts[0], other) for other in prompts[1:])
            self._engine.announce(prompts[0][:shared], self._adapter)

    async def generate(self, request: GenerationRequest) -> Completion:
        return await self._generate(request, None)

    async def stream(self, request: GenerationRequest) -> AsyncIterator[Delta]:
        mailbox = self._mailbox_here()
        pieces: asyncio.Queue[Delta | None] = asyncio.Queue()

        def put(text: str, logprobs: tuple[TokenLogprob, ...]) -> None:
            mailbox.put(pieces, Delta(text, logprobs=logprobs))

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

    def _mailbox_here(self) -> Mailbox:
        loop = asyncio.get_running_loop()
        if self._mailbox is None or self._mailbox.loop is not loop:
            self._mailbox = Mailbox(loop)
        return self._mailbox

    @property
    def searches(self) -> bool:
        return self.spec.label_search != "full"

    async def score_labels(self, request: GenerationRequest, labels: Sequence[str]) -> LabelScores:
        return await self._score(request, labels, None)

    async def search_labels(
        self, request: GenerationRequest, labels: Sequence[str], search: LabelSearch
    ) -> LabelScores:
        search.check(labels)
        return await self._score(request, labels, search)

    async def _score(
        self, request: GenerationRequest, labels: Sequence[str], search: LabelSearch | None
    ) -> LabelScores:
        self.abilities.check(self.spec.name, "score")
        prompt, continuations = self._reader.split_labels(request, labels, self.context_length)
        longest = max(len(tokens) for tokens in continuations)
        self._check_context(len(prompt) + longest)
        sizes = tuple(len(label.encode()) for label in labels)
        job = score(prompt, continuations, self._reader.vocabulary, search, sizes)
        done = await self._run(prompt, job)
        found = done.answer
        assert isinstance(found, Scored)
        return LabelScores(
            labels=tuple(labels),
            logprobs=found.logprobs,
            token_counts=tuple(len(tokens) + 1 for tokens in continuations),
            byte_counts=sizes,
            tokens_evaluated=len(prompt) + found.forwarded,
            prompt_tokens=len(prompt),
            exact=found.exact,
            fingerprint=self.fingerprint,
            timings=done.timings,
            bounds=bounds_of(found.unfinished, len(labels)),
            unfinished=found.unfinished,
            ending=found.ending,
        )

    async def read(self, tokens: Sequence[int], first: int) -> tuple[float, ...]:
        """ln P of each token from number `first` (1 or more) on, given all before it."""
        self.abilities.check(self.spec.name, "score")
        self._check_context(len(tokens))
        done = await self._run(tokens[:first], read(tokens, first))
        assert isinstance(done.answer, Read)
        return done.answer.logprobs

    def tokens_of(self, text: str) -> tuple[list[int], list[int]]:
        """A text's own tokens, control tokens' texts as plain text; and those that stand before
        every text that this model reads."""
        tokenizer = self._reader.tokenizer
        before = tokenizer.tokenize([("", False)], add_special=True)
        return tokenizer.tokenize([(text, False)], add_special=False), before

    async def embed(self, texts: Sequence[EmbeddingInput]) -> Embeddings:
        self.abilities.check(self.spec.name, "embed")
        if not texts:
            raise InvalidRequest("no text to embed", parameter="input")
        tokens = [self._embedded(text) for text in texts]
        for number, ids in enumerate(tokens):
            if not ids:
                raise InvalidRequest(f"text {number} is empty", parameter="input")
            self._check_context(len(ids))
        self._files.check()
        vectors = await asyncio.to_thread(self._vectors, tokens)
        self._files.check()
        count = sum(len(ids) for ids in tokens)
        return Embeddings(tuple(tuple(map(float, v)) for v in vectors), count, self.fingerprint)

    def _embedded(self, text: EmbeddingInput) -> list[int]:
        if isinstance(text, str):
            return self._reader.tokenizer.embedded(text)
        self._reader.tokenizer.text_of(text)  # refuses what the vocabulary has not
        return list(text)

    def _vectors(self, texts: Sequence[Sequence[int]]) -> Iterable[Iterable[float]]:
        """One unit vector for each text's tokens; called from a thread of its own."""
        raise NotImplementedError

    @property
    def reader(self) -> Reader:
        """What makes tokens of requests."""
        return self._reader

    @property
    def stats(self) -> Stats:
        """What the engine has done since the model was loaded."""
        return self._engine.stats

    @property
    def troubles(self) -> Troubles:
        stats = self._engine.stats
        return Troubles(stats.failures, stats.last_failure, stats.down)

    @property
    def context_length(self) -> int:
        return self._engine.context_length

    @property
    def chat_template(self) -> str:
        return self._reader.template_source or ""

    @property
    def call_syntax(self) -> str:
        return self._reader.call_syntax

    @property
    def tool_mode(self) -> ToolMode:
        return self._reader.tool_mode

    def piece(self, token: int) -> bytes:
        return self._reader.tokenizer.checked_piece(token)

    def render(self, request: GenerationRequest) -> RenderedRequest:
        self.abilities.check(self.spec.name, "generate")
        return self._reader.render(request)

    def count(self, text: str) -> int:
        return self._reader.count(text)

    def head(self, text: str, tokens: int) -> str:
        return self._reader.head(text, tokens)

    def tail(self, text: str, tokens: int) -> str:
        return self._reader.tail(text, tokens)

    async def _generate(self, request: GenerationRequest, on_text: OnText | None) -> Completion:
        rendered = await self._read(request)
        prompt = rendered.token_ids
        self._check_context(len(prompt) + request.sampling.max_tokens)
        sampling = request.sampling
        if request.messages and self.spec.end_of_turn and request.constraint is None:
            sampling = replace(sampling, stop=(*sampling.stop, self.spec.end_of_turn))
        matcher = None
        if request.constraint is not None:
            grammar = await asyncio.to_thread(grammar_of, request.constraint, self._reader.mark)
            matcher = GuidanceMatcher(self._reader.tokenizer.guidance_tokenizer, grammar)
        job = generate(
            prompt,
            self._reader.vocabulary,
            sampling,
            logprobs=request.logprobs,
            matcher=matcher,
            thought=self._reader.thought_rules(request, opened=rendered.thinking),
            on_text=on_text,
        )
        done = await self._run(prompt, job)
        answer = done.answer
        assert isinstance(answer, Generated)
        opened, only = rendered.thinking, request.constraint is not None
        thought = tokens_in(answer.text, answer.ends, opened=opened, only=only)
        return Completion(
            text=answer.text,
            token_ids=answer.token_ids,
            finish_reason=answer.finish_reason,
            usage=Usage(len(prompt), len(answer.token_ids), thought),
            fingerprint=self.fingerprint,
            logprobs=answer.logprobs,
            timings=done.timings,
            reasoning=part(answer.text, opened=opened, only=only),
        )

    async def _read(self, request: GenerationRequest) -> RenderedRequest:
        """The prompt; a long text is read beside the event loop, which others need."""
        length = len(request.prompt or "") + sum(len(m.content) for m in request.messages)
        if length < _LONG_TEXT:
            return self.render(request)
        return await asyncio.to_thread(self.render, request)

    async def _run(self, prompt: Sequence[int], job: Any) -> Done:
        """Wait for a job; when the caller is cancelled, so is the job."""
        self._files.check()
        done = await asyncio.wrap_future(self._engine.submit(prompt, job, self._adapter))
        self._files.check()
        return done

    def _check_context(self, needed: int) -> None:
        if needed > self.context_length:
            raise ContextOverflow(needed, self.context_length)


def usable_cores() -> int:
    """Those that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
