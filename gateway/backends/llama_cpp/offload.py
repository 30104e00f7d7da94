"""Which layers of a GGUF file lie on a card, and what that means for its bytes.

On a card the kernel that multiplies follows from the number of rows, as on a stock build for
processors, and nobody has made llama.cpp's kernels for quantized weights invariant to it. So at
"bitwise" one request is computed at a time, in pieces that depend on nothing but it (see
`gateway.engine.engine`). Nothing is lent to the card from batch to batch (`op_offload`), because
the library decides that by the number of rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.backends.llama_cpp.spec import LlamaCppSpec
from gateway.core.sizes import readable
from gateway.engine.llama import library
from gateway.engine.llama.cards import GpuCard, cards
from gateway.models.gguf import Header
from gateway.models.gguf_parts import read_model

_COMPUTING = 1 << 30
"""Bytes of a card that are left for the intermediate values of a pass, and for others."""
_HALF = 2
"""Bytes of a number in the cache."""


@dataclass(frozen=True, slots=True)
class Offload:
    """What is asked of the library."""

    layers: int = 0
    """Of the last ones, so many; the output counts as one more. 0: all on the processor."""
    of: int = 0
    """How many there are, the output included."""
    main: int = 0
    """The card that takes what is not split."""
    split: tuple[float, ...] = ()
    """Shares of the cards; empty: by their free memory."""
    cards: tuple[GpuCard, ...] = ()
    would_fit: int = 0
    """How many layers the free memory has room for, by the account of this module."""
    remark: str = ""
    """What a person asked for and does not get."""

    @property
    def setting(self) -> str:
        """For the identity; empty where all is on the processor."""
        if not self.layers:
            return ""
        split = "/".join(f"{share:g}" for share in self.split)
        return f"gpu_layers={self.layers} main_gpu={self.main}" + (
            f" tensor_split={split}" if split else ""
        )

    def __str__(self) -> str:
        if not self.layers:
            return "all on the processor"
        names = ", ".join(f"{card.name} ({card.description})" for card in self.cards)
        where = "all" if self.layers >= self.of else f"the last {self.layers}"
        return f"{where} of {self.of} layers on {names}"


def offload(spec: LlamaCppSpec, path: Path) -> Offload:
    """What an entry's `gpu_layers` means for its file on this machine.

    On a build for processors the file's header is not read: that takes longer than many a prompt.
    """
    if spec.gpu_layers == 0:
        return Offload()
    if not (found := cards()):
        return Offload(remark=_without_a_card(spec, library.supports_cards()))
    return plan(spec, read_model(path), found)


def plan(spec: LlamaCppSpec, header: Header, cards: Sequence[GpuCard]) -> Offload:
    """What an entry's `gpu_layers` means on these cards, of which there is at least one."""
    layers = int(header.of_architecture("block_count") or 0) + 1
    fits = _fitting(spec, header, layers, sum(card.free for card in cards))
    taken = fits if spec.gpu_layers == "auto" else min(spec.gpu_layers, layers)
    return Offload(
        taken, layers, spec.main_gpu, spec.tensor_split, tuple(cards), fits if taken else 0
    )


def _without_a_card(spec: LlamaCppSpec, built_for_one: bool) -> str:
    """Said where a card was expected: an entry names a number, or the library was built for one."""
    if spec.gpu_layers == "auto" and not built_for_one:
        return ""
    why = "llama.cpp finds no card" if built_for_one else "llama.cpp was built for processors"
    return (
        f"{spec.name}: gpu_layers = {spec.gpu_layers!r}, and {why} here: all layers are on the "
        "processor"
    )


def too_large(path: object, offload: Offload, said: str) -> tuple[str, str]:
    """Message and hint for a model that the cards did not take."""
    free = readable(sum(card.free for card in offload.cards))
    names = ", ".join(card.name for card in offload.cards)
    return (
        f"{path}: {offload.layers} layers were to lie on {names}, where {free} are free: {said}",
        f"gpu_layers = {min(offload.would_fit, offload.layers - 1)} should fit, "
        'or "auto"; fewer parallel sequences or a smaller context_length leave more room',
    )


def _fitting(spec: LlamaCppSpec, header: Header, layers: int, free: int) -> int:
    """How many layers, from the last on, fit: weights, their part of the cache, and a reserve."""
    sizes = [0] * layers
    for tensor in header.tensors:
        parts = tensor.name.split(".")
        number = int(parts[1]) if parts[0] == "blk" and parts[1].isdigit() else layers - 1
        sizes[min(number, layers - 1)] += tensor.size
    cache = _cache_of_a_layer(header) * spec.context_length * spec.parallel
    left, fits = free - _COMPUTING, 0
    # The output and the embeddings come first: the library counts from the end.
    for number in reversed(range(layers)):
        left -= sizes[number] + (cache if number < layers - 1 else 0)
        if left < 0:
            break
        fits += 1
    return fits


def _cache_of_a_layer(header: Header) -> int:
    """Bytes of one token; what the header does not say is taken as for as many heads of keys."""

    def of(key: str, default: int) -> int:
        found = header.of_architecture(key)
        return found if isinstance(found, int) and found > 0 else default

    heads = of("attention.head_count", 1)
    width = of("embedding_length", 0) // heads
    key_heads = of("attention.head_count_kv", heads)
    length = of("attention.key_length", width) + of("attention.value_length", width)
    return key_heads * length * _HALF
