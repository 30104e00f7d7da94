"""Forward passes over packed rows: the one place where a model is called."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from gateway.backends.transformers.attention import ROW_STEP, Attending, Span, running
from gateway.backends.transformers.cache import Sequences


@dataclass(frozen=True, slots=True)
class Shape:
    """How passes are computed: so that bytes are equal, or so that they are fast."""

    attending: Attending
    least_rows: int
    """A pass of fewer is filled up with idle ones, and any pass to a multiple of `ROW_STEP`;
    0: none is."""

    def idle(self, rows: int) -> int:
        """How many to add."""
        if not self.least_rows:
            return 0
        return max(self.least_rows, -(-rows // ROW_STEP) * ROW_STEP) - rows


FAST = Shape("sdpa", 0)
ALONE = Shape("blocks", ROW_STEP)
"""For passes of one request, whose rows are a function of it."""


@dataclass(slots=True)
class Packed:
    """Rows of one pass: tokens of some sequences, one sequence behind the other."""

    shape: Shape
    ids: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    wanted: list[int] = field(default_factory=list)
    """Rows whose logits are wanted."""

    def add(self, sequence: int, start: int, tokens: Sequence[int], outputs: int) -> None:
        """Tokens of a sequence, from position `start` on; the last ones' logits are wanted."""
        first = len(self.ids)
        self.spans.append(Span(sequence, start, first, len(tokens)))
        self.ids += tokens
        self.positions += range(start, start + len(tokens))
        self.wanted += range(len(self.ids) - outputs, len(self.ids))


def logits(module: Any, cache: Sequences, packed: Packed) -> torch.Tensor:
    """Logits of the wanted rows, float32, shape (wanted, vocabulary), on the processor."""
    wanted = packed.wanted or [0]
    rows = wanted + wanted[:1] * packed.shape.idle(len(wanted))
    kept = torch.tensor(rows, device=module.device)
    done = _run(module, cache, packed, logits_to_keep=kept)
    return _taken(done.logits[0, : len(packed.wanted)])


def logits_one_by_one(module: Any, cache: Sequences, packed: Packed) -> torch.Tensor:
    """As `logits`, with each row as a text of its own to the model: so PEFT wants them, to compute
    each with its own adapter. Logits are made of all rows."""
    done = _run(module, cache, packed, of_row=True)
    return _taken(done.logits[packed.wanted, 0])


def states(module: Any, cache: Sequences, packed: Packed) -> torch.Tensor:
    """The last layer's states of all rows, shape (rows, dimensions)."""
    done = _run(module, cache, packed, output_hidden_states=True, logits_to_keep=1)
    found: torch.Tensor = done.hidden_states[-1][0, : len(packed.ids)]
    return found


def read_vectors(module: Any, cache: Sequences, vectors: torch.Tensor, shape: Shape) -> None:
    """Have sequence 0 of the cache begin with vectors in place of tokens' embeddings.

    Args:
        vectors: shape (tokens, dimensions).
    """
    packed = Packed(shape)
    packed.add(0, 0, [0] * len(vectors), 0)
    idle = vectors.new_zeros((shape.idle(len(vectors)), vectors.shape[1]))
    _run(module, cache, packed, inputs_embeds=torch.cat([vectors, idle])[None], logits_to_keep=1)


def _run(module: Any, cache: Sequences, packed: Packed, *, of_row: bool = False, **how: Any) -> Any:
    idle = [0] * packed.shape.idle(len(packed.ids))
    ids, positions = (
        torch.tensor([*numbers, *idle], device=module.device)
        for numbers in (packed.ids, packed.positions)
    )
    batch = (-1, 1) if of_row else (1, -1)
    if "inputs_embeds" not in how:
        how["input_ids"] = ids.view(batch)
    with _as_running(packed):
        return module(
            position_ids=positions.view(batch), past_key_values=cache, use_cache=True, **how
        )


@contextmanager
def _as_running(packed: Packed) -> Iterator[None]:
    running.spans, running.attending = packed.spans, packed.shape.attending
    try:
        yield
    finally:
        running.spans = ()


def _taken(found: torch.Tensor) -> torch.Tensor:
    return found.float().cpu()
