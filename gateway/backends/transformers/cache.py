"""Keys and values of all sequences of a context, as transformers' models ask for them.

They are taken once, for every sequence in full length, and never grow: a pass writes behind what
its sequences hold, and attention reads them there.
"""

from typing import Any

import torch
from transformers.cache_utils import Cache, CacheLayerMixin

from gateway.backends.transformers.attention import BLOCK
from gateway.backends.transformers.spans import running


class SequenceLayer(CacheLayerMixin):  # type: ignore[misc]
    """One layer's keys and values, each of shape (sequences, heads, length, dimensions)."""

    is_sliding = False
    """Every position is kept, so that a prefix can be reused; attention knows of windows."""

    def __init__(self, sequences: int, length: int) -> None:
        super().__init__()
        self._sequences = sequences
        self._length = -(-length // BLOCK) * BLOCK

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        # Zeros, not whatever lies there: what is masked is multiplied by zero, and must be finite.
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
        """Write the running pass's rows; attention is given the whole memory."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        assert self.keys is not None
        assert self.values is not None
        for held, states in ((self.keys, key_states), (self.values, value_states)):
            if running.attending == "kernel":
                from gateway.backends.transformers import kernel

                kernel.write(held, states, running.tiles)
                continue
            heads, width = states.shape[1], states.shape[3]
            rows = states.transpose(1, 2).reshape(-1, heads, width)
            for span in running.spans:
                new = rows[span.first : span.first + span.count].transpose(0, 1)
                held[span.sequence, :, span.start : span.start + span.count] = new
        return self.keys, self.values

    def put(self, sequence: int, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Write the beginning of a sequence, each of shape (heads, tokens, dimensions)."""
        if not self.is_initialized:
            self.lazy_initialization(keys[None], values[None])
        assert self.keys is not None
        assert self.values is not None
        self.keys[sequence, :, : keys.shape[1]] = keys
        self.values[sequence, :, : values.shape[1]] = values

    def copy(self, source: int, target: int) -> None:
        """Make one sequence hold what another one holds."""
        if self.is_initialized:
            assert self.keys is not None
            assert self.values is not None
            self.keys[target] = self.keys[source]
            self.values[target] = self.values[source]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self._length, 0

    def get_seq_length(self) -> int:
        """Positions are given with every pass."""
        return 0

    def get_max_length(self) -> int:
        return self._length


class Sequences(Cache):  # type: ignore[misc]
    """All layers of some sequences."""

    def __init__(self, layers: int, sequences: int, length: int) -> None:
        self.sequences = sequences
        self.of_layer = [SequenceLayer(sequences, length) for _ in range(layers)]
        super().__init__(layers=list(self.of_layer))

    def free(self) -> None:
        """Let go of the memory, whoever still holds this object."""
        for layer in self.of_layer:
            layer.keys = layer.values = None
            layer.is_initialized = False
