"""An engine that fails answers everybody at once, says why, and serves the next request."""

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.backends.llama_cpp.context import Context
from gateway.core.errors import BackendError, BackendUnavailable, InvalidRequest, ModelLoadError
from gateway.core.types import Sampling
from gateway.engine import engine as engines
from gateway.engine.context import OUTPUTS_PER_PASS, Logits, PassRow
from gateway.engine.engine import Engine
from gateway.engine.generation import generate
from gateway.engine.jobs import Generated, Job, Step
from gateway.engine.prefixes import Prefixes

pytestmark = pytest.mark.needs("llama_cpp")

PROMPT, BESIDE = list(range(20, 30)), list(range(40, 52))
STEPS = [
    (Engine, "_drop_cancelled"),
    (Engine, "_admit"),
    (Engine, "_is_coming"),
    (Engine, "_start"),
    (Engine, "_advance"),
    (Engine, "_begin"),
    (Engine, "_pass"),
    (Engine, "_shares"),
    (Engine, "_lead"),
    (Engine, "_rows"),
    (Engine, "_settle"),
    (Engine, "_leave"),
    (Prefixes, "claim"),
    (Prefixes, "keep"),
    (Prefixes, "add"),
    (Prefixes, "leave"),
    (Context, "decode"),
    (Context, "truncate"),
    (Context, "copy"),
    (Context, "_logits"),
]
"""All that the engine's loop goes through."""


class Refusals:
    """Makes contexts, and refuses to while told so."""

    def __init__(self, make: Callable[[], Context]) -> None:
        self._make = make
        self.refuse = False
        self.made = 0

    def __call__(self) -> Context:
        if self.refuse:
            raise ModelLoadError("no memory for a context")
        self.made += 1
        return self._make()


@pytest.fixture(scope="module")
def contexts(smollm2: LlamaCppBackend) -> Refusals:
    return Refusals(lambda: Context(smollm2._model, sequences=2, length=256, threads=1))


@pytest.fixture
def engine(contexts: Refusals) -> Iterator[Engine]:
    contexts.refuse = False
    engine = Engine(contexts(), remake=contexts)
    yield engine
    engine.close()


def greedy(backend: LlamaCppBackend, prompt: list[int]) -> Job:
    return generate(prompt, backend._reader.vocabulary, Sampling(max_tokens=3), logprobs=1)


def answer(engine: Engine, backend: LlamaCppBackend, prompt: list[int]) -> tuple[object, ...]:
    done = engine.submit(prompt, greedy(backend, prompt)).result(timeout=30).answer
    assert isinstance(done, Generated)
    return done.token_ids, done.logprobs


@pytest.fixture(scope="module")
def right(smollm2: LlamaCppBackend, contexts: Refusals) -> tuple[object, ...]:
    engine = Engine(contexts())
    try:
        return answer(engine, smollm2, PROMPT)
    finally:
        engine.close()


def failing_once(monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> list[str]:
    """Let a method fail at its first call from now on; the calls are noted in what is returned."""
    whole = getattr(owner, name)
    calls: list[str] = []

    def fail(*args: Any, **options: Any) -> Any:
        calls.append(name)
        if len(calls) == 1:
            raise IndexError(f"planted in {name}")
        return whole(*args, **options)

    monkeypatch.setattr(owner, name, fail)
    return calls


@pytest.mark.parametrize(("owner", "name"), STEPS, ids=[f"{o.__name__}.{n}" for o, n in STEPS])
def test_a_fault_anywhere_is_told_and_the_next_request_gets_its_bytes(
    owner: type,
    name: str,
    smollm2: LlamaCppBackend,
    engine: Engine,
    right: tuple[object, ...],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls = failing_once(monkeypatch, owner, name)
    with caplog.at_level(logging.ERROR, "gateway.engine"):
        together = [
            engine.submit(prompt, greedy(smollm2, prompt))
            for prompt in (PROMPT, BESIDE, [*PROMPT, 7], BESIDE)
        ]
        for future in together:
            error = future.exception(timeout=30)
            assert error is None or f"planted in {name}" in str(error)
            assert error is None or isinstance(error, (BackendUnavailable, BackendError))
    assert answer(engine, smollm2, PROMPT) == right
    if calls:
        assert f"planted in {name}" in caplog.text
        assert "Traceback" in caplog.text
    assert not engine.stats.down


def test_what_a_failed_pass_has_computed_is_forgotten(
    smollm2: LlamaCppBackend,
    engine: Engine,
    right: tuple[object, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = Context.decode
    failed: list[int] = []

    def fail(context: Context, rows: Sequence[PassRow]) -> list[Logits]:
        found = whole(context, rows)
        if not failed:
            failed.append(len(rows))
            raise BackendError("planted behind some tokens")
        return found

    monkeypatch.setattr(Context, "decode", fail)
    for _ in range(engine._context.sequences):
        failed.clear()
        error = engine.submit(BESIDE, greedy(smollm2, BESIDE)).exception(timeout=30)
        assert "planted" in str(error)
    assert answer(engine, smollm2, PROMPT) == right


def test_where_no_new_context_is_to_be_had_it_is_told_at_once_and_tried_again(
    smollm2: LlamaCppBackend,
    engine: Engine,
    contexts: Refusals,
    right: tuple[object, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engines, "_TRY_AGAIN_S", 60.0)
    contexts.refuse = True
    failing_once(monkeypatch, Engine, "_pass")
    for expected in ("planted in _pass", "no memory for a context", "no memory for a context"):
        future = engine.submit(PROMPT, greedy(smollm2, PROMPT))
        with pytest.raises(BackendUnavailable, match=expected):
            future.result(timeout=30)
    assert engine.stats.down
    assert "no memory" in engine.stats.last_failure
    contexts.refuse = False
    assert answer(engine, smollm2, PROMPT) == right
    assert not engine.stats.down


def test_an_engine_that_is_down_tries_again_unasked(
    smollm2: LlamaCppBackend,
    engine: Engine,
    contexts: Refusals,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engines, "_TRY_AGAIN_S", 0.01)
    contexts.refuse = True
    failing_once(monkeypatch, Engine, "_pass")
    engine.submit(PROMPT, greedy(smollm2, PROMPT)).exception(timeout=30)
    made = contexts.made
    contexts.refuse = False
    while engine.stats.down:
        pass
    assert contexts.made == made + 1


def test_an_engine_that_is_down_can_be_closed(
    smollm2: LlamaCppBackend, contexts: Refusals, monkeypatch: pytest.MonkeyPatch
) -> None:
    contexts.refuse = False
    engine = Engine(contexts(), remake=contexts)
    contexts.refuse = True
    failing_once(monkeypatch, Engine, "_pass")
    engine.submit(PROMPT, greedy(smollm2, PROMPT)).exception(timeout=30)
    engine.close()
    with pytest.raises(BackendUnavailable, match="closed"):
        engine.submit(PROMPT, greedy(smollm2, PROMPT))


@pytest.mark.parametrize("outputs", [0, -1, 11, OUTPUTS_PER_PASS + 1])
def test_a_step_whose_logits_no_pass_can_give_fails_alone(
    smollm2: LlamaCppBackend, engine: Engine, right: tuple[object, ...], outputs: int
) -> None:
    """More outputs than a context has end the process, and a scheduler without them never ends."""

    def wanting() -> Job:
        yield Step(0, PROMPT * 20 if outputs > len(PROMPT) + 1 else PROMPT, outputs=outputs)
        raise AssertionError("unreached")

    with pytest.raises(BackendError, match=f"wants the logits of {outputs} of its"):
        engine.submit(PROMPT, wanting()).result(timeout=30)
    assert answer(engine, smollm2, PROMPT) == right


def test_a_pass_that_the_library_would_not_survive_is_refused(contexts: Refusals) -> None:
    contexts.refuse = False
    context = contexts()
    try:
        for rows in (
            [],
            [PassRow(0, n, 5, output=True) for n in range(OUTPUTS_PER_PASS + 1)],
            [PassRow(0, n, 5, output=False) for n in range(context.batch_tokens + 1)],
        ):
            with pytest.raises(BackendError, match="a pass of"):
                context.decode(rows)
        assert len(context.decode([PassRow(0, 0, 5, output=True)])) == 1
    finally:
        context.close()


def test_nothing_without_a_token_reaches_the_scheduler(
    smollm2: LlamaCppBackend, engine: Engine, right: tuple[object, ...]
) -> None:
    with pytest.raises(InvalidRequest, match="empty"):
        engine.submit([], greedy(smollm2, []))

    def of_nothing() -> Job:
        yield Step(0, PROMPT)
        yield Step(len(PROMPT), [])
        raise AssertionError("unreached")

    with pytest.raises(BackendError, match="no token"):
        engine.submit(PROMPT, of_nothing()).result(timeout=30)
    assert answer(engine, smollm2, PROMPT) == right
