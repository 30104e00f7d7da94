"""Passes of fixed sizes, recorded once as CUDA graphs and then replayed.

A pass over a small model takes hundreds of kernels of a few microseconds each, and Python takes
longer to start one than the card to run it. Passes that keep bytes apart have fixed shapes anyway,
and so one graph a size serves all of them: https://docs.pytorch.org/docs/stable/notes/cuda.html
"""

import warnings
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import torch

from gateway.backends.transformers.cache import Sequences
from gateway.backends.transformers.kernel import most_tiles, tiles_of
from gateway.backends.transformers.passes import Packed, as_running, logits, outputs_of, taken
from gateway.backends.transformers.spans import Span

_WARM_UPS = 2
"""Passes before one is recorded: libraries choose kernels and take memory in the first."""


@dataclass(frozen=True, slots=True)
class _Graph:
    numbers: torch.Tensor
    """What a pass reads: ids, positions, wanted rows and tiles, one behind the other."""
    found: torch.Tensor
    """Logits of the wanted rows and of idle ones."""
    recorded: Any


class Graphs:
    """The recorded passes over one cache.

    Args:
        module: the model; its adapters may change between passes, if `run` is told.
    """

    def __init__(self, module: Any, cache: Sequences) -> None:
        self._module, self._cache = module, cache
        self._graphs: dict[Hashable, _Graph | None] = {}
        self._pool = torch.cuda.graph_pool_handle()

    def run(self, packed: Packed, computed_with: Hashable) -> torch.Tensor:
        """As `passes.logits`.

        Args:
            computed_with: equal ones have the same weights in the same places.
        """
        rows = len(packed.ids) + packed.shape.idle(len(packed.ids))
        key = (rows, len(outputs_of(packed)), computed_with)
        if key not in self._graphs:
            self._graphs[key] = self._record(rows, packed)
        graph = self._graphs[key]
        if graph is None:
            return logits(self._module, self._cache, packed)
        graph.numbers.copy_(torch.tensor(_numbers(packed, rows, self._cache.sequences)))
        graph.recorded.replay()
        return taken(graph.found[: len(packed.wanted)])

    def forget(self) -> None:
        """Forget what was recorded: weights have moved, or the memory is given back."""
        for graph in filter(None, self._graphs.values()):
            graph.recorded.reset()
        self._graphs.clear()

    def _record(self, rows: int, packed: Packed) -> _Graph | None:
        """None where the model does what cannot be recorded."""
        empty = Packed(packed.shape, [0] * rows, [0] * rows, wanted=[0] * len(outputs_of(packed)))
        numbers = torch.tensor(_numbers(empty, rows, self._cache.sequences)).to(self._module.device)
        try:
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(_WARM_UPS):
                    self._forward(numbers, rows, packed)
            torch.cuda.current_stream().wait_stream(stream)
            recorded = torch.cuda.CUDAGraph()
            with torch.cuda.graph(recorded, pool=self._pool, capture_error_mode="thread_local"):
                found = self._forward(numbers, rows, packed)
        except RuntimeError as exc:
            warnings.warn(f"passes are not recorded as CUDA graphs: {exc}", stacklevel=2)
            return None
        return _Graph(numbers, found, recorded)

    def _forward(self, numbers: torch.Tensor, rows: int, packed: Packed) -> torch.Tensor:
        outputs = len(outputs_of(packed))
        ids, positions, kept, tiles = numbers.split(
            [rows, rows, outputs, len(numbers) - 2 * rows - outputs]
        )
        # The spans are in the tiles; here they only say that a pass is running.
        with as_running(packed.shape.attending, (Span(0, 0, 0, 0),), tiles.view(-1, 4)):
            done = self._module(
                input_ids=ids[None],
                position_ids=positions[None],
                past_key_values=self._cache,
                use_cache=True,
                logits_to_keep=kept,
            )
        found: torch.Tensor = done.logits[0]
        return found


def _numbers(packed: Packed, rows: int, sequences: int) -> list[int]:
    idle = [0] * (rows - len(packed.ids))
    tiles = tiles_of(packed.spans, most_tiles(rows, sequences))
    places = [number for tile in tiles for number in tile]
    return [*packed.ids, *idle, *packed.positions, *idle, *outputs_of(packed), *places]
