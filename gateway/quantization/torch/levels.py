"""Levels on torch by their names: `gptq4`, `awq4`, `nf4`, `int8`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from gateway.core.errors import ConfigError

Method = Literal["gptq", "awq", "nf4", "int8"]
METHODS: tuple[Method, ...] = get_args(Method)
_BITS: Mapping[Method, tuple[int, ...]] = {
    "gptq": (4, 8, 3, 2),
    "awq": (4,),
    "nf4": (4,),
    "int8": (8,),
}
"""Of each method; the first is taken where none are named."""
CALIBRATED: tuple[Method, ...] = ("gptq", "awq")
"""Methods that read texts as they round."""
GROUPS = (128, 64, 32)
"""Inputs that share a step: the first is taken that divides every matrix's inputs."""


@dataclass(frozen=True, slots=True)
class TorchLevel:
    """One level."""

    method: Method
    bits: int
    group: int = 0
    """Inputs that share a step, of GPTQ and AWQ; -1: all; 0: the largest of `GROUPS` that fits."""

    @property
    def name(self) -> str:
        """As entries and folders are called after it."""
        plain = self.method in ("nf4", "int8")
        return self.method if plain else f"{self.method}{self.bits}"


def parse_all(methods: Sequence[str], bits: int = 0, group: int = 0) -> list[TorchLevel]:
    """The levels of several methods; bits go to GPTQ, groups to it and AWQ.

    Raises:
        ConfigError: as `parse`, or none of the methods takes what is given.
    """
    if bits and "gptq" not in methods:
        raise ConfigError("--bits: of gptq alone, and it is not among the methods")
    if group and not set(CALIBRATED) & set(methods):
        raise ConfigError("--group-size: of gptq and awq, which are not among the methods")
    found = [
        parse(method, bits if method == "gptq" else 0, group if method in CALIBRATED else 0)
        for method in methods
    ]
    if twice := {level.name for level in found if found.count(level) > 1}:
        raise ConfigError(f"{', '.join(sorted(twice))} is named twice")
    return found


def parse(method: str, bits: int = 0, group: int = 0) -> TorchLevel:
    """The level of a method.

    Args:
        bits: 0: the method's own.
        group: as `TorchLevel`.

    Raises:
        ConfigError: there is no such method, or it has no such bits or groups.
    """
    known = next((each for each in METHODS if each == method), None)
    if method == "gguf":
        raise ConfigError("gguf among other methods", hint="quantize by it in a command of its own")
    if known is None:
        raise ConfigError(
            f"{method!r} is no method of quantization", hint=f"gguf, {', '.join(METHODS)}"
        )
    allowed = _BITS[known]
    if bits and bits not in allowed:
        shown = " or ".join(map(str, sorted(allowed)))
        raise ConfigError(f"{method} with {bits} bits: it has {shown}")
    if group not in (0, -1) and (group < 32 or group % 32):
        raise ConfigError(f"groups of {group}: a multiple of 32, or -1 for one group")
    return TorchLevel(known, bits or allowed[0], group)
