"""The scheduler changes no byte, survives failures, and lets go of what nobody waits for."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from dataclasses import replace

import numpy as np
import pytest

from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.backends.llama_cpp.context import Context
from gateway.core.errors import BackendError, BackendUnavailable
from gateway.core.types import GenerationRequest, Message, Sampling
from gateway.engine.context import Logits, PassRow
from gateway.engine.engine import SERIAL_PIECE, Engine
from gateway.engine.generation import generate
from gateway.engine.jobs import Generated, Job, Scored, Step
from gateway.engine.label_scores import score
from gateway.engine.sampling import log_normalizer, log_sum

pytestmark = pytest.mark.needs("llama_cpp")

WORDS = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"]


@pytest.fixture(params=["smollm2", "gemma"], scope="module")
def backend(request: pytest.FixtureRequest) -> LlamaCppBackend:
    found: LlamaCppBackend = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def engine(backend: LlamaCppBackend) -> Iterator[Engine]:
    context = Context(backend._model, sequences=2, length=2048, threads=1)
    engine = Engine(context)
    yield engine
    engine.close()


def prompt_of(backend: LlamaCppBackend, text: str) -> list[int]:
    request = GenerationRequest("m", (Message("user", text),))
    return list(backend.render(request).token_ids)


def greedy(backend: LlamaCppBackend, prompt: list[int], tokens: int = 8) -> Job:
    return generate(prompt, backend._reader.vocabulary, Sampling(max_tokens=tokens), logprobs=1)


def answer(engine: Engine, backend: LlamaCppBackend, prompt: list[int]) -> tuple[object, ...]:
    done = engine.submit(prompt, greedy(backend, prompt)).result(timeout=120).answer
    assert isinstance(done, Generated)
    return done.text, done.token_ids, done.logprobs


@pytest.mark.parametrize("shared", [1, 63, 64, 200, 520])
def test_a_cached_beginning_changes_no_byte(
    backend: LlamaCppBackend, engine: Engine, shared: int
) -> None:
    tokens = prompt_of(backend, " ".join(WORDS * 60))
    prompt = tokens[: shared + 40]
    cold = answer(engine, backend, prompt)
    answer(engine, backend, [*tokens[:shared], *tokens[300:330]])
    for _ in range(2):
        assert answer(engine, backend, prompt) == cold
    repeated = engine.submit(prompt, greedy(backend, prompt)).result(timeout=120)
    assert repeated.timings.cached_tokens == len(prompt) - 1
    assert (repeated.answer.text, repeated.answer.token_ids) == cold[:2]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("shared", "reused", "kept"), [(20, 0, 239), (80, 80, 239), (200, 200, 200)]
)
def test_a_long_prompt_is_overwritten_only_for_more_than_is_lost(
    backend: LlamaCppBackend, engine: Engine, shared: int, reused: int, kept: int
) -> None:
    tokens = prompt_of(backend, " ".join(WORDS * 60))
    first = tokens[:240]
    second = [*first[:shared], *tokens[shared + 1 : shared + 40]]
    answer(engine, backend, first)
    for prompt, cached in ((second, reused), (first, kept)):
        done = engine.submit(prompt, greedy(backend, prompt)).result(timeout=120)
        assert done.timings.cached_tokens == cached


def test_what_prompts_that_come_together_share_is_computed_once(
    backend: LlamaCppBackend,
) -> None:
    tokens = prompt_of(backend, " ".join(WORDS * 40))
    shared, tails = tokens[:128], [tokens[300 + n : 310 + n] for n in range(3)]
    prompts = [[*shared, *tail] for tail in tails]
    engines = [
        Engine(Context(backend._model, sequences=4, length=1024, threads=1)) for _ in range(4)
    ]
    alone = [
        answer(engine, backend, prompt) for engine, prompt in zip(engines[1:], prompts, strict=True)
    ]
    futures = [engines[0].submit(p, greedy(backend, p)) for p in prompts]
    together = [f.result(timeout=120).answer for f in futures]
    assert [(a.text, a.token_ids, a.logprobs) for a in together] == alone  # type: ignore[union-attr]
    generated = sum(len(ids) for _, ids, _ in alone)  # type: ignore[misc, arg-type]
    read = engines[0].stats.tokens - generated
    assert read <= len(shared) + sum(map(len, tails)), "no prompt's beginning was read twice"
    for engine in engines:
        engine.close()


def test_a_prompt_whose_beginning_was_to_come_goes_on_when_the_other_is_cancelled(
    backend: LlamaCppBackend, engine: Engine
) -> None:
    tokens = prompt_of(backend, " ".join(WORDS * 100))
    first, second = tokens[:400], [*tokens[:380], *tokens[20:40]]
    reading = engine.submit(first, greedy(backend, first, tokens=300))
    waiting = engine.submit(second, greedy(backend, second))
    time.sleep(0.05)
    reading.cancel()
    done = waiting.result(timeout=120).answer
    assert isinstance(done, Generated)
    assert (done.text, done.token_ids, done.logprobs) == answer(engine, backend, second)


def test_what_another_sequence_holds_is_copied_and_changes_no_byte(
    backend: LlamaCppBackend, engine: Engine
) -> None:
    tokens = prompt_of(backend, " ".join(WORDS * 30))
    first, second = tokens[:200], [*tokens[:180], *tokens[20:60]]
    alone = answer(engine, backend, second)
    answer(engine, backend, tokens[5:50])
    answer(engine, backend, tokens[9:60])
    held = engine.submit(first, greedy(backend, first, tokens=300))
    beside = engine.submit(second, greedy(backend, second)).result(timeout=120)
    held.cancel()
    assert isinstance(beside.answer, Generated)
    assert (beside.answer.text, beside.answer.token_ids, beside.answer.logprobs) == alone


def test_more_requests_than_sequences_wait_their_turn(
    backend: LlamaCppBackend, engine: Engine
) -> None:
    prompts = [prompt_of(backend, f"{word} " * n) for n, word in enumerate(WORDS[:9], start=1)]
    alone = [answer(engine, backend, p) for p in prompts]
    futures = [engine.submit(p, greedy(backend, p)) for p in prompts]
    together = [f.result(timeout=120).answer for f in futures]
    assert [(a.text, a.token_ids, a.logprobs) for a in together] == alone  # type: ignore[union-attr]


@pytest.mark.usefixtures("all_cores")
def test_the_thread_count_changes_no_byte(backend: LlamaCppBackend) -> None:
    prompt = prompt_of(backend, " ".join(WORDS * 12))
    answers = []
    for threads in (1, 2):
        engine = Engine(Context(backend._model, sequences=1, length=1024, threads=threads))
        answers.append(answer(engine, backend, prompt))
        engine.close()
    assert answers[0] == answers[1]


def test_label_scores_equal_one_plain_forward_a_label(
    backend: LlamaCppBackend, engine: Engine
) -> None:
    prompt = prompt_of(backend, "Is this a bug, a feature or a question? " + " ".join(WORDS))
    labels = [prompt_of(backend, text)[-9:-3] for text in ("x y z", "x y w", "q")]
    labels = [labels[0], labels[0][:2], [*labels[0][:2], *labels[1]], labels[2]]
    done = engine.submit(prompt, score(prompt, labels, backend._reader.vocabulary)).result(
        timeout=120
    )
    assert isinstance(done.answer, Scored)
    assert list(done.answer.logprobs) == [_naive(backend, prompt, label) for label in labels]


def _naive(backend: LlamaCppBackend, prompt: list[int], label: list[int]) -> float:
    """Everything in one forward pass on a fresh context, then read off."""
    context = Context(backend._model, sequences=1, length=1024, threads=1, batch_tokens=512)
    whole = prompt + label
    rows = context.decode(
        [PassRow(0, i, token, i >= len(prompt) - 1) for i, token in enumerate(whole)]
    )
    total = 0.0
    for row, token in zip(rows, label, strict=False):
        total = total + float(row[token]) - log_normalizer(row)
    result = (
        total + log_sum(rows[-1][backend._reader.vocabulary.stop_ids]) - log_normalizer(rows[-1])
    )
    context.close()
    return result


def test_a_label_that_begins_another_does_not_tie_with_it(
    backend: LlamaCppBackend,
) -> None:
    request = GenerationRequest("m", (Message("user", "Is it a bug or a bug report?"),))
    scores = asyncio.run(backend.score_labels(request, ["bug", "bug report"]))
    assert scores.logprobs[0] != scores.logprobs[1]
    assert scores.token_counts[0] < scores.token_counts[1]


def test_a_job_that_raises_fails_alone(backend: LlamaCppBackend, engine: Engine) -> None:
    prompt = prompt_of(backend, "hello")

    def broken() -> Job:
        yield Step(0, prompt)
        raise ZeroDivisionError("in the job")

    failing = engine.submit(prompt, broken())
    beside = engine.submit(prompt, greedy(backend, prompt))
    with pytest.raises(BackendError, match="in the job"):
        failing.result(timeout=60)
    assert beside.result(timeout=60).answer.text == answer(engine, backend, prompt)[0]  # type: ignore[union-attr]


def test_a_failed_forward_pass_fails_its_jobs_and_the_next_works(
    backend: LlamaCppBackend, engine: Engine
) -> None:
    outside = [backend._model.vocab_size + 7, 1]
    with pytest.raises(BackendError, match="llama_decode"):
        engine.submit(outside, greedy(backend, outside)).result(timeout=60)
    prompt = prompt_of(backend, "hello")
    assert answer(engine, backend, prompt) == answer(engine, backend, prompt)


def test_closing_fails_what_is_unfinished_and_what_comes_after(
    backend: LlamaCppBackend,
) -> None:
    engine = Engine(Context(backend._model, sequences=1, length=1024, threads=1))
    prompt = prompt_of(backend, "Write a long poem.")
    futures = [engine.submit(prompt, greedy(backend, prompt, tokens=900)) for _ in range(3)]
    engine.close()
    for future in futures:
        with pytest.raises((BackendUnavailable, CancelledError)):
            future.result(timeout=60)
    with pytest.raises(BackendUnavailable):
        engine.submit(prompt, greedy(backend, prompt))


def test_sampled_tokens_do_not_depend_on_what_runs_beside(
    backend: LlamaCppBackend, engine: Engine
) -> None:
    sampling = Sampling(temperature=1.2, seed=7, max_tokens=12, top_p=0.9, top_k=50, min_p=0.01)
    prompt = prompt_of(backend, "Invent a word.")

    def text() -> str:
        job = generate(prompt, backend._reader.vocabulary, sampling)
        done = engine.submit(prompt, job).result(timeout=60).answer
        assert isinstance(done, Generated)
        return done.text

    alone = text()
    noise = [engine.submit(p, greedy(backend, p, 40)) for p in (prompt[:9], prompt[3:])]
    assert text() == alone
    for future in noise:
        future.result(timeout=60)


def spy(context: Context) -> list[list[PassRow]]:
    """The rows of every pass from now on."""
    passes: list[list[PassRow]] = []
    decode = context.decode

    def spied(rows: Sequence[PassRow]) -> list[Logits]:
        passes.append(list(rows))
        return decode(rows)

    context.decode = spied  # type: ignore[method-assign]
    return passes


def test_a_serial_engine_cuts_a_prompt_the_same_way_whatever_is_cached_or_waits(
    backend: LlamaCppBackend,
) -> None:
    """What a stock build needs: a pass's shape depends on the request alone."""
    context = Context(backend._model, sequences=2, length=2048, threads=1)
    passes = spy(context)
    engine = Engine(context, serial=True)
    tokens = prompt_of(backend, " ".join(WORDS * 40))
    prompt, other = tokens[:300], [*tokens[:290], *tokens[9:30]]

    def shapes() -> list[tuple[int, int]]:
        """First position and tokens of every pass over the prompt."""
        found = [(rows[0].position, len(rows)) for rows in passes if len(rows) > 1]
        passes.clear()
        return found

    cold = answer(engine, backend, prompt)
    assert shapes() == [(0, SERIAL_PIECE), (SERIAL_PIECE, SERIAL_PIECE), (256, 44)]
    assert answer(engine, backend, prompt) == cold
    assert shapes() == [(256, 44)], "whole pieces are reused, and the rest is read as it was"
    beside = [engine.submit(p, greedy(backend, p, 20)) for p in (other, tokens[5:200])]
    assert answer(engine, backend, prompt) == cold
    for future in beside:
        future.result(timeout=120)
    assert all(len({row.sequence for row in rows}) == 1 for rows in passes)
    engine.close()


def test_a_serial_engine_never_takes_generated_tokens_for_a_prompt(
    backend: LlamaCppBackend,
) -> None:
    engine = Engine(Context(backend._model, sequences=1, length=2048, threads=1), serial=True)
    prompt = prompt_of(backend, " ".join(WORDS * 30))[:250]
    done = engine.submit(prompt, greedy(backend, prompt, 40)).result(timeout=120).answer
    assert isinstance(done, Generated)
    longer = [*prompt, *done.token_ids]
    assert len(longer) > 2 * SERIAL_PIECE
    again = engine.submit(longer, greedy(backend, longer)).result(timeout=120)
    assert again.timings.cached_tokens == SERIAL_PIECE
    engine.close()


def test_nor_those_of_a_request_that_still_generates(backend: LlamaCppBackend) -> None:
    prompt = prompt_of(backend, " ".join(WORDS * 30))[:250]
    context = Context(backend._model, sequences=2, length=2048, threads=1)
    with contextlib.closing(Engine(context, serial=True)) as engine:
        done = engine.submit(prompt, greedy(backend, prompt, 30)).result(timeout=120).answer
    assert isinstance(done, Generated)
    longer = [*prompt, *done.token_ids]
    context = Context(backend._model, sequences=2, length=2048, threads=1)
    decode, far = context.decode, threading.Event()

    def spied(rows: Sequence[PassRow]) -> list[Logits]:
        if any(row.position >= len(longer) for row in rows):
            far.set()
        return decode(rows)

    context.decode = spied  # type: ignore[method-assign]
    with contextlib.closing(Engine(context, serial=True)) as engine:
        running = engine.submit(prompt, greedy(backend, prompt, 400))
        assert far.wait(timeout=120)
        again = engine.submit(longer, greedy(backend, longer)).result(timeout=120)
        assert again.timings.cached_tokens == SERIAL_PIECE
        running.cancel()


def test_a_pass_past_its_deadline_frees_its_sequence(backend: LlamaCppBackend) -> None:
    """A caller that waits no longer cancels; what waits behind it goes on at once."""
    spec, path = replace(backend.spec, parallel=1), backend._model.path
    alone = LlamaCppBackend(spec, path)

    def ask(text: str, tokens: int) -> GenerationRequest:
        return GenerationRequest("m", prompt=text, sampling=Sampling(max_tokens=tokens))

    async def scenario() -> tuple[str, int]:
        late = asyncio.ensure_future(
            asyncio.wait_for(alone.generate(ask("A long story. ", 3000)), timeout=0.3)
        )
        await asyncio.sleep(0.1)
        text = (await alone.generate(ask("The sky is", 4))).text
        with pytest.raises(TimeoutError):
            await late
        return text, alone.stats.tokens

    text, tokens = asyncio.run(scenario())
    assert text == asyncio.run(backend.generate(ask("The sky is", 4))).text
    assert tokens < 1000, "the abandoned story was not written to its end"
    asyncio.run(alone.close())


def test_logits_are_finite(backend: LlamaCppBackend) -> None:
    context = Context(backend._model, sequences=1, length=256, threads=1)
    (row,) = context.decode([PassRow(0, 0, 5, True)])
    assert row.shape == (backend._model.vocab_size,)
    assert np.isfinite(row).all()
    context.close()


def test_a_long_prompt_beside_a_generation_comes_in_pieces_and_changes_no_byte(
    backend: LlamaCppBackend,
) -> None:
    short = prompt_of(backend, "Count to twenty.")
    long = prompt_of(backend, " ".join(WORDS * 60))[:420]
    alone = []
    for prompt in (short, long):
        engine = Engine(Context(backend._model, sequences=2, length=2048, threads=1))
        alone.append(answer(engine, backend, prompt))
        engine.close()
    context = Context(backend._model, sequences=2, length=2048, threads=1)
    passes = spy(context)
    engine = Engine(context)
    writing = engine.submit(short, greedy(backend, short, tokens=24))
    while len(passes) < 3:
        time.sleep(0.001)
    assert answer(engine, backend, long) == alone[1]
    written = writing.result(timeout=120).answer
    assert isinstance(written, Generated)
    assert written.token_ids[:8] == alone[0][1]
    engine.close()
    counted = [[sum(r.sequence == s for r in rows) for s in (0, 1)] for rows in passes]
    both = [max(counts) for counts in counted if min(counts) == 1 and max(counts) > 8]
    assert len(both) > 3
    assert max(both) <= 128
