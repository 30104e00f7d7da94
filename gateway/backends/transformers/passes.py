"""Forward passes over packed rows: the one place where a model is called."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from gateway.backends.transformers.attention import ROW_STEP
from gateway.backends.transformers.cache import Sequences
from gateway.backends.transformers.spans import Attending, Span, running
from gateway.engine.context import OUTPUTS_PER_PASS


@dataclass(frozen=True, slots=True)
class Shape:
    """How passes are computed: so that bytes are equal, or so that they are fast."""

    attending: Attending
    least_rows: int
    """A pass of fewer is filled up with idle ones, and any pass to a multiple of `ROW_STEP`;
    0: none is."""
    sizes: tuple[int, ...] = ()
    """Where given, a pass has as many rows as one of these, ascending: on a card the rows decide
    which kernel multiplies, so they are filled up to the next size."""

    def idle(self, rows: int) -> int:
        """How many rows to add."""
        if self.sizes:
            largest = self.sizes[-1]
            return next((s for s in self.sizes if s >= rows), -(-rows // largest) * largest) - rows
        if not self.least_rows:
            return 0
        return max(self.least_rows, -(-rows // ROW_STEP) * ROW_STEP) - rows

    def idle_outputs(self, wanted: int) -> int:
        """How many rows' logits to compute besides those that are wanted."""
        return max(0, OUTPUTS_PER_PASS - wanted) if self.sizes else self.idle(wanted)


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
    kept = torch.tensor(outputs_of(packed), device=module.device)
    done = _run(module, cache, packed, logits_to_keep=kept)
    return taken(done.logits[0, : len(packed.wanted)])


def outputs_of(packed: Packed) -> list[int]:
    """The rows whose logits are computed: the wanted ones, and idle ones behind them."""
    wanted = packed.wanted or [0]
    return wanted + wanted[:1] * packed.shape.idle_outputs(len(wanted))


def logits_one_by_one(module: Any, cache: Sequences, packed: Packed) -> torch.Tensor:
    """As `logits`, with each row as a text of its own to the model: so PEFT wants them, to compute
    each with its own adapter. Logits are made of all rows."""
    done = _run(module, cache, packed, of_row=True)
    return taken(done.logits[packed.wanted, 0])


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
    tiles = None
    if packed.shape.attending == "kernel":
        from gateway.backends.transformers.kernel import most_tiles, tiles_of

        count = most_tiles(len(ids), cache.sequences)
        tiles = torch.tensor(tiles_of(packed.spans, count), device=module.device)
    with as_running(packed.shape.attending, packed.spans, tiles):
        return module(
            position_ids=positions.view(batch), past_key_values=cache, use_cache=True, **how
        )


@contextmanager
def as_running(
    attending: Attending, spans: Sequence[Span], tiles: torch.Tensor | None = None
) -> Iterator[None]:
    """The block in which a model's layers find what they compute."""
    running.spans, running.attending, running.tiles = spans, attending, tiles
    try:
        yield
    finally:
        running.spans, running.tiles = (), None


def taken(found: torch.Tensor) -> torch.Tensor:
    """Logits as the engine reads them: float32, on the processor."""
    return found.float().cpu()
