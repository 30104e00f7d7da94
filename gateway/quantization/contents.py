"""What a GGUF file really holds: bits per weight by part, and where its name is not kept.

A level's name says what its maker asked for. A row is cut into blocks of its type, and where the
row's width is no multiple of the block (256 for K- and I-quants), llama.cpp takes another type for
that tensor (`tensor_type_fallback` in `src/llama-quant.cpp`). SmolLM2 135M is 576 wide.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from gateway.models.gguf import Header, Tensor
from gateway.quantization.names import Level, level_in

Part = Literal["embedding", "output", "attention", "feed-forward", "norms", "other"]

_PARTS: Sequence[tuple[Part, re.Pattern[str]]] = (
    ("norms", re.compile(r"norm|\.bias$")),
    ("embedding", re.compile(r"^(token_embd|per_layer_token_embd|position_embd|token_types)\.")),
    ("output", re.compile(r"^output\.")),
    ("attention", re.compile(r"\.attn_|\.cross_attn_")),
    ("feed-forward", re.compile(r"\.ffn_")),
)
"""Tensors' names by ggml's convention (`gguf.TENSOR_NAMES`); the first that fits counts."""

FLOATS = ("F32", "F16", "BF16", "F64")
"""Types that are not quantized."""


@dataclass(frozen=True, slots=True)
class Share:
    """Some tensors together."""

    tensors: int
    weights: int
    size: int
    """Bytes."""

    @property
    def bits_per_weight(self) -> float:
        return 8 * self.size / self.weights if self.weights else 0.0


@dataclass(frozen=True, slots=True)
class Fallback:
    """Tensors whose rows cannot be cut into the blocks of the level's base type."""

    type: str
    """What they have instead."""
    width: int
    """Of their rows."""
    block: int
    """Of the base type."""
    share: Share


@dataclass(frozen=True)
class Contents:
    """The tensors of one file, made or planned, and the level that it is called.

    Args:
        level: None where nothing says what it is called.
    """

    level: Level | None
    tensors: Sequence[Tensor]

    @cached_property
    def total(self) -> Share:
        return _share(self.tensors)

    @cached_property
    def parts(self) -> Mapping[Part, Share]:
        """By part of the model, without those that it lacks. Where there is no output, the
        embedding is that too."""
        return {
            part: _share(found)
            for part in ("embedding", "output", "attention", "feed-forward", "norms", "other")
            if (found := [tensor for tensor in self.tensors if part_of(tensor.name) == part])
        }

    @cached_property
    def types(self) -> Mapping[str, Share]:
        """By type, those of most weights first."""
        weights: Counter[str] = Counter()
        for tensor in self.tensors:
            weights[tensor.type] += tensor.weights
        return {
            kind: _share(tensor for tensor in self.tensors if tensor.type == kind)
            for kind, _ in weights.most_common()
        }

    @cached_property
    def quantized(self) -> Share:
        """All that is not kept as floating-point numbers."""
        return _share(tensor for tensor in self.tensors if tensor.type not in FLOATS)

    @cached_property
    def as_named(self) -> float:
        """Share of the matrices' weights that have the level's base type, from 0 to 1."""
        matrices = [tensor for tensor in self.tensors if is_matrix(tensor)]
        if self.level is None or not matrices:
            return 1.0
        base = _share(tensor for tensor in matrices if tensor.type == self.level.base)
        return base.weights / _share(matrices).weights

    @cached_property
    def fallbacks(self) -> tuple[Fallback, ...]:
        """What has another type because the level's does not fit, the most weights first."""
        level = self.level
        if level is None or level.family == "float":
            return ()
        unfit: dict[tuple[str, int], list[Tensor]] = {}
        for tensor in self.tensors:
            fits = tensor.width % level.block == 0
            if not fits and is_matrix(tensor) and part_of(tensor.name) != "norms":
                unfit.setdefault((tensor.type, tensor.width), []).append(tensor)
        found = [
            Fallback(kind, width, level.block, _share(tensors))
            for (kind, width), tensors in unfit.items()
        ]
        return tuple(sorted(found, key=lambda fallback: -fallback.share.weights))

    @cached_property
    def fallback_share(self) -> float:
        """Share of all weights whose type is not the level's because it does not fit."""
        return sum(f.share.weights for f in self.fallbacks) / max(self.total.weights, 1)


def contents_of(header: Header, path: Path, named: str = "") -> Contents:
    """What a file holds.

    Args:
        named: what it is called; empty: by its own metadata, or else by its file's name.
    """
    return Contents(level_in(named) or _level_said(header) or level_in(path.name), header.tensors)


def part_of(name: str) -> Part:
    """The part of the model that a tensor belongs to."""
    return next((part for part, pattern in _PARTS if pattern.search(name)), "other")


def is_matrix(tensor: Tensor) -> bool:
    """Whether it has rows at all: single vectors, such as norms, are never quantized."""
    return len([n for n in tensor.shape if n > 1]) > 1


def _level_said(header: Header) -> Level | None:
    from gguf import LlamaFileType

    try:
        said = LlamaFileType(header.metadata.get("general.file_type"))
    except ValueError:
        return None
    return level_in(said.name.removeprefix("ALL_").removeprefix("MOSTLY_"))


def _share(tensors: Iterable[Tensor]) -> Share:
    found = list(tensors)
    return Share(len(found), sum(t.weights for t in found), sum(t.size for t in found))
