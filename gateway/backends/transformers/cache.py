"""Keys and values of all sequences of a context, as transformers' attention asks for them.

They are taken once, for every sequence in full length, and never grow: a pass writes behind what
its sequence holds and reads a view of it.
"""

from typing import Any

import torch
from transformers.cache_utils import Cache, CacheLayerMixin


class Place:
    """Where the running pass writes: the same for all layers."""

    def __init__(self) -> None:
        self.sequence = 0
        self.start = 0
        """Tokens that the sequence holds before the pass."""


class SequenceLayer(CacheLayerMixin):  # type: ignore[misc]
    """One layer's keys and values, each of shape (sequences, heads, length, dimensions)."""

    is_sliding = False
    """Every position is kept, so that a prefix can be reused; the mask knows of windows."""

    def __init__(self, sequences: int, length: int, place: Place) -> None:
        super().__init__()
        self._sequences = sequences
        self._length = length
        self._place = place

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        self.keys, self.values = (
            torch.zeros(
                (self._sequences, states.shape[1], self._length, states.shape[3]),
                dtype=states.dtype,
                device=states.device,
            )
            for states in (key_states, value_states)
        )
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        assert self.keys is not None
        assert self.values is not None
        sequence, start = self._place.sequence, self._place.start
        end = start + key_states.shape[2]
        self.keys[sequence, :, start:end] = key_states[0]
        self.values[sequence, :, start:end] = value_states[0]
        mine = slice(sequence, sequence + 1)
        return self.keys[mine, :, :end], self.values[mine, :, :end]

    def copy(self, source: int, target: int) -> None:
        """Make one sequence hold what another one holds."""
        if self.is_initialized:
            assert self.keys is not None
            assert self.values is not None
            self.keys[target] = self.keys[source]
            self.values[target] = self.values[source]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self._place.start + query_length, 0

    def get_seq_length(self) -> int:
        return self._place.start

    def get_max_length(self) -> int:
        return self._length


class Sequences(Cache):  # type: ignore[misc]
    """All layers; `place` is set before each pass."""

    def __init__(self, layers: int, sequences: int, length: int) -> None:
        self.place = Place()
        self.of_layer = [SequenceLayer(sequences, length, self.place) for _ in range(layers)]
        super().__init__(layers=list(self.of_layer))
