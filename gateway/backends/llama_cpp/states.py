"""Hidden states: what a model has made of a prompt behind some of its layers.

The residual stream behind a block is the tensor `l_out-N` of llama.cpp's graphs. What lies above
the highest layer asked for is not computed.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gateway.backends.llama_cpp.context import Attending, Context
from gateway.backends.llama_cpp.model import GgufModel
from gateway.core.errors import Unsupported
from gateway.engine.context import PassRow
from gateway.engine.llama.operations import Tensor, Watch, values_of

_BEHIND_A_BLOCK = b"l_out-"

Pooled = NDArray[np.float32]
"""Shape (layers, 2, width): of each layer the last token's state, and the mean over the text."""


class StateReader:
    """Reads the states of prompts, one after the other; of those that begin alike, the beginning
    once.

    A beginning is always passes of its own, so that a prompt's states are the same bytes whatever
    was read before. Everything is called from one thread at a time.

    Args:
        layers: how many blocks lie below each state, ascending; at least 1, at most all but one.

    Raises:
        ModelLoadError: the memory cannot be had.
    """

    def __init__(
        self,
        model: GgufModel,
        layers: Sequence[int],
        *,
        length: int,
        threads: int,
        batch_tokens: int,
        attention: Attending = "plain",
    ) -> None:
        self.layers = tuple(layers)
        self._watch = _States(layers)
        self._context = Context(
            model,
            sequences=1,
            length=length,
            threads=threads,
            batch_tokens=batch_tokens,
            attention=attention,
            on_eval=self._watch.callback,
        )
        self._beginning: tuple[int, ...] = ()

    def close(self) -> None:
        """Free the memory."""
        self._context.close()

    def read(self, prompt: Sequence[int], start: int, stop: int) -> Pooled:
        """The states of one prompt, whose text is its tokens from `start` to before `stop`.

        Where there is no text, the mean is over all behind the beginning.

        Raises:
            BackendError: a pass failed.
            Unsupported: the model's blocks are not told apart.
        """
        beginning = tuple(prompt[:start])
        kept = beginning == self._beginning and self._context.truncate(0, start)
        if not kept:
            self._begin(beginning)
        self._watch.start((stop if stop > start else len(prompt)) - start)
        self._pass(prompt[start:], start)
        return self._watch.pooled()

    def _begin(self, tokens: tuple[int, ...]) -> None:
        self._beginning = ()
        self._context.truncate(0, 0)
        self._watch.start(0)
        self._pass(tokens, 0)
        self._beginning = tokens

    def _pass(self, tokens: Sequence[int], start: int) -> None:
        step = self._context.batch_tokens
        for at in range(0, len(tokens), step):
            piece = tokens[at : at + step]
            rows = [PassRow(0, start + at + i, token, False) for i, token in enumerate(piece)]
            self._context.decode(rows)
            self._watch.check()


class _States(Watch):
    """Sums up the states of a text's tokens, and keeps those of the last token that came by."""

    def __init__(self, layers: Sequence[int]) -> None:
        super().__init__()
        self._at = {_BEHIND_A_BLOCK + str(layer - 1).encode(): layer for layer in layers}
        self._highest = max(layers)
        self.start(0)

    def start(self, text: int) -> None:
        """A text of so many tokens begins."""
        self._text = text
        self._seen = dict.fromkeys(self._at.values(), 0)
        self._sums: dict[int, NDArray[np.float64]] = {}
        self._last: dict[int, NDArray[np.float32]] = {}

    def wanted(self, tensor: Tensor) -> bool:
        return tensor.name in self._at

    def see(self, tensor: Tensor) -> bool:
        layer, values = self._at[tensor.name], values_of(tensor)
        inside = values[: max(self._text - self._seen[layer], 0)]
        total = inside.sum(axis=0, dtype=np.float64)
        self._sums[layer] = self._sums.get(layer, np.zeros_like(total)) + total
        self._seen[layer] += len(values)
        self._last[layer] = values[-1].copy()
        return layer != self._highest

    def pooled(self) -> Pooled:
        if missing := [layer for layer in self._at.values() if layer not in self._last]:
            raise Unsupported(f"hidden states of this architecture: none behind layer {missing[0]}")
        rows = [
            (self._last[layer], (self._sums[layer] / self._text).astype(np.float32))
            for layer in self._at.values()
        ]
        return np.array(rows, dtype=np.float32)
