"""A ladder: levels of one model, as llama.cpp would make them."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.core.errors import ConfigError
from gateway.engine.llama import quantizer
from gateway.quantization.contents import FLOATS, Contents, contents_of
from gateway.quantization.names import Level, level_entry, level_in
from gateway.quantization.origin import Origin, origin_of
from gateway.quantization.source import Given

DEFAULT_LEVELS = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0", "Q3_K_M", "Q2_K")


@dataclass(frozen=True, slots=True)
class Rung:
    """One level of a ladder, as llama.cpp would make it."""

    level: Level
    contents: Contents
    needs_imatrix: bool
    unchanged: float
    """Share of its quantized weights that stand for what the source has: they are stored as they
    are, or come from the type that they are quantized to. From 0 to 1."""


@dataclass(frozen=True, slots=True)
class Ladder:
    """What would be made of a source."""

    source: Given
    contents: Contents
    """Of the source."""
    origin: Origin
    rungs: tuple[Rung, ...]

    @property
    def name(self) -> str:
        """As `name_of` its source."""
        return name_of(self.source)

    def entry(self, rung: Rung) -> str:
        """What the entry of a rung is called."""
        return level_entry(self.name, rung.level)


def name_of(source: Given) -> str:
    """The source's, without the level that a file is named after."""
    level = level_in(source.name)
    if source.spec.origin != "the command line" or level is None:
        return source.name
    return re.sub(rf"[-._]?{level.name}$", "", source.name, flags=re.IGNORECASE)


def plan(
    source: Given,
    levels: Sequence[Level],
    *,
    imatrix: bool = False,
    on_tensor: Callable[[], None] = lambda: None,
) -> Ladder:
    """What each level would hold, and what the source was before; nothing is written.

    Args:
        imatrix: an importance matrix will be given.
        on_tensor: called after each of the source's tensors.

    Raises:
        ConfigError: llama.cpp makes no level of that name, or one is named twice.
        BackendError: it cannot read the source.
    """
    for level in levels:
        if level.number is None:
            raise ConfigError(f"{level.name} is named by its maker; llama.cpp cannot make it")
    if len({level.name for level in levels}) < len(levels):
        raise ConfigError("a level is named twice")
    origin = origin_of(source.header, on_tensor)
    rungs = tuple(_rung(source, level, origin, imatrix) for level in levels)
    return Ladder(source, contents_of(source.header, source.path), origin, rungs)


def _rung(source: Given, level: Level, origin: Origin, imatrix: bool) -> Rung:
    assert level.number is not None
    tensors = source.header.tensors
    planned = quantizer.plan(source.path, tensors, level.number, imatrix=imatrix)
    contents = Contents(level, planned.tensors)
    came_from = {tensor.name: tensor.type for tensor in tensors} | dict(origin.returning)
    unchanged = sum(
        tensor.weights
        for tensor in contents.tensors
        if tensor.type not in FLOATS and came_from[tensor.name] == tensor.type
    )
    share = unchanged / contents.quantized.weights if contents.quantized.weights else 0.0
    return Rung(level, contents, planned.needs_imatrix, share)
