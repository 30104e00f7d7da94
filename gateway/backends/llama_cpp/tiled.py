"""Flash attention that reads prompts by the library's kernel for many rows, with keys of F16.

`ggml_compute_forward_flash_attn_ext_f16` (`ggml-cpu/ops.cpp`) takes that kernel where a sequence
has 64 rows or more in a pass. Its rows are computed each by itself, so that a row's bytes depend on
the tokens before it and on nothing beside it; but they are others than those of the kernel for
fewer rows. So here a token's kernel follows from what it is. A prompt's are always read by the
one: a pass with fewer of them is filled up with rows that nobody reads, and that are forgotten
behind it. What goes on behind a prompt (labels, generated tokens) is always read by the other.

On several threads, a single row alone in a pass over F16 keys has a third kernel, which parts the
keys among the threads. There it gets a row beside it.
"""

import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from gateway.backends.llama_cpp.context import Attending, Context
from gateway.backends.llama_cpp.model import GgufModel
from gateway.backends.llama_cpp.spec import STEP
from gateway.core.errors import ModelLoadError
from gateway.engine.context import Logits, PassRow
from gateway.models.gguf_parts import read_model

TILE = 64
"""Rows of a sequence in a pass from which on the kernel for many is taken (`GGML_FA_TILE_Q`)."""

_POSITIONS = "position_embd.weight"
_Numbers = list[int]
"""Of rows of a pass, in order."""


def context_kind(attention: Attending) -> type[Context]:
    """What attends so."""
    return TiledContext if attention == "tiled" else Context


class TiledContext(Context):
    """See `Context`. A pass may become several of the library's.

    Raises:
        ModelLoadError: as there; or the model has states that cannot be cut, or layers on a card.
    """

    def __init__(
        self,
        model: GgufModel,
        *,
        sequences: int,
        length: int,
        threads: int,
        batch_tokens: int = 128,
        attention: Attending = "tiled",
        on_eval: Any = None,
    ) -> None:
        _refuse(model)
        super().__init__(
            model,
            sequences=sequences,
            length=length + TILE,
            threads=threads,
            batch_tokens=max(batch_tokens, TILE, sequences + 1),
            attention=attention,
            on_eval=on_eval,
        )
        # Behind the last token there is room for the rows that fill up a pass.
        held = self._lib.llama_n_ctx_seq(self._handle) - TILE
        self.length = min(-(-length // STEP) * STEP, held, _last_position(model) - TILE)
        self.length = min(self.length, model.context_trained)
        self._parts_keys = threads > 1

    def decode(self, rows: Sequence[PassRow]) -> list[Logits]:
        """See `Context.decode`."""
        self._check_size(rows)
        found: dict[int, Logits] = {}
        for numbers in self._passes(rows):
            passed = [rows[number] for number in numbers]
            given = super().decode(self._filled(passed))
            wanted = (number for number in numbers if rows[number].output)
            found |= {n: row.copy() for n, row in zip(wanted, given, strict=True)}
            for sequence, end in _ends(passed).items():
                self.truncate(sequence, end)
        return [found[number] for number in sorted(found)]

    def _passes(self, rows: Sequence[PassRow]) -> Iterator[_Numbers]:
        """Which rows go together: a prompt's alone, so that all its rows are one piece; others as
        many as stay below a tile of each sequence."""
        prompts, others = _by_sequence(rows, prompt=True), _by_sequence(rows, prompt=False)
        yield from prompts.values()
        most = max(map(len, others.values()), default=0)
        for start in range(0, most, TILE - 1):
            parts = [numbers[start : start + TILE - 1] for numbers in others.values()]
            yield from self._together([part for part in parts if part])

    def _together(self, parts: list[_Numbers]) -> Iterator[_Numbers]:
        """The library cuts a pass where a sequence's rows end. On several threads only sequences of
        as many rows go together, so that no row is left over to be alone."""
        sizes = sorted({len(part) for part in parts}) if self._parts_keys else [0]
        for size in sizes:
            yield [number for part in parts if size in (0, len(part)) for number in part]

    def _filled(self, rows: list[PassRow]) -> list[PassRow]:
        """With the rows that are read for their number alone, behind those of their sequence."""
        if rows[0].prompt:
            return [*rows, *_more(rows[-1], TILE - len(rows))]
        if not self._parts_keys:
            return rows
        held = {row.sequence for row in rows}
        filled: list[PassRow] = []
        for row in rows:
            # Sequences whose numbers follow on each other are one pass of the library.
            beside = {row.sequence - 1, row.sequence + 1} & held
            alone = not beside and len(rows) == len(held)
            filled += [row, *_more(row, int(alone))]
        return filled


def _refuse(model: GgufModel) -> None:
    why = ""
    if model.abilities.memory != "attention":
        why = "has states that cannot be cut"
    elif model.offload.layers:
        why = "has layers on a card, which has other kernels"
    if why:
        raise ModelLoadError(
            f'{model.path}: attention = "tiled" is for models of attention on the processor, and '
            f"this one {why}",
            hint='attention = "plain" in its entry, or no such line',
        )


def refuse_shorter(model: GgufModel) -> None:
    """Raise ModelLoadError where a sequence would hold fewer tokens than without tiled attention:
    an entry may say so, and nobody chooses it for one."""
    if _last_position(model) - TILE < model.context_trained:
        raise ModelLoadError(
            f"{model.path}: its table of positions has no room for rows that fill up a pass"
        )


def _last_position(model: GgufModel) -> int:
    """Behind which the library ends the process: of a table of positions, its end."""
    shapes = {tensor.name: tensor.shape for tensor in read_model(model.path).tensors}
    return int(shapes[_POSITIONS][-1]) if _POSITIONS in shapes else sys.maxsize


def _by_sequence(rows: Sequence[PassRow], *, prompt: bool) -> dict[int, _Numbers]:
    found: defaultdict[int, _Numbers] = defaultdict(list)
    for number, row in enumerate(rows):
        if row.prompt == prompt:
            found[row.sequence].append(number)
    return dict(sorted(found.items()))


def _more(row: PassRow, count: int) -> list[PassRow]:
    """So many rows behind one, of which nothing is wanted."""
    return [replace(row, position=row.position + n, output=False) for n in range(1, count + 1)]


def _ends(rows: list[PassRow]) -> dict[int, int]:
    """How many tokens each sequence holds behind some rows."""
    return {row.sequence: row.position + 1 for row in rows}
