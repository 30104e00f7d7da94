"""The memory of some sequences on torch, and passes over them. Called from the engine's thread."""

from collections.abc import Hashable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from gateway.backends.transformers import passes
from gateway.backends.transformers.cache import Sequences
from gateway.backends.transformers.model import TorchModel
from gateway.backends.transformers.passes import FAST, Packed, Shape
from gateway.core.errors import BackendError, ModelLoadError
from gateway.core.kept import Bytes
from gateway.core.sizes import available_bytes, readable
from gateway.engine.context import Logits, Memory, PassRow

if TYPE_CHECKING:
    from gateway.backends.transformers.graphs import Graphs

MIXED_ROWS = 32
"""Most rows of a pass in which adapters are mixed, because logits are made of all of them."""

Chunk = list[PassRow]
"""Rows of one sequence, which follow each other."""


class TorchContext:
    """See `gateway.engine.context.Context`.

    Tokens of all sequences of a pass are rows of the same products of matrices; attention is each
    sequence's own. Rows of different adapters are computed one adapter after the other, or, where
    only speed is asked for and PEFT can, together.

    Args:
        batch_tokens: most tokens in one pass.
        threads: of torch, in the engine's thread.
        fast: passes need not give the same bytes.

    Raises:
        ModelLoadError: the memory cannot be had.
    """

    goes_back = True

    def __init__(
        self,
        model: TorchModel,
        *,
        sequences: int,
        length: int,
        batch_tokens: int,
        threads: int,
        fast: bool = False,
    ) -> None:
        self.sequences = sequences
        self.length = length
        self.batch_tokens = max(batch_tokens, sequences)
        self.mixes_adapters = fast
        self._fast = fast
        self._model = model
        self._threads = threads
        self.memory = Memory(_cache_bytes(model) * sequences * length, 0)
        free = _free_bytes(model.device)
        if free is not None and self.memory.cache > free:
            raise ModelLoadError(
                f"{model.path}: {sequences} sequences of {length} tokens need "
                f"{readable(self.memory.cache)} of memory and {readable(free)} are free",
                hint="lower context_length or parallel in models.toml",
            )
        self._cache = Sequences(model.layers, sequences, length)
        self._graphs: Graphs | None = None
        self._recorded = 0
        """Of the adapters' changes, how many the recorded passes know."""
        self._begins: list[Hashable] = [None] * sequences
        """Of each sequence the adapter whose learned beginning it holds."""

    def decode(self, rows: Sequence[PassRow]) -> list[Logits]:
        chunks = [list(group) for _, group in groupby(rows, key=lambda row: row.sequence)]
        of_adapter: dict[str | None, list[Chunk]] = {}
        for chunk in chunks:
            of_adapter.setdefault(_adapter(chunk), []).append(chunk)
        try:
            with self._model.computing(self._threads):
                if self._may_mix(of_adapter, len(rows)):
                    found = self._mixed([c for some in of_adapter.values() for c in some])
                else:
                    found = {}
                    for adapter, some in of_adapter.items():
                        found |= self._with(adapter, some)
        except (RuntimeError, ValueError, IndexError) as exc:
            raise BackendError(f"the forward pass failed: {exc}") from exc
        return [row for chunk in chunks for row in found[chunk[0].sequence]]

    def _with(self, adapter: str | None, chunks: list[Chunk]) -> dict[int, list[Logits]]:
        """One pass with one adapter; the wanted logits by sequence."""
        self._model.adapters.select(adapter)
        packed = self._packed(chunks, FAST if self._fast else self._model.shape(adapter))
        if packed.shape.attending == "kernel" and self._model.records:
            return _by_sequence(chunks, self._recorded_passes().run(packed, adapter))
        return _by_sequence(chunks, passes.logits(self._model.module, self._cache, packed))

    def _recorded_passes(self) -> "Graphs":
        from gateway.backends.transformers.graphs import Graphs

        if self._graphs is None:
            self._graphs = Graphs(self._model.module, self._cache)
        if self._recorded != self._model.adapters.changes:
            self._graphs.forget()
            self._recorded = self._model.adapters.changes
        return self._graphs

    def _may_mix(self, of_adapter: dict[str | None, list[Chunk]], rows: int) -> bool:
        several = self._fast and len(of_adapter) > 1 and rows <= MIXED_ROWS
        return several and self._model.adapters.mix(list(of_adapter))

    def _mixed(self, chunks: list[Chunk]) -> dict[int, list[Logits]]:
        packed = self._packed(chunks, FAST)
        names = [_adapter([row]) for chunk in chunks for row in chunk]
        with self._model.adapters.mixed(names):
            found = passes.logits_one_by_one(self._model.module, self._cache, packed)
        return _by_sequence(chunks, found)

    def _packed(self, chunks: list[Chunk], shape: Shape) -> Packed:
        packed = Packed(shape)
        for chunk in chunks:
            before = self._begin(chunk[0].sequence, _adapter(chunk))
            outputs = sum(row.output for row in chunk)
            tokens = [row.token for row in chunk]
            packed.add(chunk[0].sequence, before + chunk[0].position, tokens, outputs)
        return packed

    def _begin(self, sequence: int, adapter: str | None) -> int:
        """Have a sequence hold what its adapter puts before every prompt; returns its tokens."""
        beginning = self._model.adapters.beginning(adapter)
        if beginning is None:
            self._begins[sequence] = None
            return 0
        if self._begins[sequence] != adapter:
            for layer, (keys, values) in zip(self._cache.of_layer, beginning.layers, strict=True):
                layer.put(sequence, keys, values)
            self._begins[sequence] = adapter
        return beginning.tokens

    def save(self, sequence: int) -> bytes:
        del sequence
        return b""  # Never asked: it goes back by itself.

    def restore(self, sequence: int, length: int, saved: bytes) -> bool:
        del saved
        return self.truncate(sequence, length)

    def truncate(self, sequence: int, length: int) -> bool:
        """What is held is what the next pass says; nothing has to be done."""
        return True

    def copy(self, source: int, target: int) -> None:
        with torch.inference_mode():
            for layer in self._cache.of_layer:
                layer.copy(source, target)
        self._begins[target] = self._begins[source]

    def state_of(self, sequence: int, length: int) -> Bytes:
        """See `gateway.engine.context.Context`. What an adapter puts before every prompt is put
        there again by each process."""
        if self._begins[sequence] is not None:
            return b""
        return save(
            {
                f"{number}.{name}": held[sequence, :, :length].contiguous().cpu()
                for number, layer in enumerate(self._cache.of_layer)
                for name, held in (("keys", layer.keys), ("values", layer.values))
            }
        )

    def put_state(self, sequence: int, length: int, state: Bytes, adapter: Hashable | None) -> bool:
        """See `gateway.engine.context.Context`."""
        del adapter
        try:
            held = load(bytes(state))
            pairs = [(held[f"{n}.keys"], held[f"{n}.values"]) for n in range(self._model.layers)]
        except (SafetensorError, KeyError):
            return False
        if any(each.shape[1] != length for pair in pairs for each in pair):
            return False
        with torch.inference_mode():
            for layer, (keys, values) in zip(self._cache.of_layer, pairs, strict=True):
                layer.put(sequence, keys, values)
        self._begins[sequence] = None
        return True

    def close(self) -> None:
        """Let go of the memory."""
        if self._graphs:
            self._graphs.forget()
        self._cache.free()
        del self._cache, self._model, self._graphs


def _free_bytes(device: torch.device) -> int | None:
    """None where nobody says."""
    if device.type == "cpu":
        return available_bytes()
    return int(torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else None


def _adapter(chunk: Chunk) -> str | None:
    adapter = chunk[0].adapter
    assert adapter is None or isinstance(adapter, str)
    return adapter


def _by_sequence(chunks: list[Chunk], found: torch.Tensor) -> dict[int, list[Logits]]:
    rows = iter(found.numpy())
    return {chunk[0].sequence: [next(rows) for row in chunk if row.output] for chunk in chunks}


def _cache_bytes(model: TorchModel) -> int:
    """Of one token of one sequence, in all layers."""
    config = model.config
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    width = torch.finfo(model.module.dtype).bits // 8
    return int(2 * model.layers * heads * size * width)
