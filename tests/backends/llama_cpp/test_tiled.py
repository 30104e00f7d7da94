"""Prompts by one kernel and what follows by another: neither depends on the rest of a pass."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.backends.llama_cpp.context import Context
from gateway.backends.llama_cpp.model import GgufModel
from gateway.backends.llama_cpp.spec import LlamaCppSpec
from gateway.backends.llama_cpp.tiled import TILE, TiledContext, context_kind
from gateway.core.errors import ConfigError, ModelLoadError
from gateway.core.types import Completion, GenerationRequest, Sampling
from gateway.engine.context import PassRow
from gateway.models.spec import PathSource
from tests.conftest import few_layers
from tests.support.architectures import write

END, LENGTH = 560, 1024
"""Behind 512 tokens a single row on several threads has a kernel of its own."""
TEXT = [1000 + 7 * n % 3000 for n in range(LENGTH)]
Span = tuple[int, int, int]
"""Sequence, first position and number of rows."""


@pytest.fixture(scope="module")
def model() -> Iterator[GgufModel]:
    loaded = GgufModel(few_layers("smollm2-135m")[1])
    yield loaded
    loaded.close()


Opened = Callable[..., Context]


@pytest.fixture
def opened(model: GgufModel) -> Iterator[Opened]:
    made: list[Context] = []

    def opens(kind: type[Context] = TiledContext, threads: int = 2) -> Context:
        made.append(
            kind(
                model,
                sequences=4,
                length=LENGTH,
                threads=threads,
                batch_tokens=512,
                attention="tiled",
            )
        )
        return made[-1]

    yield opens
    for context in made:
        context.close()


def rows(span: Span, *, prompt: bool) -> list[PassRow]:
    sequence, start, count = span
    return [
        PassRow(sequence, n, TEXT[n], n == start + count - 1, prompt=prompt)
        for n in range(start, start + count)
    ]


def prompt(context: Context, cuts: Sequence[int] = (0, 400, END), sequence: int = 0) -> bytes:
    """Read in pieces; the last row's logits."""
    context.truncate(sequence, 0)
    pieces = [(sequence, a, b - a) for a, b in pairwise(cuts)]
    return [context.decode(rows(each, prompt=True))[0].tobytes() for each in pieces][-1]


@pytest.mark.usefixtures("all_cores")
@pytest.mark.parametrize(
    "cuts",
    [
        pytest.param((0, 300, END - 1, END), id="one row last"),
        pytest.param((0, 1, 64, 127, 400, END), id="little pieces"),
        pytest.param((0, TILE, 2 * TILE, 500, END), id="whole tiles"),
    ],
)
def test_a_prompt_may_be_cut_anywhere(opened: Opened, cuts: Sequence[int]) -> None:
    context = opened()
    whole = prompt(context)
    assert prompt(context, cuts) == whole
    assert prompt(opened(threads=1), cuts) == whole


def test_what_is_beside_a_prompt_changes_nothing(opened: Opened) -> None:
    context = opened()
    whole = prompt(context)
    context.truncate(0, 500)
    context.copy(0, 2)
    beside = [*rows((0, 500, 60), prompt=True), *rows((1, 0, 5), prompt=True)]
    beside += [*rows((2, 500, 60), prompt=True), *rows((3, 0, 1), prompt=False)]
    found = context.decode(beside)
    assert [found[0].tobytes(), found[2].tobytes()] == [whole] * 2


TOGETHER: tuple[tuple[Span, ...], ...] = (
    ((0, END, 2),),
    ((0, END, 63),),
    ((0, END, 1), (1, END, 1)),
    ((0, END, 1), (2, END, 1)),
    ((0, END, 2), (1, END, 3)),
    ((0, END, 3), (1, END, 1), (3, END, 2)),
    ((1, END, 100),),
)


@pytest.mark.usefixtures("all_cores")
def test_what_follows_a_prompt_may_be_batched_anyhow(opened: Opened) -> None:
    context, single = opened(), opened(threads=1)
    known = {}
    for each in (single, context):
        prompt(each)
        for sequence in (1, 2, 3):
            each.copy(0, sequence)
    for n in range(END, END + 100):
        known[n] = single.decode(rows((0, n, 1), prompt=False))[0].tobytes()
    for n in range(END, END + 4):
        assert context.decode(rows((0, n, 1), prompt=False))[0].tobytes() == known[n]
    for spans in TOGETHER:
        for sequence in range(4):
            context.truncate(sequence, END)
        found = context.decode([row for span in spans for row in rows(span, prompt=False)])
        last = [known[start + count - 1] for _, start, count in spans]
        assert [each.tobytes() for each in found] == last, spans


def test_the_library_itself_takes_one_kernel_or_the_other(opened: Opened) -> None:
    """Otherwise the tests above prove nothing."""
    context = opened(Context)
    assert prompt(context, (0, TILE)) != prompt(context, (0, TILE - 2, TILE))


def test_a_sequence_is_filled_up_to_its_last_token(opened: Opened) -> None:
    context = opened()
    assert context.length == LENGTH
    prompt(context, (0, 400, 800, LENGTH - 1, LENGTH))
    context.truncate(0, LENGTH - 1)
    assert context.decode(rows((0, LENGTH - 1, 1), prompt=False))


@pytest.mark.needs("llama_cpp")
@pytest.mark.parametrize(("name", "length"), [("llama", 512), ("gpt2", 4096 - TILE)])
def test_a_prompt_is_as_long_as_the_model_allows(tmp_path: Path, name: str, length: int) -> None:
    """A row that fills up a pass may lie behind what the model was trained for, but not behind the
    table of its positions."""
    trained = {} if name == "gpt2" else {"context_length": length}
    with closing(GgufModel(write(name, tmp_path, says=trained))) as model:
        room = min(model.context_trained, 4096)
        context = TiledContext(model, sequences=1, length=room, threads=1, batch_tokens=512)
        with closing(context):
            assert context.length == length
            for start in range(0, length, 500):
                end = min(start + 500, length)
                found = context.decode(
                    [PassRow(0, n, 5 + n % 9, n == end - 1, prompt=True) for n in range(start, end)]
                )
            assert np.isfinite(found[0]).all()


# In the gateway.


def backend(**changes: object) -> LlamaCppBackend:
    spec, path = few_layers("smollm2-135m")
    spec = replace(spec, attention="tiled", context_length=1024, **changes)  # type: ignore[arg-type]
    return LlamaCppBackend(spec, path)


def ask(asked: LlamaCppBackend, text: str) -> Completion:
    request = GenerationRequest("m", prompt=text, sampling=Sampling(max_tokens=24), logprobs=1)
    return asyncio.run(asked.generate(request))


WORDS = "one tide two boats three crates four sacks five pianos six clerks " * 8


def test_what_was_generated_is_read_again_where_it_comes_back_as_a_prompt() -> None:
    talking, fresh = backend(parallel=1), backend(parallel=1, threads=1)
    first = ask(talking, WORDS)
    behind = WORDS + first.text + " and so on"
    again, known = ask(talking, behind), ask(fresh, behind)
    assert (again.token_ids, again.logprobs) == (known.token_ids, known.logprobs)
    assert 0 < again.timings.cached_tokens <= first.usage.prompt_tokens
    for each in (talking, fresh):
        asyncio.run(each.close())


def test_a_plain_score_is_that_of_the_engine() -> None:
    scoring, labels = backend(), ("a bug", "a question")
    request = GenerationRequest("m", prompt=WORDS)
    found = asyncio.run(scoring.score_labels(request, labels))
    plain = asyncio.run(scoring.plain_scores(request, labels))
    assert found.logprobs == pytest.approx(plain, abs=1e-4)
    assert "prompts=tiled" in scoring.identity["settings"]
    asyncio.run(scoring.close())


def test_a_model_with_states_is_refused(tmp_path: Path) -> None:
    path = write("mamba2", tmp_path)
    spec = LlamaCppSpec("m", PathSource(path), context_length=256, attention="tiled")
    with pytest.raises(ModelLoadError, match=r'attention = "tiled".*states that cannot be cut'):
        LlamaCppBackend(spec, path)


def test_it_is_for_bitwise_entries() -> None:
    with pytest.raises(ConfigError, match=r'"tiled" is for deterministic = "bitwise"'):
        LlamaCppSpec("m", PathSource(Path("m.gguf")), attention="tiled", deterministic="off")


def test_the_other_ways_have_the_usual_context() -> None:
    assert context_kind("flash") is context_kind("plain") is Context
