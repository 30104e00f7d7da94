"""A backend without a model, for tests of what calls a backend.

Its tokens are UTF-8 bytes and its answers are a pure function of the request, so it keeps the
promise of equal bytes and can be told to fail.
"""

import hashlib
import math
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from gateway.core.digests import digest_json, digest_text
from gateway.core.errors import ContextOverflow, InvalidRequest, Unsupported
from gateway.core.types import (
    Completion,
    Delta,
    EmbeddingInput,
    Embeddings,
    GenerationRequest,
    LabelScores,
    LabelSearch,
    MemoryUse,
    RenderedRequest,
    TokenLogprob,
    Usage,
    bounds_of,
)
from gateway.models.reasoning import part, tokens_in
from gateway.models.spec import Capabilities, ModelSpec
from gateway.models.tool_calls import ToolMode

_DIMENSIONS = 8

Script = Callable[[str], str]
"""From the rendered prompt to the answer; may raise to make the request fail."""


@dataclass(frozen=True, slots=True)
class FakeSpec(ModelSpec):
    """An entry of models.toml without a model."""

    backend: ClassVar = "fake"
    implementation: ClassVar = "gateway.backends.fake:FakeBackend"
    can: ClassVar = Capabilities(reads_files=False)


_EFFORT = "reasoning_effort"


class FakeBackend:
    """See `gateway.backends.protocol.Backend`.

    Args:
        script: writes the answers; by default a line made of the prompt's digest.
        delay_s: how long each request takes.
    """

    def __init__(
        self,
        spec: ModelSpec,
        path: Path = Path(),
        *,
        script: Script | None = None,
        delay_s: float = 0.0,
    ) -> None:
        self.spec = spec
        self.identity: Mapping[str, str] = {
            "backend": "fake",
            "weights": digest_text(spec.name),
            "context_length": str(spec.context_length),
        }
        self.fingerprint = digest_json(self.identity)
        self.warnings: tuple[str, ...] = ()
        self.concurrency = spec.parallel
        self._script = script or (lambda prompt: f"answer {digest_text(prompt)}")
        self._delay_s = delay_s
        self.requests = 0
        """How many requests reached the model."""

    async def generate(self, request: GenerationRequest) -> Completion:
        prompt = self.render(request)
        self._check_context(len(prompt.token_ids) + request.sampling.max_tokens)
        await self._work()
        text = self._answer(request, prompt.text)
        kept = text.encode()[: request.sampling.max_tokens]
        answer, stopped = _cut_at_stop(kept.decode("utf-8", "ignore"), request.sampling.stop)
        whole = stopped or len(kept) == len(text.encode())
        ids = tuple(answer.encode()) if stopped else tuple(kept)
        return Completion(
            text=answer,
            token_ids=ids,
            finish_reason="stop" if whole else "length",
            usage=Usage(len(prompt.token_ids), len(ids), _thought(ids, answer, prompt)),
            fingerprint=self.fingerprint,
            logprobs=_logprobs(ids, request.logprobs),
            reasoning=part(answer, opened=prompt.thinking),
        )

    async def stream(self, request: GenerationRequest) -> AsyncIterator[Delta]:
        completion = await self.generate(request)
        for character in completion.text:
            yield Delta(character)
        yield Delta("", completion, completion.logprobs or ())

    async def score_labels(self, request: GenerationRequest, labels: Sequence[str]) -> LabelScores:
        if not labels or not all(labels) or len(set(labels)) != len(labels):
            raise InvalidRequest("labels must be given, not empty, and differ", parameter="labels")
        prompt = self.render(request)
        self._check_context(len(prompt.token_ids) + max(len(x.encode()) for x in labels))
        await self._work()
        lengths = tuple(len(label.encode()) for label in labels)
        return LabelScores(
            labels=tuple(labels),
            logprobs=tuple(-10.0 * _unit(f"{prompt.text}{label}") for label in labels),
            token_counts=tuple(n + 1 for n in lengths),
            byte_counts=lengths,
            tokens_evaluated=len(prompt.token_ids) + sum(lengths),
            prompt_tokens=len(prompt.token_ids),
            exact=True,
            fingerprint=self.fingerprint,
        )

    @property
    def searches(self) -> bool:
        return self.spec.label_search != "full"

    async def search_labels(
        self, request: GenerationRequest, labels: Sequence[str], search: LabelSearch
    ) -> LabelScores:
        search.check(labels)
        scores = await self.score_labels(request, labels)
        return _searched(scores, search)

    async def embed(self, texts: Sequence[EmbeddingInput]) -> Embeddings:
        if not texts or not all(texts):
            raise InvalidRequest("texts must be given and not empty", parameter="input")
        vectors = []
        given = [t if isinstance(t, str) else "".join(map(chr, t)) for t in texts]
        for text in given:
            raw = [_unit(f"{text}{i}") - 0.5 for i in range(_DIMENSIONS)]
            norm = math.sqrt(sum(x * x for x in raw))
            vectors.append(tuple(x / norm for x in raw))
        return Embeddings(tuple(vectors), sum(len(t.encode()) for t in given), self.fingerprint)

    @property
    def context_length(self) -> int:
        return self.spec.context_length

    @property
    def chat_template(self) -> str:
        return self.spec.chat_template

    @property
    def call_syntax(self) -> str:
        return ""

    @property
    def tool_mode(self) -> ToolMode:
        return "off"

    def piece(self, token: int) -> bytes:
        if not 0 <= token < 256:
            raise InvalidRequest(f"token {token}: the vocabulary has 256")
        return bytes([token])

    def render(self, request: GenerationRequest) -> RenderedRequest:
        if request.prompt_tokens:
            text = b"".join(map(self.piece, request.prompt_tokens)).decode("utf-8", "replace")
            more = _encode(request.answer_start)
            return RenderedRequest(text + request.answer_start, (*request.prompt_tokens, *more))
        if request.tools:
            raise Unsupported("tools")
        if request.reasoning not in ("", "off", "medium") or request.template_variables:
            raise InvalidRequest("the fake model knows of no thoughts", parameter=_EFFORT)
        if request.prompt is not None:
            text = request.prompt
        else:
            turns = (f"{m.role}: {m.content}\n" for m in request.messages)
            text = "".join(turns) + "assistant: "
        text += request.answer_start
        return RenderedRequest(text, tuple(_encode(text)))

    def count(self, text: str) -> int:
        return len(_encode(text))

    def head(self, text: str, tokens: int) -> str:
        return _encode(text)[:tokens].decode("utf-8", "ignore")

    def tail(self, text: str, tokens: int) -> str:
        data = _encode(text)
        return data[max(0, len(data) - tokens) :].decode("utf-8", "ignore")

    @property
    def memory(self) -> MemoryUse:
        return MemoryUse(0, 0, 0)

    async def close(self) -> None:
        """Nothing to free."""

    async def _work(self) -> None:
        self.requests += 1
        # Its kind is read with every models.toml, and few commands ask it anything.
        import asyncio

        await asyncio.sleep(self._delay_s)

    def _answer(self, request: GenerationRequest, prompt: str) -> str:
        constraint = request.constraint
        if constraint is None:
            return self._script(prompt)
        if constraint.kind != "choices":
            raise Unsupported(f"{constraint.kind} constraints")
        if not constraint.value:
            raise InvalidRequest("a constraint needs at least one choice")
        return min(constraint.value, key=lambda choice: _unit(f"{prompt}{choice}"))

    def _check_context(self, needed: int) -> None:
        if needed > self.spec.context_length:
            raise ContextOverflow(needed, self.spec.context_length)


def _encode(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as exc:
        raise InvalidRequest("the text holds a lone surrogate", hint="send valid Unicode") from exc


def _thought(ids: Sequence[int], text: str, prompt: RenderedRequest) -> int:
    """How many of the bytes are of a thought."""
    ends = [len(bytes(ids[: n + 1]).decode("utf-8", "ignore")) for n in range(len(ids))]
    return tokens_in(text, ends, opened=prompt.thinking)


def _unit(text: str) -> float:
    """A number in [0, 1) that depends on the text only."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / float(1 << 48)


def _searched(scores: LabelScores, search: LabelSearch) -> LabelScores:
    """What a search finds of labels with these scores, of which a beginning has the sum."""
    # As in `_work`.
    from gateway.engine.label_search import Pruner
    from gateway.engine.trie import TrieNode, build_trie

    def together(node: TrieNode) -> float:
        return math.log(math.fsum(math.exp(scores.logprobs[i]) for i in node.below))

    pruner, logprobs = (
        Pruner(search, scores.token_counts, scores.byte_counts),
        list(scores.logprobs),
    )
    pending, forwarded, unfinished = [build_trie([x.encode() for x in scores.labels])], -1, []
    while pending:
        node = pending.pop()
        if not pruner.needs(node, together(node)):
            pruner.leave(node, together(node))
            unfinished.append(tuple(node.below))
            for i in node.below:
                logprobs[i] = together(node)
            continue
        forwarded += 1
        for i in node.ends:
            pruner.settle(i, logprobs[i])
        pending += sorted(node.children.values(), key=together)
    return replace(
        scores,
        logprobs=tuple(logprobs),
        tokens_evaluated=scores.prompt_tokens + forwarded,
        exact=pruner.exact,
        bounds=bounds_of(unfinished, len(logprobs)),
        unfinished=tuple(unfinished),
    )


def _cut_at_stop(text: str, stops: Sequence[str]) -> tuple[str, bool]:
    found = [at for stop in stops if (at := text.find(stop)) >= 0]
    return (text[: min(found)], True) if found else (text, False)


def _logprobs(ids: Sequence[int], count: int | None) -> tuple[TokenLogprob, ...] | None:
    if count is None:
        return None
    made = []
    for i in ids:
        text = bytes([i]).decode("utf-8", "replace")
        top = tuple(((i + n) % 256, chr((i + n) % 256), -0.1 - n) for n in range(count))
        made.append(TokenLogprob(i, text, -0.1, top))
    return tuple(made)
