"""Both ways to attend give the same bytes alone, together, in chunks, and with any threads."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.backends.llama_cpp.context import Attending, Context
from gateway.core.types import Completion, GenerationRequest, Sampling
from gateway.engine.context import PassRow
from tests.conftest import few_layers

WORDS = "one tide two boats three crates four sacks five pianos six clerks " * 60
LENGTHS = (60, 500, 2600)
"""Characters. The longest prompt passes 512 tokens, behind which a single token had its kernel."""


@pytest.fixture(params=["smollm2-135m", "gemma3-270m"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def made(name: str, **changes: object) -> LlamaCppBackend:
    spec, path = few_layers(name)
    spec = replace(spec, context_length=1024, **changes)  # type: ignore[arg-type]
    return LlamaCppBackend(spec, path)


def said(done: Completion) -> object:
    return done.token_ids, done.logprobs


def answers(
    backend: LlamaCppBackend, *, together: bool, lengths: Sequence[int] = LENGTHS
) -> list[object]:
    asked = [
        GenerationRequest("m", prompt=WORDS[:n], sampling=Sampling(max_tokens=6), logprobs=1)
        for n in lengths
    ]

    async def ask() -> list[Completion]:
        if together:
            return await asyncio.gather(*map(backend.generate, asked))
        return [await backend.generate(one) for one in asked]

    return [said(done) for done in asyncio.run(ask())]


@pytest.mark.usefixtures("all_cores")
@pytest.mark.parametrize("attention", ["flash", "tiled"])
def test_flash_attention_changes_no_byte(name: str, attention: Attending) -> None:
    found = []
    for parallel, chunk, threads in ((1, 512, 2), (4, 512, 2), (4, 32, 2), (4, 100, 1)):
        backend = made(
            name, attention=attention, parallel=parallel, batch_tokens=chunk, threads=threads
        )
        # Asked again where what was cached is taken up.
        found += [answers(backend, together=parallel > 1) for _ in range(1 + (chunk == 32))]
        asyncio.run(backend.close())
    assert found == [found[0]] * 5


def test_each_way_is_a_model_of_its_own(name: str) -> None:
    plain, flash = made(name), made(name, attention="flash")
    assert plain.fingerprint != flash.fingerprint
    assert "flash_attn=1 type_k=q8_0" in flash.identity["settings"]
    found = [answers(each, together=False, lengths=LENGTHS[:2]) for each in (plain, flash)]
    assert found[0] != found[1]
    for backend in (plain, flash):
        asyncio.run(backend.close())


@pytest.fixture
def context(request: pytest.FixtureRequest) -> Iterator[Context]:
    attention: Attending = request.param
    backend = made("smollm2-135m")
    opened = Context(
        backend._model, sequences=2, length=1024, threads=1, batch_tokens=512, attention=attention
    )
    yield opened
    opened.close()
    asyncio.run(backend.close())


@pytest.mark.parametrize(
    ("context", "equal"),
    [("plain", True), ("flash", True), ("any", False)],
    indirect=["context"],
)
def test_the_library_s_own_choice_is_the_one_that_depends_on_the_batch(
    context: Context, equal: bool
) -> None:
    """Otherwise the tests above prove nothing: they would pass with any kernel."""

    def last(pieces: tuple[int, ...], beside: bool) -> bytes:
        for sequence in (0, 1):
            context.truncate(sequence, 0)
        position, found = 0, b""
        for turn, count in enumerate(pieces):
            rows = [
                PassRow(0, position + i, 1000 + position + i, i == count - 1) for i in range(count)
            ]
            rows += [PassRow(1, turn, 7, False)] if beside else []
            found = context.decode(rows)[0].tobytes()
            position += count
        return found

    alone = last((100, 59, 1), beside=False)
    again = [last((100, 60), False), last((*[40] * 4,), False), last((100, 59, 1), True)]
    assert all(one == alone for one in again) is equal
