"""Attention of a packed pass as one Triton kernel, for cards; and the writing of its cache.

A row's result depends on its own sequence and position only. A program takes up to `TILE` rows that
follow each other in one sequence and reads the keys from position 0 on, in blocks of `KEYS`. So
every row sums in the same order wherever it lies. A block that the mask hides from a row adds
exact zeros to it and scales by exactly one: where the tile ends does not matter.

The softmax over blocks is the online one of Milakov and Gimelshein 2018, arXiv:1805.02867, as
FlashAttention (Dao et al. 2022, arXiv:2205.14135) uses it. Keys are never split by their number, as
decoding kernels do for speed, because then a sum's order would follow the sequence's length.

Triton comes with torch where it is built for CUDA. `TRITON_INTERPRET=1` runs the same kernels on a
processor, which is how they are tested without a card.
"""

from collections.abc import Sequence

import torch
import triton
import triton.language as tl

from gateway.backends.transformers.spans import Span

TILE = 16
"""Most rows of one sequence that a program takes."""
KEYS = 64
"""Keys of a block."""
_HEADS = 8
"""Most query heads of one key head that a program takes; half as many in float32."""
_FIELDS = 4
"""Of a tile: its first row in the pass, how many rows, their sequence, the first one's position."""


def tiles_of(spans: Sequence[Span], count: int) -> list[list[int]]:
    """The spans cut into tiles, filled up with empty ones to `count`; shape (count, 4)."""
    found = [
        [span.first + at, min(TILE, span.count - at), span.sequence, span.start + at]
        for span in spans
        for at in range(0, span.count, TILE)
    ]
    return found + [[0] * _FIELDS] * (count - len(found))


def most_tiles(rows: int, sequences: int) -> int:
    """How many tiles a pass can have: each sequence may end with one that is not full."""
    return rows // TILE + sequences


def write(held: torch.Tensor, states: torch.Tensor, tiles: torch.Tensor) -> None:
    """Write a pass's keys or values into the memory of its sequences.

    Args:
        held: shape (sequences, heads, length, dimensions).
        states: shape (1, heads, rows, dimensions).
        tiles: shape (tiles, 4), int32.
    """
    heads, width = states.shape[1], states.shape[3]
    _write[(len(tiles), heads)](
        held,
        states,
        tiles,
        *held.stride()[:3],
        *states.stride()[1:3],
        WIDTH=width,
        PADDED=triton.next_power_of_2(width),
        TILE=TILE,
    )


def attend(
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    tiles: torch.Tensor,
    scale: float,
    window: int | None,
    softcap: float | None,
) -> torch.Tensor:
    """Attention of all rows of a pass; rows of no tile are zero.

    Args:
        query: shape (1, heads, rows, dimensions).
        keys, values: shape (sequences, heads of keys, length, dimensions).
        tiles: shape (tiles, 4), int32.

    Returns:
        Shape (1, rows, heads, dimensions of values).
    """
    _, heads, rows, width = query.shape
    of_values = values.shape[-1]
    groups = heads // keys.shape[1]
    whole = query.dtype == torch.float32
    per = min(groups, _HEADS // 2 if whole else _HEADS)
    parts = -(-groups // per)
    out = torch.zeros((rows, heads, of_values), dtype=query.dtype, device=query.device)
    _attend[(len(tiles), keys.shape[1] * parts)](
        query,
        keys,
        values,
        out,
        tiles,
        *query.stride()[1:3],
        *keys.stride()[:3],
        *values.stride()[:3],
        *out.stride()[:2],
        float(scale),
        float(softcap or 0.0),
        GROUPS=groups,
        PER=per,
        PARTS=parts,
        ROWS=max(16, triton.next_power_of_2(TILE * per)),
        WIDTH=width,
        PADDED=max(16, triton.next_power_of_2(width)),
        OF_VALUES=of_values,
        VALUES_PADDED=max(16, triton.next_power_of_2(of_values)),
        KEYS=KEYS,
        WINDOW=window or 0,
        SOFTCAP=softcap is not None,
        num_warps=4,
        num_stages=1 if whole else 2,
    )
    return out[None]


# Triton reads a parameter's annotation as its type, so only constants have one.
@triton.jit  # type: ignore[untyped-decorator]
def _write(  # type: ignore[no-untyped-def]
    held,
    states,
    tiles,
    held_sequence,
    held_head,
    held_token,
    states_head,
    states_token,
    WIDTH: tl.constexpr,  # noqa: N803 - Triton's constants are written so
    PADDED: tl.constexpr,  # noqa: N803
    TILE: tl.constexpr,  # noqa: N803
):
    tile = tiles + tl.program_id(0) * 4
    head = tl.program_id(1)
    first, count = tl.load(tile), tl.load(tile + 1)
    sequence, start = tl.load(tile + 2).to(tl.int64), tl.load(tile + 3)
    row = tl.arange(0, TILE)[:, None]
    column = tl.arange(0, PADDED)[None, :]
    kept = (row < count) & (column < WIDTH)
    source = states + head * states_head + (first + row) * states_token + column
    target = held + sequence * held_sequence + head * held_head + (start + row) * held_token
    tl.store(target + column, tl.load(source, mask=kept, other=0.0), mask=kept)


@triton.jit  # type: ignore[untyped-decorator]
def _attend(  # type: ignore[no-untyped-def]
    query,
    keys,
    values,
    out,
    tiles,
    query_head,
    query_row,
    keys_sequence,
    keys_head,
    keys_token,
    values_sequence,
    values_head,
    values_token,
    out_row,
    out_head,
    scale,
    softcap,
    GROUPS: tl.constexpr,  # noqa: N803
    PER: tl.constexpr,  # noqa: N803
    PARTS: tl.constexpr,  # noqa: N803
    ROWS: tl.constexpr,  # noqa: N803
    WIDTH: tl.constexpr,  # noqa: N803
    PADDED: tl.constexpr,  # noqa: N803
    OF_VALUES: tl.constexpr,  # noqa: N803
    VALUES_PADDED: tl.constexpr,  # noqa: N803
    KEYS: tl.constexpr,  # noqa: N803
    WINDOW: tl.constexpr,  # noqa: N803
    SOFTCAP: tl.constexpr,  # noqa: N803
):
    tile = tiles + tl.program_id(0) * 4
    head = tl.program_id(1) // PARTS
    first, count = tl.load(tile), tl.load(tile + 1)
    sequence, start = tl.load(tile + 2).to(tl.int64), tl.load(tile + 3)
    # A row of the tile and a query head of this key head, one below the other.
    row = tl.arange(0, ROWS) // PER
    group = tl.program_id(1) % PARTS * PER + tl.arange(0, ROWS) % PER
    live = (row < count) & (group < GROUPS)
    own = start + row
    column, of_values = tl.arange(0, PADDED), tl.arange(0, VALUES_PADDED)
    asked = tl.load(
        query
        + (head * GROUPS + group)[:, None] * query_head
        + (first + row)[:, None] * query_row
        + column[None, :],
        mask=live[:, None] & (column < WIDTH)[None, :],
        other=0.0,
    )
    keys += sequence * keys_sequence + head * keys_head
    values += sequence * values_sequence + head * values_head
    best = tl.full([ROWS], float("-inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    found = tl.zeros([ROWS, VALUES_PADDED], tl.float32)
    end = start + count
    for at in range(0, end, KEYS):
        place = at + tl.arange(0, KEYS)
        there = place < end
        some = tl.load(
            keys + place[None, :] * keys_token + column[:, None],
            mask=there[None, :] & (column < WIDTH)[:, None],
            other=0.0,
        )
        scores = tl.dot(asked, some, input_precision="ieee") * scale
        if SOFTCAP:
            scores = softcap * (2.0 * tl.sigmoid(2.0 * scores / softcap) - 1.0)
        seen = (place[None, :] <= own[:, None]) & live[:, None]
        if WINDOW > 0:
            seen = seen & (place[None, :] > own[:, None] - WINDOW)
        scores = tl.where(seen, scores, float("-inf"))
        higher = tl.maximum(best, tl.max(scores, 1))
        base = tl.where(higher == float("-inf"), 0.0, higher)
        weights = tl.exp(scores - base[:, None])
        shrink = tl.exp(best - base)
        total = total * shrink + tl.sum(weights, 1)
        more = tl.load(
            values + place[:, None] * values_token + of_values[None, :],
            mask=there[:, None] & (of_values < OF_VALUES)[None, :],
            other=0.0,
        )
        found = found * shrink[:, None]
        found += tl.dot(weights.to(more.dtype), more, input_precision="ieee")
        best = higher
    found = found / tl.where(total == 0.0, 1.0, total)[:, None]
    tl.store(
        out
        + (first + row)[:, None] * out_row
        + (head * GROUPS + group)[:, None] * out_head
        + of_values[None, :],
        found.to(out.dtype.element_ty),
        mask=live[:, None] & (of_values < OF_VALUES)[None, :],
    )
