"""What is to be known of a ladder beside its numbers, a sentence each."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from gateway.quantization.contents import Contents
from gateway.quantization.ladder import Ladder, Rung

_MOST = 0.95
"""From this share of a file on, it is said what the share is of."""


def remarks(ladder: Ladder) -> Iterator[str]:
    """Where the source limits what its levels can tell, and where a level is not what it is
    called."""
    yield from _of_the_source(ladder)
    yield from _unchanged(ladder.rungs)
    yield from _no_better(ladder)
    for rung in ladder.rungs:
        yield from name_remarks(rung.contents)
    yield from _out_of_order(ladder.rungs)
    if need := [rung.level.name for rung in ladder.rungs if rung.needs_imatrix]:
        yield f"{', '.join(need)}: can be made only with an importance matrix"


def name_remarks(contents: Contents) -> Iterator[str]:
    """Where a file's types are not those that its name says."""
    level = contents.level
    if level is None or not contents.fallbacks or contents.fallback_share < 1 / 200:
        return
    rows = " and ".join(map(str, sorted({fallback.width for fallback in contents.fallbacks})))
    yield (
        f"{level.name}: {contents.fallback_share:.0%} of its weights are not {level.base}, because "
        f"rows of {rows} cannot be cut into blocks of {level.block}; really it is "
        f"{types(contents)}"
    )


def types(contents: Contents, most: int = 6) -> str:
    """Its types by their share of the weights; what is below half a percent goes unnamed."""
    total = contents.total.weights
    shares = [(name, share.weights / total) for name, share in contents.types.items()]
    return ", ".join(f"{name} {share:.0%}" for name, share in shares[:most] if share >= 0.005)


def _of_the_source(ladder: Ladder) -> Iterator[str]:
    source, returning = ladder.contents, ladder.origin.by_type
    came = " and ".join(f"{count} from {kind}" for kind, count in returning.items())
    back = f"{came} of {len(source.tensors)} tensors" if returning else ""
    if source.quantized.weights:
        yield (
            f"all levels are made of weights that were dequantized: the source is {types(source)}, "
            f"{source.total.bits_per_weight:.2f} bits a weight. What it lost before, no level shows"
        )
        if returning:
            yield f"dequantized and quantized again, byte for byte the same: {back}"
    elif returning:
        yield (
            f"the source is stored as {types(source)}, and was quantized before: {back} come back "
            "when they are quantized again. What it lost then, no level shows"
        )


def _unchanged(rungs: Sequence[Rung]) -> Iterator[str]:
    for rung in rungs:
        if rung.unchanged >= _MOST:
            yield (
                f"{rung.level.name}: {rung.unchanged:.0%} of its quantized weights are the "
                "source's own, so that it shows no loss where one from the original weights would"
            )


def _no_better(ladder: Ladder) -> Iterator[str]:
    own = _own_bits(ladder)
    if own is None:
        return
    above = [r.level.name for r in ladder.rungs if r.contents.total.bits_per_weight > own]
    if above:
        yield (
            f"{', '.join(above)}: more bits than the source's {own:.2f} a weight, and no better "
            "than it"
        )


def _own_bits(ladder: Ladder) -> float | None:
    """Bits per weight of the types that the source is or was quantized to; None where it never
    was."""
    if not ladder.contents.quantized.weights and not ladder.origin.returning:
        return None
    before = [
        replace(tensor, type=ladder.origin.returning.get(tensor.name, tensor.type))
        for tensor in ladder.contents.tensors
    ]
    return Contents(None, before).total.bits_per_weight


def _out_of_order(rungs: Sequence[Rung]) -> Iterator[str]:
    """Levels that are no smaller than one whose name says more bits."""
    for rung in rungs:
        larger = [
            other.level.name
            for other in rungs
            if other.level.bits_per_weight > rung.level.bits_per_weight
            and other.contents.total.size <= rung.contents.total.size
        ]
        if larger:
            yield f"{rung.level.name} takes no less room than {', '.join(larger)}"
