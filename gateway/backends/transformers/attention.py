"""Attention of many sequences in one pass, none of which changes another's bytes.

A pass holds tokens of several sequences, one behind the other. Everything else in a transformer
works on each token by itself; attention works here on each sequence by itself, against the keys and
values that the cache holds of it.

With "blocks" a token's result depends neither on what is computed beside it nor on how its sequence
was cut into passes: keys are taken in whole blocks, so that every product of matrices has the same
inner length, rows come in multiples of `ROW_STEP`, and what the causal mask hides adds exact zeros
behind what it shows. Measured with torch 2.13 on MKL (see `library`): 1 to 128 queries at a time, 1
to 1,800 keys, one and two threads, one result each. "kernel" is the same promise on a card (see
`kernel`). "sdpa" is torch's own kernel on each sequence: it takes other blocks for other lengths,
and with them other bytes.

Models call it through transformers' interface for attention functions:
https://huggingface.co/docs/transformers/attention_interface
"""

import math
from typing import Any

import torch
from torch.nn import functional
from transformers import AttentionInterface

from gateway.backends.transformers.spans import running
from gateway.core.errors import BackendError

NAME = "gateway"
"""Of this attention among those of transformers."""

BLOCK = 128
"""Keys that are taken together; of the scores' products, the inner length."""
ROW_STEP = 8
"""Rows of a product of matrices come in multiples of it: MKL takes other kernels for 1, 2 and 3,
and for one output another one for the odd row at the end."""


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """What transformers' models call.

    Args:
        query: shape (batch, heads, tokens, dimensions); batch times tokens are the pass's rows.
        key, value: a layer's whole memory, shape (sequences, heads of keys, length, dimensions).
        sliding_window: most positions that a token sees, itself included.
        softcap: scores are bent to stay within it.

    Returns:
        Shape (batch, tokens, heads, dimensions).

    Raises:
        BackendError: there is no pass, or the model wants what is not computed here.
    """
    if not running.spans or others.get("s_aux") is not None or others.get("position_bias"):
        raise BackendError("this attention is for passes of the gateway, without sinks or biases")
    batch, heads, tokens, width = query.shape
    scale = scaling if scaling is not None else width**-0.5
    if running.attending == "kernel":
        from gateway.backends.transformers import kernel

        found = kernel.attend(query, key, value, running.tiles, scale, sliding_window, softcap)
        return found, None
    rows = query.transpose(1, 2).reshape(batch * tokens, heads, width)
    out = torch.zeros_like(rows[..., : value.shape[-1]])
    one = _in_blocks if running.attending == "blocks" else _by_torch
    for span in running.spans:
        mine = slice(span.first, span.first + span.count)
        held = key[span.sequence], value[span.sequence]
        out[mine] = one(rows[mine], *held, span.start, scale, sliding_window, softcap)
    return out.view(batch, tokens, heads, -1), None


def _in_blocks(
    rows: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    start: int,
    scale: float,
    window: int | None,
    softcap: float | None,
) -> torch.Tensor:
    """Rows of one sequence, shape (rows, heads, dimensions); also of the result."""
    count, heads, width = rows.shape
    groups = heads // keys.shape[0]
    length = -(-(start + count) // BLOCK) * BLOCK
    # One matrix for each head of keys: all its query heads, one below the other, and idle rows.
    asked = rows.view(count, -1, groups, width).permute(1, 2, 0, 3)
    idle = -(groups * count) % ROW_STEP
    asked = functional.pad(asked.reshape(-1, groups * count, width) * scale, (0, 0, 0, idle))
    scores = torch.bmm(asked, keys[:, :length].transpose(1, 2)).float()
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    # Whole blocks behind every row are seen by all of them.
    seen = 0 if window is not None else start // BLOCK * BLOCK
    hidden = _hidden(start, count, seen, length, window, rows.device).repeat(groups, 1)
    scores[:, :, seen:].masked_fill_(functional.pad(hidden, (0, 0, 0, idle)), -math.inf)
    weights = torch.softmax(scores, dim=-1).to(values.dtype)
    found = torch.bmm(weights[:, :, :BLOCK], values[:, :BLOCK])
    for at in range(BLOCK, length, BLOCK):
        found += torch.bmm(weights[:, :, at : at + BLOCK], values[:, at : at + BLOCK])
    kept = found[:, : groups * count].view(-1, groups, count, found.shape[-1])
    return kept.permute(2, 0, 1, 3).reshape(count, heads, -1)


def _by_torch(
    rows: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    start: int,
    scale: float,
    window: int | None,
    softcap: float | None,
) -> torch.Tensor:
    count, end = len(rows), start + len(rows)
    if softcap is not None:
        return _in_blocks(rows, keys, values, start, scale, window, softcap)
    alone = count == 1 and (window is None or end <= window)
    mask = None if alone else ~_hidden(start, count, 0, end, window, rows.device)
    found = functional.scaled_dot_product_attention(
        rows.transpose(0, 1)[None],
        keys[None, :, :end],
        values[None, :, :end],
        attn_mask=mask,
        scale=scale,
        enable_gqa=rows.shape[1] != keys.shape[0],
    )
    return found[0].transpose(0, 1)


def _hidden(
    start: int, count: int, first: int, end: int, window: int | None, device: torch.device
) -> torch.Tensor:
    """Which keys, from the first to before the end, each row may not see, shape (rows, keys)."""
    keys = torch.arange(first, end, device=device)[None]
    own = torch.arange(start, start + count, device=device)[:, None]
    hidden = keys > own
    return hidden if window is None else hidden | (keys <= own - window)


AttentionInterface.register(NAME, attend)
