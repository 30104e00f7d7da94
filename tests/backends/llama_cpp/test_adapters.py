"""Several adapters on one copy of the weights; none ever answers for another."""

import asyncio
import itertools
import time
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from gateway.backends.llama_cpp import backend as module
from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.backends.llama_cpp.context import Context
from gateway.backends.llama_cpp.spec import LlamaCppSpec
from gateway.core.errors import GatewayError, ModelLoadError
from gateway.core.types import Completion, GenerationRequest, Message, Sampling
from gateway.engine import engine as scheduler
from gateway.engine.context import Logits, PassRow
from tests.conftest import few_layers
from tests.support.gguf_adapters import FEW_TARGETS, write_adapter

LONG = "The pipeline stops whenever the second worker is restarted. " * 12


@dataclass(frozen=True, slots=True)
class Family:
    """A base model and two adapters on it, loaded together."""

    base: LlamaCppBackend
    first: LlamaCppBackend
    second: LlamaCppBackend
    spec: LlamaCppSpec
    path: Path

    def members(self) -> tuple[LlamaCppBackend, ...]:
        return self.base, self.first, self.second


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Family]:
    folder = tmp_path_factory.mktemp("adapters")
    spec, path = few_layers("smollm2-135m")
    spec = replace(spec, context_length=1024, parallel=3)

    def tuned(seed: int) -> LlamaCppBackend:
        adapter = write_adapter(folder / f"{seed}.gguf", seed, targets=FEW_TARGETS)
        return LlamaCppBackend(replace(spec, name=f"m:{seed}", adapter=adapter), path)

    found = Family(LlamaCppBackend(spec, path), tuned(1), tuned(2), spec, path)
    yield found
    for member in found.members():
        asyncio.run(member.close())


def ask(text: str, tokens: int = 12) -> GenerationRequest:
    sampling = Sampling(max_tokens=tokens)
    return GenerationRequest("m", (Message("user", text),), sampling=sampling, logprobs=2)


def bytes_of(done: Completion) -> tuple[Any, ...]:
    return done.text, done.token_ids, done.logprobs


def test_an_adapter_changes_the_answer_and_the_identity(family: Family) -> None:
    answers = [asyncio.run(m.generate(ask("What is a lighthouse?"))) for m in family.members()]
    assert len({a.text for a in answers}) == 3
    assert len({a.fingerprint for a in answers}) == 3
    assert len({m.identity["weights"] for m in family.members()}) == 1
    assert "adapter" not in family.base.identity
    assert family.first.identity["adapter"] != family.second.identity["adapter"]


def test_all_share_one_copy_of_the_weights_and_one_engine(family: Family) -> None:
    assert family.base._model is family.first._model is family.second._model
    assert family.base._engine is family.first._engine is family.second._engine


def test_adapters_side_by_side_answer_as_alone(family: Family) -> None:
    requests = [ask(f"{LONG[: 90 * n]} What is the cause?") for n in range(4)]

    async def together() -> list[Completion]:
        return await asyncio.gather(*(m.generate(r) for r in requests for m in family.members()))

    alone = [asyncio.run(m.generate(r)) for r in requests for m in family.members()]
    beside = asyncio.run(together())
    assert list(map(bytes_of, beside)) == list(map(bytes_of, alone))


def test_label_scores_of_adapters_side_by_side_are_those_of_alone(family: Family) -> None:
    async def scores(member: LlamaCppBackend) -> tuple[float, ...]:
        return (await member.score_labels(ask(LONG), ["bug", "feature", "question"])).logprobs

    async def together() -> list[tuple[float, ...]]:
        return await asyncio.gather(*map(scores, family.members()))

    alone = [asyncio.run(scores(m)) for m in family.members()]
    assert asyncio.run(together()) == alone
    assert len(set(alone)) == 3


def test_what_one_adapter_has_read_another_reads_again(family: Family) -> None:
    text = f"Read this. {LONG}"
    assert asyncio.run(family.first.generate(ask(text))).timings.cached_tokens < 64
    other = asyncio.run(family.second.generate(ask(text)))
    assert other.timings.cached_tokens < 64, (
        "no more than the system prompt, from a request of its own"
    )
    again = asyncio.run(family.first.generate(ask(text)))
    assert again.timings.cached_tokens > 100
    assert again.text != other.text


class Clock:
    """A clock by which every pass takes as long, however busy the machine is."""

    def __init__(self) -> None:
        self.now = time.perf_counter()

    def perf_counter(self) -> float:
        return self.now


def test_no_pass_serves_two_adapters_and_each_keeps_its_turn(
    family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each sequence belongs to one adapter at a time; a pass holds those of one only."""
    clock = Clock()
    monkeypatch.setattr(scheduler, "time", clock)
    passes: list[Hashable] = []
    decode, engine = Context.decode, family.base._engine

    def spied(self: Context, rows: list[PassRow]) -> list[Logits]:
        if self is engine._context:
            owner = {task.sequence: task.adapter for task in engine._running}
            (adapter,) = {row.adapter for row in rows}
            assert {owner[row.sequence] for row in rows} == {adapter}
            passes.append(adapter)
            clock.now += scheduler._TURN_S / 4
        return decode(self, rows)

    monkeypatch.setattr(Context, "decode", spied)

    async def together() -> None:
        await asyncio.gather(*(m.generate(ask(LONG, 40)) for m in family.members()))

    asyncio.run(together())
    changes = sum(a != b for a, b in itertools.pairwise(passes))
    assert len(set(passes)) == 3
    assert 2 <= changes < len(passes) / 2


def test_a_scale_of_its_own_is_another_model(family: Family) -> None:
    spec = replace(family.first.spec, adapter_scale=0.5)
    half = LlamaCppBackend(spec, family.path)
    assert half.fingerprint != family.first.fingerprint
    full = asyncio.run(family.first.generate(ask("What is a lighthouse?")))
    less = asyncio.run(half.generate(ask("What is a lighthouse?")))
    assert less.logprobs != full.logprobs
    asyncio.run(half.close())


def test_a_changed_file_under_the_same_name_is_another_model(
    family: Family, tmp_path: Path
) -> None:
    fingerprints = []
    for seed in (5, 6):
        adapter = write_adapter(tmp_path / "mine.gguf", seed, targets=FEW_TARGETS)
        backend = LlamaCppBackend(replace(family.spec, adapter=adapter), family.path)
        fingerprints.append(backend.fingerprint)
        asyncio.run(backend.close())
    assert fingerprints[0] != fingerprints[1]


def test_closing_one_leaves_the_others_and_the_last_frees_the_weights(tmp_path: Path) -> None:
    spec, path = few_layers("smollm2-135m")
    spec = replace(spec, context_length=256, parallel=1, threads=1)
    base = LlamaCppBackend(spec, path)
    entry = replace(spec, adapter=write_adapter(tmp_path / "a.gguf", 1, targets=FEW_TARGETS))
    tuned = LlamaCppBackend(entry, path)
    asyncio.run(base.close())
    asyncio.run(base.close())
    assert asyncio.run(tuned.generate(ask("Hello"))).text
    key = tuned._engine_key
    assert key in module._engines._held
    asyncio.run(tuned.close())
    assert key not in module._engines._held


@pytest.mark.parametrize("wrong", ["absent", "text", "truncated", "other width", "other family"])
def test_an_adapter_that_does_not_fit_is_refused_and_the_base_goes_on(
    family: Family, tmp_path: Path, wrong: str
) -> None:
    path = tmp_path / "adapter.gguf"
    if wrong == "text":
        path.write_text("GGUF? no.")
    elif wrong == "truncated":
        whole = write_adapter(tmp_path / "whole.gguf", 1, targets=FEW_TARGETS).read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    elif wrong == "other width":
        write_adapter(path, 1, targets={"blk.0.attn_q.weight": (640, 640)})
    elif wrong == "other family":
        write_adapter(path, 1, architecture="gemma3")
    before = asyncio.run(family.base.generate(ask("Hello")))
    with pytest.raises(GatewayError) as caught:
        LlamaCppBackend(replace(family.spec, adapter=path), family.path)
    assert isinstance(caught.value, ModelLoadError)
    assert str(path) in caught.value.message
    assert bytes_of(asyncio.run(family.base.generate(ask("Hello")))) == bytes_of(before)
