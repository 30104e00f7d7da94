"""Forward passes on torch, and the memory of some sequences. Called from the engine's thread."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import torch

from gateway.backends.transformers.cache import Sequences
from gateway.backends.transformers.model import TorchModel
from gateway.engine.context import Logits, Memory, Row
from gateway.errors import BackendError, ModelLoadError
from gateway.memory import available_bytes, readable


class TorchContext:
    """See `gateway.engine.context.Context`.

    A pass computes one sequence after another, each by itself: torch multiplies and attends by
    other kernels for other shapes, so that what is computed beside a sequence must not change its
    shape. What shape remains depends on the sequence alone.

    Args:
        batch_tokens: most tokens in one pass.
        threads: of torch, in the engine's thread.

    Raises:
        ModelLoadError: the memory can not be had.
    """

    def __init__(
        self, model: TorchModel, *, sequences: int, length: int, batch_tokens: int, threads: int
    ) -> None:
        self.sequences = sequences
        self.length = length
        self.batch_tokens = max(batch_tokens, sequences)
        self._model = model
        self._module: Any = model.module
        self._adapter: str | None = None
        self._device = model.device
        self._threads = threads
        self.memory = Memory(_cache_bytes(model) * sequences * length, 0)
        if model.device.type == "cpu" and self.memory.cache > available_bytes():
            raise ModelLoadError(
                f"{model.path}: {sequences} sequences of {length} tokens need "
                f"{readable(self.memory.cache)} of memory and {readable(available_bytes())} are "
                "free",
                hint="lower context_length or parallel in models.toml",
            )
        self._cache = Sequences(int(model.config.num_hidden_layers), sequences, length)

    def decode(self, rows: Sequence[Row]) -> list[Logits]:
        if torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)
        try:
            with self._model.lock, torch.inference_mode():
                self._model.adapters.select(self._adapter)
                with self._model.adapters.switched():
                    return self._forward_each(rows)
        except (RuntimeError, ValueError, IndexError) as exc:
            raise BackendError(f"the forward pass failed: {exc}") from exc

    def _forward_each(self, rows: Sequence[Row]) -> list[Logits]:
        found: list[Logits] = []
        for _, group in groupby(rows, key=lambda row: row.sequence):
            found += self._forward(list(group))
        return found

    def _forward(self, rows: Sequence[Row]) -> Iterator[Logits]:
        """The pass of one sequence; its rows follow each other."""
        wanted = sum(row.output for row in rows)
        place = self._cache.place
        place.sequence, place.start = rows[0].sequence, rows[0].position
        ids = torch.tensor([[row.token for row in rows]], device=self._device)
        positions = torch.tensor([[row.position for row in rows]], device=self._device)
        done = self._module(
            input_ids=ids,
            position_ids=positions,
            past_key_values=self._cache,
            use_cache=True,
            # 0 would be all.
            logits_to_keep=max(wanted, 1),
        )
        if wanted:
            yield from done.logits[0].float().cpu().numpy()

    def select(self, adapter: str | None) -> None:
        self._adapter = adapter

    def truncate(self, sequence: int, length: int) -> bool:
        """What is held is what the next pass says; nothing has to be done."""
        return True

    def copy(self, source: int, target: int) -> None:
        with torch.inference_mode():
            for layer in self._cache.of_layer:
                layer.copy(source, target)

    def close(self) -> None:
        """Let go of the memory."""
        del self._cache, self._module, self._model


def _cache_bytes(model: TorchModel) -> int:
    """Of one token of one sequence, in all layers."""
    config = model.config
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    width = torch.finfo(model.module.dtype).bits // 8
    return int(2 * config.num_hidden_layers * heads * size * width)
