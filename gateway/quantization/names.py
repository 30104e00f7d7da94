"""The names of quantization levels: `Q4_K_M` is a K-quant of 4 bits, of medium size.

A level is what a whole file is called (llama.cpp's `llama_ftype`); a type is how one tensor is
stored (ggml's `ggml_type`). Most levels are a mix: one base type, and more bits where they help.
Reference: llama.cpp's `src/llama-quant.cpp` and `tools/quantize/quantize.cpp`, as of
llama-cpp-python 0.3.36. Numbers of levels and sizes of blocks are read from the `gguf` package.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

from gateway.core.errors import ConfigError
from gateway.models.gguf import block_layout

Family = Literal["float", "plain", "K", "I", "ternary", "fp4", "one-bit"]
Imatrix = Literal["needed", "helps", "unused"]

_FAMILIES: Mapping[Family, str] = {
    "float": "floating-point numbers, nothing is quantized",
    "plain": "whole numbers times one scale a block",
    "K": "K-quant: blocks within a block of 256, whose scales are quantized too",
    "I": "I-quant: entries of a fixed table instead of evenly spaced numbers",
    "ternary": "three values: -1, 0 and 1 times a scale",
    "fp4": "4-bit floating-point numbers with one scale a block",
    "one-bit": "two values: plus or minus one scale a block",
}

_SIZES = {
    "XXS": "smallest mix",
    "XS": "very small mix",
    "S": "small mix: the base type nearly everywhere",
    "M": "medium mix: more bits for some tensors",
    "L": "large mix: more bits for more tensors",
    "XL": "extra large mix: more bits for more tensors",
}

_DYNAMIC = "UD-"

_ALIASES = {"Q3_K": "Q3_K_M", "Q4_K": "Q4_K_M", "Q5_K": "Q5_K_M"}
"""Short names that llama.cpp's own tool takes."""

_UNUSUAL_BASES = {
    "IQ3_XS": "IQ3_S",
    "IQ3_M": "IQ3_S",
    "IQ2_S": "IQ2_XS",
    "IQ2_M": "IQ2_S",
    "MXFP4_MOE": "MXFP4",
}
"""Levels whose base type is not in their name (`llama_ftype_get_default_type`)."""

_NEED_IMATRIX = re.compile(r"IQ[12]_|IQ3_XX?S|Q2_K_S")
"""Levels in which llama.cpp refuses to store a tensor without an importance matrix
(`tensor_requires_imatrix`); IQ3_XS because its queries and keys are IQ3_XXS."""

_NAME = re.compile(
    r"(?<![A-Z0-9])(?:UD-)?"
    r"(?:I?Q\d_(?:K|NL|XXS|XS|S|M|[01])(?:_(?:S|M|L|XL))?|TQ[12]_0|BF16|F16|F32|MXFP4_MOE)"
    r"(?![A-Z0-9])",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Level:
    """One level, by its name."""

    name: str
    """In capitals: "Q4_K_M"."""
    family: Family
    bits: int
    """Of the number that stands for a weight, without scales; ternary ones say 1 or 2."""
    base: str
    """The type of most tensors, as ggml names it: "Q4_K"."""
    size: str
    """S, M, L, ...: how much of the mix has more bits; empty where there is one kind of it."""

    @property
    def dynamic(self) -> bool:
        """Named UD-: the maker (Unsloth) chose the type of each tensor by measurement, so that the
        name tells less than elsewhere."""
        return self.name.startswith(_DYNAMIC)

    @property
    def number(self) -> int | None:
        """Of the level in llama.cpp's `llama_ftype`; None where it has none of this name."""
        return _numbers().get(self.name)

    @property
    def block(self) -> int:
        """Weights of a block of the base type; a row is a whole number of them."""
        return block_layout(self.base)[0]

    @property
    def bits_per_weight(self) -> float:
        """Of the base type, scales included, by its block layout in ggml."""
        return bits_per_weight(self.base)

    @property
    def imatrix(self) -> Imatrix:
        """Whether an importance matrix is needed, makes it better, or is not used."""
        if _NEED_IMATRIX.match(self.name.removeprefix(_DYNAMIC)):
            return "needed"
        plain = self.family == "plain" and self.bits < 8
        return "helps" if plain or self.family in ("K", "I") else "unused"

    def explain(self) -> str:
        """The name in words."""
        scales = "" if self.family == "float" else " with their scales"
        base = "" if self.base == self.name else f"{self.base}: "
        parts = [
            _FAMILIES[self.family],
            f"{base}{self.bits_per_weight:g} bits a weight{scales}",
            _SIZES.get(self.size, ""),
            "each tensor's type was chosen by the file's maker" if self.dynamic else "",
            "needs an importance matrix" if self.imatrix == "needed" else "",
        ]
        return "; ".join(filter(None, parts))


def bits_per_weight(kind: str) -> float:
    """Of a type, scales included: 4.5 for Q4_K, whose 256 weights take 144 bytes."""
    block, size = block_layout(kind)
    return 8 * size / block


def parse_level(name: str) -> Level:
    """The level of that name, in any case, such as `q4_k_m` or `UD-Q4_K_XL`.

    Raises:
        ConfigError: it is none.
    """
    level = _level(name.strip()) if _NAME.fullmatch(name.strip()) else None
    if level is None:
        raise ConfigError(
            f"{name!r} names no quantization level",
            hint=f"known: {', '.join(level.name for level in levels())}",
        )
    return level


def level_entry(model: str, level: Level) -> str:
    """What the entry of a model's level is called."""
    return f"{model}-{level.name.lower()}"


def level_in(text: str) -> Level | None:
    """The last level that a file's name mentions, or None: `model-Q4_K_M.gguf`."""
    found = [level for match in _NAME.finditer(text) if (level := _level(match[0]))]
    return found[-1] if found else None


def levels() -> tuple[Level, ...]:
    """All that llama.cpp can make, from the most bits to the fewest."""
    known = [level for name in _numbers() if (level := _level(name))]
    return tuple(sorted(known, key=lambda level: (-level.bits_per_weight, level.name)))


def _level(text: str) -> Level | None:
    """Of a text that has the form of a name; None where ggml has no such base type."""
    name = text.upper()
    plain = name.removeprefix(_DYNAMIC)
    if plain == name:
        name = plain = _ALIASES.get(name, name)
    stem, _, last = plain.rpartition("_")
    base = _UNUSUAL_BASES.get(plain, plain if _is_type(plain) else stem)
    if not _is_type(base):
        return None
    bits = int(re.sub(r"\D*(\d+).*", r"\1", base))
    return Level(name, _family(base), bits, base, last if last in _SIZES else "")


def _is_type(name: str) -> bool:
    from gguf import GGMLQuantizationType

    return name in GGMLQuantizationType.__members__


@cache
def _numbers() -> Mapping[str, int]:
    """`llama_ftype` by name; NVFP4 is read by llama.cpp and not made by its quantizer."""
    from gguf import LlamaFileType

    named = {f.name.removeprefix("ALL_").removeprefix("MOSTLY_"): int(f) for f in LlamaFileType}
    return {name: number for name, number in named.items() if name not in ("GUESSED", "NVFP4")}


def _family(base: str) -> Family:
    if base in ("F32", "F16", "BF16"):
        return "float"
    if base.endswith("FP4"):
        return "fp4"
    if base.startswith("TQ"):
        return "ternary"
    if base.startswith("IQ"):
        return "I"
    if base == "Q1_0":
        return "one-bit"
    return "K" if base.endswith("_K") else "plain"
