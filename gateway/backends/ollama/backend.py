"""The Ollama backend: requests in, HTTP to the server, answers checked, results out."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_exponential

from gateway.backends.ollama import labels, requests
from gateway.backends.ollama.answers import Answer
from gateway.backends.ollama.client import server_at
from gateway.backends.ollama.conversation import ServedConversations
from gateway.backends.ollama.model import (
    ServedModel,
    check_unchanged,
    identity_of,
    load,
    load_options,
    weaknesses,
)
from gateway.backends.ollama.requests import WireRequest
from gateway.backends.ollama.spec import OllamaSpec, Route
from gateway.backends.ollama.tokens import ServerReader, vocabulary_of
from gateway.backends.ollama.wire import Line
from gateway.core.digests import digest_json
from gateway.core.errors import (
    BackendError,
    BackendUnavailable,
    ConfigError,
    ContextOverflow,
    InvalidRequest,
    Unsupported,
)
from gateway.core.types import (
    Completion,
    Constraint,
    Delta,
    EmbeddingInput,
    Embeddings,
    GenerationRequest,
    LabelScores,
    MemoryUse,
    RenderedRequest,
    Sampling,
    Timings,
)
from gateway.engine.llama.vocabulary import GgufVocabulary
from gateway.engine.reader import Reader, check_labels
from gateway.engine.trie import build_trie, count_nodes
from gateway.models import ollama_store
from gateway.models.environment import ollama_root
from gateway.models.families.thoughts import ThoughtTags
from gateway.models.tool_calls import ToolMode

_ATTEMPTS = 4
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 8.0
_CHECK_S = 10.0
"""Seconds after which it is asked again whether the name still means the same model."""

_T = TypeVar("_T")


class OllamaBackend:
    """One model of an Ollama server.

    Prompts are sent raw, as the text for which the server reads the very tokens that the model
    reads in process; a count of the server's that differs is an error. Whatever cannot be sent so
    raises `Unsupported`. On route "chat" messages are rendered by Ollama's own template, and what
    the model reads is not known. See `gateway.backends.protocol.Backend`.

    Raises:
        BackendUnavailable: no server answers.
        ModelNotPulled: it does not have the model.
        ModelLoadError: context or vocabulary are not what they must be.
    """

    spec: OllamaSpec

    def __init__(self, spec: OllamaSpec, path: Path = Path()) -> None:
        self.spec = spec
        self._server = server_at(spec.host)
        self._served, vocabulary = asyncio.run(self._discover(spec.model))
        reader = Reader(spec, vocabulary)
        self._reader = ServerReader(reader, vocabulary)
        self.route: Route = spec.route or ("raw" if reader.template_source else "chat")
        self._conversations = ServedConversations(
            self._served.name, self._served.shown.template, spec.system
        )
        self.identity: Mapping[str, str] = identity_of(
            self._served,
            spec,
            self.route,
            reader.identity,
            self._stored,
            self._conversations.merges_system,
        )
        self.fingerprint = digest_json(self.identity)
        self.warnings = weaknesses(self._served, self.route)
        self.concurrency = spec.parallel
        self._checked = 0.0
        self._closed = False

    async def _discover(self, name: str) -> tuple[ServedModel, GgufVocabulary]:
        """The model, and its vocabulary: of its file where that lies in the local store."""
        served = await load(self._server, name, self.spec.context_length, self.spec.threads)
        self._stored = ollama_store.resolve_same(ollama_root(), served.name, served.digest)
        if self._stored is not None:
            return served, GgufVocabulary(self._stored.weights)
        shown = await self._server.show(served.name, verbose=True)
        return served, vocabulary_of(shown.model_info, served.name)

    @property
    def vocabulary(self) -> GgufVocabulary:
        """Of the model, as its file or the server tells it."""
        return self._reader.vocabulary

    @property
    def own_template(self) -> str:
        """The model's own chat template in Jinja, whatever the route; empty: not known."""
        return self._reader.reader.template_source or ""

    @property
    def served_template(self) -> str:
        """With which the server renders conversations, in Go's language."""
        return self._served.shown.template

    async def generate(self, request: GenerationRequest) -> Completion:
        asked = self._asked(request)
        answer, retries = await self._retrying(lambda: self._whole(asked))
        return answer.completion(retries)

    async def stream(self, request: GenerationRequest) -> AsyncIterator[Delta]:
        asked = self._asked(request)
        answer = self._answer(asked)

        async def begin() -> tuple[AsyncGenerator[Line], Line]:
            lines = self._server.answer(asked.path, asked.body)
            try:
                return lines, await anext(lines)
            except BaseException:
                await lines.aclose()
                raise

        # Once a piece was passed on, another answer might contradict it: no trying again.
        (lines, first), retries = await self._retrying(begin)
        async with aclosing(lines):
            if (delta := answer.add(first)) is not None:
                yield delta
            async for line in lines:
                if (delta := answer.add(line)) is not None:
                    yield delta
        yield answer.rest(answer.completion(retries))

    async def score_labels(self, request: GenerationRequest, labels: Sequence[str]) -> LabelScores:
        if request.messages and self.route == "chat":
            return await self._score_by_format(request, labels)
        return await self._score_raw(request, labels)

    async def embed(self, texts: Sequence[EmbeddingInput]) -> Embeddings:
        given = [text for text in texts if isinstance(text, str) and text]
        if len(given) < len(texts):
            raise InvalidRequest(
                "texts must be given and not empty; an Ollama server embeds no token ids",
                parameter="input",
            )
        if not given:
            raise InvalidRequest("no text to embed", parameter="input")
        options = load_options(self.context_length, self.spec.threads)
        made, _ = await self._retrying(
            lambda: self._server.embed(self._served.name, given, options)
        )
        if len(made.embeddings) != len(texts):
            raise BackendError(
                f"the Ollama server gave {len(made.embeddings)} vectors for {len(texts)} texts"
            )
        vectors = tuple(tuple(vector) for vector in made.embeddings)
        return Embeddings(vectors, made.prompt_eval_count, self.fingerprint)

    @property
    def context_length(self) -> int:
        return self._served.context_length

    @property
    def call_syntax(self) -> str:
        return self._reader.reader.call_syntax if self.route == "raw" else ""

    @property
    def tool_mode(self) -> ToolMode:
        return self._reader.reader.tool_mode if self.route == "raw" else "off"

    def own_thought(self) -> ThoughtTags | None:
        """As `Reader.own_thought`, where prompts are rendered here."""
        return self._reader.reader.own_thought() if self.route == "raw" else None

    @property
    def chat_template(self) -> str:
        return self._reader.reader.template_source or "" if self.route == "raw" else ""

    @property
    def memory(self) -> MemoryUse:
        """None of this process's: the server has the model."""
        return MemoryUse(0, 0, 0)

    def render(self, request: GenerationRequest) -> RenderedRequest:
        if request.messages and self.route == "chat":
            self._check_conversation(request)
            raise Unsupported(
                "counting the tokens that Ollama's own chat template makes of messages",
                hint='route = "raw" in models.toml; through the gateway\'s server, send max_tokens',
            )
        return self._reader.reader.render(request)

    def _check_conversation(self, request: GenerationRequest) -> None:
        """Raise InvalidRequest for a conversation that the server could not be asked."""
        try:
            requests.messages(request, self._conversations)
            self._thinking(request)
        except Unsupported as exc:
            raise InvalidRequest(exc.message, hint=exc.hint) from exc

    def piece(self, token: int) -> bytes:
        return self._reader.vocabulary.checked_piece(token)

    def count(self, text: str) -> int:
        return self._reader.reader.count(text)

    def head(self, text: str, tokens: int) -> str:
        return self._reader.reader.head(text, tokens)

    def tail(self, text: str, tokens: int) -> str:
        return self._reader.reader.tail(text, tokens)

    async def close(self) -> None:
        """Leave the server as it was found: what was loaded for this backend is unloaded."""
        if self._closed:
            return
        self._closed = True
        self._reader.vocabulary.close()
        if not self._served.was_loaded:
            try:
                await self._server.unload(self._served.name)
            except (BackendError, ConfigError):
                return  # A server that is gone, or forgot the model, has nothing to unload.

    def _asked(self, request: GenerationRequest) -> WireRequest:
        sampling = request.sampling
        if request.messages and self.spec.end_of_turn and request.constraint is None:
            sampling = replace(sampling, stop=(*sampling.stop, self.spec.end_of_turn))
        body = {
            **self._common(sampling),
            **requests.asked_alternatives(request),
        }
        if request.constraint is not None:
            body["format"] = requests.format_of(request.constraint)
        quoted = requests.is_quoted(request.constraint)
        if request.messages and self.route == "chat":
            body["messages"] = requests.messages(request, self._conversations)
            body["think"] = self._thinking(request)
            limit = sampling.max_tokens
            formed = request.constraint is not None
            return WireRequest(
                "/api/chat", body, limit, None, request.logprobs, quoted, formed=formed
            )
        requests.check_thought(request)
        rendered = self.render(request)
        self._check_context(len(rendered.token_ids) + sampling.max_tokens)
        body |= {"prompt": self._reader.text_for(rendered), "raw": True}
        count, limit = len(rendered.token_ids), sampling.max_tokens
        alternatives, thinking = request.logprobs, rendered.thinking
        formed = request.constraint is not None
        return WireRequest(
            "/api/generate", body, limit, count, alternatives, quoted, thinking, formed
        )

    def _thinking(self, request: GenerationRequest) -> bool | str:
        asked = request.reasoning or self.spec.reasoning
        return requests.thinking(request, asked, self._served.shown.capabilities)

    def _common(self, sampling: Sampling) -> dict[str, Any]:
        """What every request says: the model, how it samples, and that nothing may be cut."""
        options = requests.options(sampling) | load_options(self.context_length, self.spec.threads)
        return {
            "model": self._served.name,
            "options": options,
            "truncate": False,
            "shift": False,
        }

    async def _whole(self, asked: WireRequest) -> Answer:
        answer = self._answer(asked)
        async with aclosing(self._server.answer(asked.path, asked.body)) as lines:
            async for line in lines:
                answer.add(line)
        return answer

    def _answer(self, asked: WireRequest) -> Answer:
        return Answer(asked, self._reader, self.fingerprint)

    async def _retrying(self, attempt: Callable[[], Awaitable[_T]]) -> tuple[_T, int]:
        """What the attempt gives, and how often it had to be made again.

        A question changes nothing on the server, so that it may be asked again where the server
        was not there, had no time, or was lost in the middle. After a pause the server may be
        another one: it is asked first whether it still has the same model.
        """
        if self._closed:
            raise BackendUnavailable(f"model {self.spec.name} is closed")
        retrying = AsyncRetrying(
            retry=retry_if_exception(lambda e: isinstance(e, BackendError) and e.retryable),
            stop=stop_after_attempt(_ATTEMPTS),
            wait=wait_exponential(_FIRST_PAUSE_S, _LONGEST_PAUSE_S, min=_FIRST_PAUSE_S),
            reraise=True,
        )
        async for trial in retrying:
            with trial:
                number = trial.retry_state.attempt_number
                await self._check_unchanged(number > 1)
                return await attempt(), number - 1
        raise AssertionError("the last attempt returns or raises")

    async def _check_unchanged(self, now: bool) -> None:
        time = asyncio.get_running_loop().time()
        if now or time - self._checked > _CHECK_S:
            await check_unchanged(self._server, self._served)
            self._checked = time

    async def _score_raw(self, request: GenerationRequest, texts: Sequence[str]) -> LabelScores:
        prompt, continuations = self._reader.reader.split_labels(
            request, texts, self.context_length
        )
        self._check_context(len(prompt) + max(map(len, continuations)) + 1)
        retries = 0

        async def ask(tokens: Sequence[int]) -> labels.Alternatives | None:
            nonlocal retries
            found, more = await self._retrying(lambda: self._alternatives(tokens))
            retries += more
            return found

        scores = await labels.score(prompt, continuations, self._stops, self._reader, ask)
        return LabelScores(
            labels=tuple(texts),
            logprobs=tuple(each.logprob for each in scores),
            token_counts=tuple(len(tokens) + 1 for tokens in continuations),
            byte_counts=tuple(len(text.encode()) for text in texts),
            tokens_evaluated=len(prompt) + count_nodes(build_trie(continuations)),
            prompt_tokens=len(prompt),
            exact=all(each.exact for each in scores),
            fingerprint=self.fingerprint,
            timings=Timings(retries=retries),
            bounds=tuple(not each.exact for each in scores),
        )

    async def _alternatives(self, tokens: Sequence[int]) -> labels.Alternatives | None:
        """What may follow these tokens.

        Where the answer ends at once, the server tells nothing of the token that ended it. With a
        format that lets no end through it tells the same alternatives, which are from before the
        format's mask.
        """
        try:
            prompt = self._reader.text_for(self._reader.written(tokens))
        except Unsupported:
            return None
        body = {
            **self._common(Sampling(max_tokens=1)),
            "prompt": prompt,
            "raw": True,
            "logprobs": True,
            "top_logprobs": requests.MOST_ALTERNATIVES,
        }
        first = await self._first_token(body, len(tokens))
        if first is not None:
            return labels.Alternatives(first)
        forced = await self._first_token({**body, "format": {"type": "string"}}, len(tokens))
        return labels.Alternatives(forced, ends_at_once=True) if forced is not None else None

    async def _first_token(
        self, body: Mapping[str, Any], prompt_tokens: int
    ) -> tuple[tuple[bytes, float], ...] | None:
        """The alternatives of the first token; None where it ended the answer."""
        answer = await self._whole(WireRequest("/api/generate", body, 1, prompt_tokens))
        answer.completion()
        if not answer.entries:
            return None
        return tuple((other.data, other.logprob) for other in answer.entries[0].top_logprobs or ())

    @property
    def _stops(self) -> labels.Stops:
        vocabulary = self._reader.reader.vocabulary
        pieces = [vocabulary.piece(int(token)) for token in vocabulary.stop_ids]
        return labels.Stops(frozenset(filter(None, pieces)), sum(not piece for piece in pieces))

    async def _score_by_format(
        self, request: GenerationRequest, texts: Sequence[str]
    ) -> LabelScores:
        """Each label as the only answer that the format lets out, with the log-probabilities of
        the tokens that spell it.

        Those are of the label in quotes, in tokens that need not be its usual ones, and without
        the end of the turn: never exact.
        """
        check_labels(texts)
        found: list[Completion] = []
        for text in texts:
            constraint = Constraint("choices", (text,))
            room = 8 + 2 * len(text.encode())
            forced = replace(
                request, constraint=constraint, logprobs=0, sampling=Sampling(max_tokens=room)
            )
            done = await self.generate(forced)
            if done.text != text:
                raise BackendError(f"{self._served.name} on Ollama writes {done.text!r}: {text!r}")
            found.append(done)
        return LabelScores(
            labels=tuple(texts),
            logprobs=tuple(sum(t.logprob for t in done.logprobs or ()) for done in found),
            token_counts=tuple(len(done.token_ids) for done in found),
            byte_counts=tuple(len(text.encode()) for text in texts),
            tokens_evaluated=sum(
                done.usage.prompt_tokens + done.usage.completion_tokens for done in found
            ),
            prompt_tokens=found[0].usage.prompt_tokens,
            exact=False,
            fingerprint=self.fingerprint,
            timings=Timings(retries=sum(done.timings.retries for done in found)),
        )

    def _check_context(self, needed: int) -> None:
        if needed > self.context_length:
            raise ContextOverflow(needed, self.context_length)
