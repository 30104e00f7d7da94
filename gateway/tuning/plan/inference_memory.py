"""Memory of running a model with llama.cpp: weights at a quantization level, keys and values.

Of a level that mixes types, bits a weight are those that llama.cpp measured of a whole file
(`tools/quantize/README.md`, Llama 3.1 8B); of the others they follow from the block's layout. A
small model has more bits: its embedding is a larger part, and rows that cannot be cut into blocks
of 256 take other types. Of a GGUF file that is there, `gateway models show` says it exactly.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gateway.quantization.names import Level, parse_level
from gateway.tuning.plan.architecture import Architecture
from gateway.tuning.plan.figures import Figure, number, times
from gateway.tuning.plan.parameters import count, linears

DEFAULT_LEVELS = ("F16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0", "Q3_K_L", "Q2_K")
_MEASURED: Mapping[str, float] = {
    "Q6_K": 6.5633,
    "Q5_K_M": 5.7036,
    "Q5_K_S": 5.5704,
    "Q4_K_M": 4.8944,
    "Q4_K_S": 4.6672,
    "IQ4_NL": 4.6818,
    "IQ4_XS": 4.4597,
    "Q3_K_L": 4.2979,
    "Q3_K_S": 3.6429,
    "IQ3_M": 3.7628,
    "IQ3_S": 3.6606,
    "IQ3_XS": 3.4977,
    "IQ3_XXS": 3.2548,
    "Q2_K": 3.1593,
    "Q2_K_S": 2.9697,
    "IQ2_M": 2.9294,
    "IQ2_S": 2.7403,
    "IQ2_XS": 2.5882,
    "IQ2_XXS": 2.3824,
    "IQ1_M": 2.1460,
    "IQ1_S": 2.0042,
}
_BLOCK = 256
"""Weights of a K- or I-quant's block, of which a row is a whole number."""
_CACHE_WIDTH = 2
"""Bytes of a key's or value's number: F16."""


@dataclass(frozen=True, slots=True)
class Inference:
    """Bytes at one level."""

    level: Level
    bits: float
    """Of a weight."""
    weights: Figure
    caches: tuple[Figure, ...]
    """Keys and values, for each of the contexts that were asked for."""

    @property
    def totals(self) -> tuple[float, ...]:
        """Weights with each cache. Scratch, which depends on how many tokens are read in one pass,
        is beside them."""
        return tuple(self.weights.value + cache.value for cache in self.caches)


def inference_memory(
    a: Architecture, levels: Sequence[str], contexts: Sequence[int]
) -> list[Inference]:
    """What the model takes at each level.

    Args:
        contexts: in tokens; all sequences together.

    Raises:
        ConfigError: a name is no quantization level.
    """
    caches = tuple(cache(a, context) for context in contexts)
    return [_at(a, parse_level(name), caches) for name in levels]


def remarks(a: Architecture) -> Iterator[str]:
    """Where the weights of a level will not be what the table says."""
    yield (
        "scratch is beside it; bits of K- and I-quants are those of a whole file of Llama 3.1 8B "
        "(llama.cpp, tools/quantize/README.md)"
    )
    widths = sorted({x.inputs for x in linears(a) if x.inputs % _BLOCK})
    if widths:
        yield (
            f"rows of {', '.join(map(str, widths))} cannot be cut into blocks of {_BLOCK}: there "
            "llama.cpp takes types of more bits, so K- and I-quants are larger than shown "
            "(gateway quantize MODEL --dry-run says by how much)"
        )


def cache(a: Architecture, context: int) -> Figure:
    """Keys and values of every layer, also of those that attend to a window only."""
    factors = (2, a.layers, context, a.kv_heads, a.head_dim, _CACHE_WIDTH)
    value = 2 * a.layers * context * a.kv_heads * a.head_dim * _CACHE_WIDTH
    return Figure(f"keys and values, {number(context)} tokens", value, times(*factors))


def bits_of(level: Level) -> float:
    """Bits a weight of a whole file of that level."""
    return _MEASURED.get(level.name, level.bits_per_weight)


def _at(a: Architecture, level: Level, caches: tuple[Figure, ...]) -> Inference:
    bits, weights = bits_of(level), count(a)
    figure = Figure(f"weights, {level.name}", weights * bits / 8, f"{times(weights, bits)} / 8")
    return Inference(level, bits, figure, caches)
