"""The kernel for cards, run by Triton's interpreter: what attention in blocks computes, and a row's
bytes wherever it lies. That the compiled kernel keeps them too, `scripts/gpu-check` measures."""

import os

import pytest
import torch

os.environ.setdefault("TRITON_INTERPRET", "1")
pytest.importorskip("triton", reason="triton is not installed: the kernel for cards is not tried")

from gateway.backends.transformers import invariant_shape, kernel
from gateway.backends.transformers.attention import BLOCK, _in_blocks
from gateway.backends.transformers.context import TorchContext
from gateway.backends.transformers.model import TorchModel
from gateway.backends.transformers.passes import Shape
from gateway.backends.transformers.spans import Span
from gateway.engine.context import PassRow
from tests.backends.transformers.tiny import write_model

HEADS, KEY_HEADS, WIDTH, LENGTH = 6, 2, 24, 2 * BLOCK
ROWS = 80
SPANS = (Span(0, 0, 0, 70), Span(2, 0, 70, 5))


def drawn(heads: int, seed: int) -> torch.Tensor:
    return torch.randn(1, heads, ROWS, WIDTH, generator=torch.Generator().manual_seed(seed))


def held() -> torch.Tensor:
    return torch.zeros(3, KEY_HEADS, LENGTH, WIDTH)


def tiles(spans: tuple[Span, ...]) -> torch.Tensor:
    return torch.tensor(kernel.tiles_of(spans, kernel.most_tiles(ROWS, 3)))


@pytest.mark.parametrize(
    ("window", "softcap"), [(None, None), (20, None), (None, 15.0)], ids=["", "window", "softcap"]
)
def test_it_computes_what_attention_in_blocks_does(
    window: int | None, softcap: float | None
) -> None:
    query, key, value = drawn(HEADS, 0), drawn(KEY_HEADS, 1), drawn(KEY_HEADS, 2)
    keys, values = held(), held()
    for memory, states in ((keys, key), (values, value)):
        kernel.write(memory, states, tiles(SPANS))
    found = kernel.attend(query, keys, values, tiles(SPANS), WIDTH**-0.5, window, softcap)[0]
    for span in SPANS:
        mine = slice(span.first, span.first + span.count)
        wanted = _in_blocks(
            query[0].transpose(0, 1)[mine],
            keys[span.sequence],
            values[span.sequence],
            span.start,
            WIDTH**-0.5,
            window,
            softcap,
        )
        torch.testing.assert_close(found[mine], wanted)
    assert not found[75:].any(), "rows of no sequence"


def test_a_row_has_the_same_bytes_in_every_tile() -> None:
    query, key, value = drawn(HEADS, 0), drawn(KEY_HEADS, 1), drawn(KEY_HEADS, 2)

    def attended(parts: list[tuple[Span, ...]]) -> torch.Tensor:
        keys, values, out = held(), held(), torch.zeros(ROWS, HEADS, WIDTH)
        for spans in parts:
            kernel.write(keys, key, tiles(spans))
            kernel.write(values, value, tiles(spans))
            out += kernel.attend(query, keys, values, tiles(spans), 0.2, None, None)[0]
        return out[:70]

    whole = attended([(Span(0, 0, 0, 70),)])
    cut = attended(
        [(Span(0, 0, 0, 3),), (Span(0, 3, 3, 20), Span(2, 0, 70, 9)), (Span(0, 23, 23, 47),)]
    )
    assert torch.equal(whole, cut)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TorchModel:
    return TorchModel(write_model(tmp_path_factory.mktemp("tiny")), dtype="float32", device="cpu")


def rows(sequence: int, start: int, count: int) -> list[PassRow]:
    return [
        PassRow(sequence, start + i, 5 + (start + i) % 90, i == count - 1) for i in range(count)
    ]


def test_a_context_computes_with_it_what_it_computes_in_blocks(tiny: TorchModel) -> None:
    def last(shape: Shape, counts: tuple[int, ...]) -> torch.Tensor:
        tiny.shapes[None] = shape
        context = TorchContext(tiny, sequences=3, length=200, batch_tokens=256, threads=1)
        start = 0
        for count in counts:
            found = context.decode([*rows(0, start, count), *rows(2, start, count)])
            start += count
        return torch.tensor(found[0])

    whole = last(Shape("kernel", 0, (64, 256)), (100,))
    assert torch.equal(whole, last(Shape("kernel", 0, (64, 256)), (1, 30, 69)))
    torch.testing.assert_close(whole, last(Shape("blocks", 8), (100,)))


def test_passes_have_one_of_the_sizes() -> None:
    shape = Shape("kernel", 0, (64, 256))
    assert [shape.idle(rows) for rows in (1, 64, 65, 256, 257, 600)] == [63, 0, 191, 0, 255, 168]
    assert [shape.idle_outputs(wanted) for wanted in (1, 64, 70)] == [63, 0, 0]


def test_sizes_that_are_taken_together_give_the_same_bytes(tiny: TorchModel) -> None:
    shape = invariant_shape._of_sizes(tiny)
    assert shape is not None
    assert set(shape.sizes) <= set(invariant_shape.SIZES)
    found = [
        invariant_shape._logits(
            tiny, Shape(shape.attending, 0, (size,)), invariant_shape._pieces(size)
        )
        for size in shape.sizes
    ]
    assert all(torch.equal(found[0], other) for other in found)
