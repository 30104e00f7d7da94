"""Is every byte of a model the same, whatever runs beside it? Measured, not claimed.

A set of requests (long and short prompts, some with a common beginning, greedy and sampled text,
label scores) is answered once by fresh engines, one request each. Then it is run again in
every way in which a server meets requests, and each byte is compared with that reference. What
all ways have in common is compared with another computation: label scores with one plain pass
over all of a text, a vector with the states of its tokens, pooled here, prompts with transformers'
own renderer. An encoder is asked for vectors only.

    python -m gateway.determinism.certify MODEL [MODELS_FILE]

prints the answers of one pass as JSON; `certify` calls it for the trial in a fresh process.
"""

import asyncio
import json
import math
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from gateway.backends.llama_cpp.spec import LlamaCppSpec
from gateway.backends.protocol import (
    Able,
    Backend,
    Choosing,
    OwnLabels,
    Plain,
    Ranks,
    Reads,
    thought_of,
)
from gateway.backends.registry import load_backend, load_models
from gateway.core.concurrency import Work, blocking
from gateway.core.digests import canonical_json
from gateway.core.errors import BackendError, InvalidRequest
from gateway.core.types import GenerationRequest, Message, Sampling
from gateway.determinism.rendering import by_transformers
from gateway.models.certificates import Certificate, Level, Trial, machine, save
from gateway.models.choices import Settings
from gateway.models.environment import certificates_file, nothing_kept
from gateway.models.families.thoughts import ON
from gateway.models.locate import weights_path
from gateway.models.spec import ModelSpec

Loader = Callable[[ModelSpec], Backend]
OnTrial = Callable[[str, int, int], None]
"""Called before each trial: its name, its number from 0, and how many there are."""

LABELS = ("yes", "no", "a bug report", "a bug", "something else entirely")
MOST_PROMPT_TOKENS = 700
_TOKENS = 16
_THOUGHT = 4
"""Tokens of a thought's budget."""
_NATS = 0.01
"""How far a label's score may lie from that of a plain pass: where kernels follow from the number
of rows, some of this is rounding; of another text it is more."""
_COSINE = 1 - 1e-6
_TOGETHER = (2, 4, 8)
_CHUNKS = (32, 96)
_SHORTEST = (32, 64)
"""Lengths of a context that is not used."""

_TEXT = (
    "The harbour was quiet that morning. Two boats came in with the tide, and a third one waited "
    "outside for the pilot, who was late as usual; nobody minded. In the office above the quay a "
    "clerk wrote numbers into a ledger: 17 crates of oranges, 240 sacks of rice, one piano. "
    'She stopped at the piano, read the line again and asked: "Who orders a piano by sea?" '
)


@dataclass(frozen=True, slots=True)
class _Question:
    """One request, and the labels to score where it asks for scores; or texts without a request,
    of which an encoder gives vectors and a reranker the rank of those behind the first."""

    request: GenerationRequest | None
    labels: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reply:
    """All bytes of an answer that may be relied on: what was said, and how likely."""

    said: str
    logprobs: str


Replies = tuple[Reply, ...]
"""One a question, in the order of the questions."""


@blocking
def certify_entry(
    model: str, *, models_file: Path | None = None, on_trial: OnTrial = lambda *_: None
) -> Work[Certificate]:
    """Measure on this machine whether a model's bytes ever change, and keep the certificate.

    Args:
        model: name of an entry; it is loaded again for each trial, and in a fresh process.

    Raises:
        ConfigError: there is no such entry.
        GatewayError: the model cannot be loaded, or a request fails.
    """
    spec = load_models(models_file).serving([model]).get(model)
    return _certify(spec, partial(in_fresh_process, model, models_file), on_trial)


async def _certify(
    spec: ModelSpec, fresh_process: Callable[[], Replies], on_trial: OnTrial
) -> Certificate:
    made = await certify(spec, load_pulled, fresh_process, on_trial)
    save(made, certificates_file())
    return made


async def certify(
    spec: ModelSpec,
    load: Loader,
    fresh_process: Callable[[], Replies] | None,
    on_trial: OnTrial = lambda *_: None,
) -> Certificate:
    """Run every trial and say what level follows.

    Weights stay in memory from one trial to the next; each has an engine of its own, in which
    nothing is cached. The fresh process loads them again.

    Args:
        load: loads an entry; called with changed `parallel`, `threads` and `batch_tokens`.
        fresh_process: one pass in order, in another process; None leaves the trial out.

    Raises:
        GatewayError: the model cannot be loaded, or a request fails.
    """
    spec = await _as_chosen(spec, load)
    async with _weights_kept(spec, load):
        return await _certificate(spec, load, fresh_process, on_trial)


async def _certificate(
    spec: ModelSpec,
    load: Loader,
    fresh_process: Callable[[], Replies] | None,
    on_trial: OnTrial,
) -> Certificate:
    threads = not spec.can.on_a_server
    # On torch all chunks are of one size, and a server does not tell.
    chunks = _CHUNKS if "batch_tokens" in spec.takes() else ()
    if chunks and await _is_another_model(spec, load, chunks):
        chunks = ()
    total = 3 + len(_TOGETHER) + len(chunks) + threads + (fresh_process is not None)
    number = 0

    def begin(name: str) -> str:
        nonlocal number
        on_trial(name, number, total)
        number += 1
        return name

    begin("alone, each in a fresh engine")
    alone = replace(spec, parallel=1)
    async with _loaded(load, alone) as backend:
        fingerprint = backend.fingerprint
        questions = await asyncio.to_thread(_questions, backend)
        by_another_way = await _by_another_way(backend, questions)
    with nothing_kept():
        reference = [(await _pass(load, alone, [q], [0]))[0] for q in questions]
    order = list(range(len(questions)))
    trials: list[Trial] = list(by_another_way)

    async def attempt(name: str, entry: ModelSpec, order: Sequence[int], together: int) -> Replies:
        replies = await _pass(load, entry, questions, order, together)
        trials.append(_compared(name, reference, replies))
        return replies

    in_order = await attempt(begin("alone, one after another"), alone, order, 1)
    shuffled = random.Random(0).sample(order, len(order))  # noqa: S311 - an order, no secret
    twice = [*shuffled, *reversed(order)]
    await attempt(begin("shuffled, then asked again"), alone, twice, 1)
    for count in _TOGETHER:
        name = begin(f"{count} together")
        turned = order[count:] + order[:count]
        await attempt(name, replace(spec, parallel=count), turned, count)
    for tokens in chunks:
        name = begin(f"4 together, in chunks of {tokens} tokens")
        await attempt(name, replace(spec, parallel=4, batch_tokens=tokens), shuffled, 4)
    if threads:
        await attempt(begin("alone, on one thread"), replace(alone, threads=1), order, 1)
    repeatable: bool | None = None
    if fresh_process is not None:
        begin("in a fresh process")
        elsewhere = await asyncio.to_thread(fresh_process)
        trials.append(_compared("in a fresh process", reference, elsewhere))
        repeatable = elsewhere == in_order
    return Certificate(
        model=spec.name,
        fingerprint=fingerprint,
        machine=machine(),
        level=_level(trials, repeatable),
        trials=tuple(trials),
    )


async def _by_another_way(backend: Backend, questions: Sequence[_Question]) -> list[Trial]:
    """What the gateway's own ways of asking cannot tell, since they share it."""
    trials: list[Trial] = []
    writes = not isinstance(backend, Able) or backend.abilities.can("generate")
    if writes and not isinstance(backend, OwnLabels):
        trials += filter(None, [await asyncio.to_thread(by_transformers, backend)])
        trials += filter(None, [await thinking(backend)])
    if not isinstance(backend, Plain):
        return trials
    scored = next((each for each in questions if each.labels), None)
    if scored is not None and scored.request is not None:
        ours = (await backend.score_labels(scored.request, scored.labels)).logprobs
        plain = await backend.plain_scores(scored.request, scored.labels)
        other = ours.index(max(ours)) != plain.index(max(plain))
        far = any(abs(a - b) > _NATS for a, b in zip(ours, plain, strict=True))
        trials.append(Trial("labels, by one plain pass each", 1, int(other), int(far)))
    if backend.abilities.can("embed"):
        (ours,) = (await backend.embed([_TEXT])).vectors
        plain = await backend.plain_vector(_TEXT)
        product = sum(a * b for a, b in zip(ours, plain, strict=True))
        far = not product / (math.hypot(*ours) or 1.0) >= _COSINE
        trials.append(Trial("a vector, pooled from its tokens' states", 1, 0, int(far)))
    return trials


async def thinking(backend: Backend) -> Trial | None:
    """A thought that is closed at its budget, and the answer behind it, in one generation; beside
    what follows the same tokens in a prompt. None: the model does not think."""
    if (tags := thought_of(backend)) is None or not isinstance(backend, Reads):
        return None
    closed = _THOUGHT + len(backend.reader.plain_tokens(tags.closing))
    request = GenerationRequest(
        backend.spec.name,
        (Message("user", "Is a piano heavier than an orange?"),),
        sampling=Sampling(max_tokens=closed + _TOKENS),
        reasoning=backend.spec.reasoning or ON,
        thinking_budget=_THOUGHT,
        thinks_first=True,
    )
    whole = await backend.generate(request)
    changed = whole.usage.reasoning_tokens > _THOUGHT
    if rest := whole.token_ids[closed:]:
        given = (*backend.render(request).token_ids, *whole.token_ids[:closed])
        again = GenerationRequest(
            backend.spec.name, prompt_tokens=given, sampling=Sampling(max_tokens=len(rest))
        )
        changed |= (await backend.generate(again)).token_ids != rest
    return Trial("a thought closed at its budget, and the answer behind it", 1, int(changed), 0)


async def _as_chosen(spec: ModelSpec, load: Loader) -> ModelSpec:
    """The entry with the settings that were chosen for it: a choice holds for passes of some size,
    and larger ones are tried here too."""
    if not isinstance(spec, LlamaCppSpec) or not spec.chooses:
        return spec
    async with _loaded(load, replace(spec, parallel=1)) as backend:
        chosen = backend.choice if isinstance(backend, Choosing) else None
    return pinned(spec, chosen.settings) if chosen else spec


async def _is_another_model(spec: ModelSpec, load: Loader, chunks: Sequence[int]) -> bool:
    """Whether chunks of these sizes are another identity: where one request is computed at a time,
    the piece that prompts are read in is part of it."""
    found = set()
    for tokens in (spec.batch_tokens, *chunks):
        async with _loaded(load, replace(spec, parallel=1, batch_tokens=tokens)) as backend:
            found.add(backend.fingerprint)
    return len(found) > 1


async def answer_in_order(spec: ModelSpec, load: Loader) -> Replies:
    """One pass over the questions, one after another, in a freshly loaded model."""
    alone = replace(spec, parallel=1)
    async with _loaded(load, alone) as backend:
        questions = await asyncio.to_thread(_questions, backend)
    return await _pass(load, alone, questions, list(range(len(questions))))


def in_fresh_process(
    model: str, models_file: Path | None, settings: Settings | None = None
) -> Replies:
    """`answer_in_order` in a process of its own.

    Args:
        settings: computed with these, whatever was chosen before.

    Raises:
        BackendError: the process failed; carries what it said.
    """
    command = [sys.executable, "-m", "gateway.determinism.certify", model]
    command += [str(models_file or ""), json.dumps(asdict(settings)) if settings else ""]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        raise BackendError(f"the fresh process failed: {said[-1] if said else done.returncode}")
    return tuple(Reply(*pair) for pair in json.loads(done.stdout))


def load_pulled(spec: ModelSpec) -> Backend:
    """The loader for models on this machine."""
    return load_backend(spec, weights_path(spec))


def _questions(backend: Backend) -> list[_Question]:
    """Prompts of several lengths as the model counts them, the longest within its context."""
    available = min(backend.spec.context_length, backend.context_length)
    longest = min(MOST_PROMPT_TOKENS, available // 2)
    text = _TEXT * (longest // 16)
    if backend.count(text) < longest:
        raise InvalidRequest("the text is too short for this tokenizer")
    whole, half = backend.head(text, longest), backend.head(text, longest // 2)
    some, few = backend.head(text, longest // 5), backend.head(text, 12)
    if isinstance(backend, OwnLabels):
        texts = [whole, f"{whole} No", f"{half} And then", few, some, f"Once more. {some}", half]
        return [_Question(backend.around(text), backend.labels) for text in texts]
    if isinstance(backend, Able) and not backend.abilities.can("generate"):
        return _of_texts(backend.spec.name, backend, (few, some, half, whole))
    greedy = Sampling(max_tokens=_TOKENS)
    drawn = Sampling(max_tokens=_TOKENS, temperature=0.9, seed=7, top_p=0.95)

    def generate(prompt: str, sampling: Sampling = greedy) -> _Question:
        return _Question(
            GenerationRequest(backend.spec.name, prompt=prompt, sampling=sampling, logprobs=2)
        )

    def score(prompt: str) -> _Question:
        return _Question(GenerationRequest(backend.spec.name, prompt=prompt), LABELS)

    return [
        generate(whole),
        # All but the end is cached by then: a short tail behind a long prefix.
        generate(whole + " No"),
        generate(f"{half} And then"),
        generate(few),
        generate(some, drawn),
        generate(f"{half} Suddenly", drawn),
        score(f"{some}\nIs this a bug report? Answer:"),
        score(f"{half}\nIs this a bug report? Answer:"),
        score(f"{few}\nAnswer:"),
        generate(f"Once more. {some}"),
    ]


def _of_texts(name: str, backend: Able, texts: Sequence[str]) -> list[_Question]:
    """For a model that writes nothing: each text alone, and all at once."""
    if not backend.abilities.uses:
        backend.abilities.check(name, "generate")
    if backend.abilities.can("rerank"):
        query, *documents = texts
        return [_Question(None, texts=(query, *some)) for some in (documents[:1], documents)]
    return [_Question(None, texts=(text,)) for text in texts] + [_Question(None, texts=(*texts,))]


async def _pass(
    load: Loader,
    spec: ModelSpec,
    questions: Sequence[_Question],
    order: Sequence[int],
    together: int = 1,
) -> Replies:
    """Ask in that order, so many at a time. A question asked twice must answer twice the same;
    where it does not, the later answer is kept, which then differs from the reference."""
    room = asyncio.Semaphore(together)
    replies: dict[int, Reply] = {}
    async with _loaded(load, spec) as backend:

        async def ask(index: int) -> None:
            async with room:
                reply = await _ask(backend, questions[index])
            first = replies.setdefault(index, reply)
            if reply != first:
                replies[index] = Reply(f"{first.said}\n{reply.said}", reply.logprobs)

        await asyncio.gather(*map(ask, order))
    return tuple(replies[index] for index in range(len(questions)))


async def _ask(backend: Backend, question: _Question) -> Reply:
    if question.request is None:
        return await _ask_of_texts(backend, question.texts)
    if question.labels:
        scores = await backend.score_labels(question.request, question.labels)
        best = max(range(len(scores.labels)), key=lambda i: scores.logprobs[i])
        return Reply(scores.labels[best], canonical_json(scores.logprobs))
    done = await backend.generate(question.request)
    logprobs = [[t.token_id, t.logprob, t.top] for t in done.logprobs or ()]
    return Reply(canonical_json([done.text, done.token_ids]), canonical_json(logprobs))


async def _ask_of_texts(backend: Backend, texts: tuple[str, ...]) -> Reply:
    if isinstance(backend, Ranks) and backend.abilities.can("rerank"):
        return Reply("ranked", canonical_json((await backend.rerank(texts[0], texts[1:])).scores))
    return Reply("embedded", canonical_json((await backend.embed(texts)).vectors))


@asynccontextmanager
async def _loaded(load: Loader, spec: ModelSpec) -> AsyncIterator[Backend]:
    backend = await asyncio.to_thread(load, spec)
    try:
        yield backend
    finally:
        await backend.close()


@asynccontextmanager
async def _weights_kept(spec: ModelSpec, load: Loader) -> AsyncIterator[None]:
    """Whoever is loaded in the block shares the weights of a model that nobody asks. Its context is
    of another length, so that its engine is nobody else's."""
    if spec.can.on_a_server:
        yield
        return
    length = next(few for few in _SHORTEST if few != spec.context_length)
    async with _loaded(load, replace(spec, parallel=1, context_length=length)):
        yield


def _compared(name: str, reference: Sequence[Reply], replies: Replies) -> Trial:
    pairs = list(zip(reference, replies, strict=True))
    return Trial(
        name,
        len(pairs),
        sum(a.said != b.said for a, b in pairs),
        sum(a.logprobs != b.logprobs for a, b in pairs),
    )


def _level(trials: Sequence[Trial], repeatable: bool | None) -> Level:
    if not any(trial.texts_changed or trial.logprobs_changed for trial in trials):
        return Level.BITWISE
    if repeatable is None:
        return Level.UNVERIFIED
    return Level.REPEATABLE if repeatable else Level.UNREPEATABLE


def pinned(spec: ModelSpec, settings: Settings) -> ModelSpec:
    """The entry as if it said these settings itself."""
    assert isinstance(spec, LlamaCppSpec)
    return replace(spec, attention=settings.attention, repack=settings.repack, split=settings.split)


def _main(model: str, models_file: str = "", settings: str = "") -> None:
    spec = load_models(Path(models_file) if models_file else None).serving([model]).get(model)
    spec = pinned(spec, Settings(**json.loads(settings))) if settings else spec
    replies = asyncio.run(answer_in_order(spec, load_pulled))
    print(json.dumps([[reply.said, reply.logprobs] for reply in replies]))


if __name__ == "__main__":
    _main(*sys.argv[1:])
