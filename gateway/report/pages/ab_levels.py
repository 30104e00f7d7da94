"""The cells of a comparison as levels of quantization, side by side in one table."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from gateway.evaluation.ab.outcome import Outcome
from gateway.quantization.stored_weights import Held
from gateway.report import format as fmt
from gateway.report.sections import Cell, Head, Section, by_rows, numbers
from gateway.scoring.flips import KeptAnswers
from gateway.scoring.metrics import metric_name
from gateway.scoring.results import CellTimings


def levels(outcome: Outcome, timings: Sequence[CellTimings] = ()) -> Iterator[Section]:
    """Each cell's level beside what it costs and what it loses; nothing where no weights are known.

    Args:
        timings: what was measured; a file is given none.
    """
    names = tuple(outcome.sizes)
    held = [outcome.held.get(name) for name in names]
    if not any(held):
        return
    scores = {cell.name: cell.metrics.get(outcome.metric) for cell in outcome.report.cells}
    kept = {each.cell: each for each in outcome.fidelity}
    speeds = {cell.name: fmt.count(cell.tokens_per_s) for cell in timings}
    shared = _shared_end(names)
    heads = (
        Head("cell", breaks=True),
        *numbers("bits a weight", metric_name(outcome.metric), "flips", "KL"),
        Head("level"),
        *numbers("MB", *(["tokens/s"] if timings else [])),
    )
    rows = tuple(
        (
            Cell(name.removesuffix(shared)),
            Cell(_bits(each)),
            Cell(fmt.estimate(scores[name])),
            Cell(_flips(kept.get(name))),
            Cell(_divergence(kept.get(name))),
            Cell(_level(each)),
            Cell(_size(each)),
            *([Cell(speeds[name])] if timings else []),
        )
        for name, each in zip(names, held, strict=True)
    )
    table = replace(by_rows(heads, rows, _caption(outcome)), optional=True)
    yield Section("levels", "Levels", tuple(_remarks(outcome)), (table,))


def _shared_end(names: Sequence[str]) -> str:
    """What all names end with, strategy and rule, where only their models differ."""
    ends = {name[len(name.partition("/")[0]) :] for name in names}
    return ends.pop() if len(ends) == 1 else ""


def _caption(outcome: Outcome) -> str:
    return (
        "Bits a weight and megabytes are those of the weights on disk. Flips are answers of "
        f"{outcome.report.n:,} that differ from those of {outcome.reference}, KL is the mean "
        "divergence of the labels from it, in nats."
    )


def _remarks(outcome: Outcome) -> Iterator[str]:
    unpacked = [name for name, each in outcome.held.items() if each and each.unpacked]
    if unpacked:
        yield (
            f"{', '.join(unpacked)}: unpacked as they are loaded, and computed with as whole "
            "weights: memory and speed are those of whole ones."
        )


def _level(held: Held | None) -> str:
    if held is None:
        return fmt.ABSENT
    how = {"none": "", "gguf": "GGUF ", "gptq": "GPTQ ", "awq": "AWQ "}.get(held.method, "")
    return f"{how}{held.level}"


def _size(held: Held | None) -> str:
    return fmt.ABSENT if held is None else f"{held.size / 1e6:,.1f}"


def _bits(held: Held | None) -> str:
    return fmt.ABSENT if held is None else f"{held.bits_per_weight:.2f}"


def _flips(kept: KeptAnswers | None) -> str:
    return fmt.ABSENT if kept is None else f"{kept.changed:,}"


def _divergence(kept: KeptAnswers | None) -> str:
    parts = kept.distributions if kept else None
    return fmt.ABSENT if parts is None or parts.kl_mean is None else f"{parts.kl_mean:.2g}"
