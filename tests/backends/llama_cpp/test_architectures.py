"""What holds for a model of any architecture: tiny ones of many, drawn by chance."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.backends.llama_cpp.context import cache_bytes
from gateway.backends.llama_cpp.spec import LlamaCppSpec
from gateway.core.errors import OtherKind
from gateway.core.types import GenerationRequest, LabelScores
from gateway.models.abilities import READ_ALONE
from gateway.models.spec import PathSource
from tests.support.architectures import table, write

pytestmark = pytest.mark.needs("llama_cpp")

OF_EACH_KIND = (
    *("llama", "gemma3", "deepseek2", "gptoss", "mamba2", "falconh1", "qwen35", "lfm2"),
    *("rwkv7", "kimi-k3", "gemma3n", "minimax-01", "modern-bert"),
    *("bert-mean", "bert-rank", "t5", "t5encoder", "llada", "llama-embed", "qwen3-embedding"),
)
"""Asked in every run; the others where something changed that they rest on."""
MISREAD = ("cogvlm", "plamo2", "kimi-linear")
"""Those that llama.cpp computes wrongly, or ends the process for where several sequences share a
pass: see test_trial.py."""
EACH = [
    pytest.param(name, marks=() if name in OF_EACH_KIND else pytest.mark.slow)
    for name in table()
    if name not in MISREAD
]
LABELS = ("bug", "bad", "feature", "feat", "b")
PROMPTS = tuple(
    f"{'the page crashes when i scroll ' * count}is it a bug or a feature " for count in (1, 5, 9)
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("architectures")


@asynccontextmanager
async def loaded(path: Path, parallel: int = 1, **keys: object) -> AsyncIterator[LlamaCppBackend]:
    spec = LlamaCppSpec("m", PathSource(path))
    keys = {"context_length": 512, "threads": 1, "parallel": parallel, **keys}
    backend = LlamaCppBackend(LlamaCppSpec.like(spec, **keys), path)
    try:
        yield backend
    finally:
        await backend.close()


async def scores(backend: LlamaCppBackend, order: Sequence[int]) -> list[LabelScores]:
    """Of the prompts, asked in this order; by the prompts' numbers."""
    asked = [GenerationRequest("m", prompt=PROMPTS[number]) for number in order]
    if backend.concurrency > 1:
        found = await asyncio.gather(*(backend.score_labels(each, LABELS) for each in asked))
    else:
        found = [await backend.score_labels(each, LABELS) for each in asked]
    return [found[order.index(number)] for number in range(len(PROMPTS))]


@pytest.mark.parametrize("name", EACH)
def test_every_architecture_answers_rightly_or_says_in_one_sentence_that_it_does_not(
    name: str, folder: Path
) -> None:
    asyncio.run(_every_use(write(name, folder)))


async def _every_use(path: Path) -> None:
    async with loaded(path) as backend:
        if backend.abilities.writes:
            await _scores_rightly(backend, path)
        else:
            await _refuses_to_write(backend)
        if backend.abilities.can("embed"):
            await _embeds_each_text_alone(backend)
        if backend.abilities.can("rerank"):
            together = (await backend.rerank("a feature", PROMPTS)).scores
            alone = [(await backend.rerank("a feature", [each])).scores[0] for each in PROMPTS]
            assert list(together) == alone


async def _scores_rightly(backend: LlamaCppBackend, path: Path) -> None:
    alone = await scores(backend, [0, 1, 2])
    forwarded = backend.stats.tokens
    prompts = sum(found.prompt_tokens for found in alone)
    labels = sum(found.tokens_evaluated - found.prompt_tokens for found in alone)
    assert forwarded - labels <= 1.2 * prompts
    plain = await backend.plain_scores(GenerationRequest("m", prompt=PROMPTS[1]), LABELS)
    assert np.ptp(plain) > 0.1
    near = 1e-3 if backend.abilities.architecture in READ_ALONE else 1e-9
    np.testing.assert_allclose(alone[1].logprobs, plain, rtol=0, atol=near)
    expected = [found.logprobs for found in alone]
    assert [found.logprobs for found in await scores(backend, [2, 1, 0])] == expected
    async with loaded(path, parallel=3) as beside:
        assert [found.logprobs for found in await scores(beside, [1, 2, 0])] == expected
        of_a_token, of_a_sequence = cache_bytes(beside._model, "plain")
        told = 3 * (of_a_token * beside.context_length + of_a_sequence)
        assert told == pytest.approx(beside.memory.cache, rel=0.2)


async def _refuses_to_write(backend: LlamaCppBackend) -> None:
    asked = GenerationRequest("m", prompt=PROMPTS[0])
    with pytest.raises(OtherKind, match=r"^model m generates no text: it is an? .+ \(.+\) \(.+\)$"):
        await backend.generate(asked)
    with pytest.raises(OtherKind, match=r"^model m scores no labels: it is an? "):
        await backend.score_labels(asked, LABELS)
    with pytest.raises(OtherKind, match="scores no labels"):
        await backend.read([1, 5, 6], 1)


async def _embeds_each_text_alone(backend: LlamaCppBackend) -> None:
    texts = [*PROMPTS, *(f"a text with number {'i' * n}" for n in range(29))]
    together = await backend.embed(texts)
    for number in (0, 2, 31):
        (vector,) = (await backend.embed([texts[number]])).vectors
        assert vector == together.vectors[number]
    np.testing.assert_allclose(
        together.vectors[1] @ np.array(await backend.plain_vector(texts[1])), 1, atol=1e-6
    )
