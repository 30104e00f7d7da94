"""What `gateway quantize` and `gateway fidelity` print, and what `models show` says of a file."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from gateway.backends.llama_cpp.spec import LlamaCppSpec
from gateway.backends.llama_cpp.split import more_bytes
from gateway.backends.transformers.spec import TransformersSpec
from gateway.core.lists import first_names
from gateway.core.sizes import readable
from gateway.models.choices import Settings
from gateway.models.gguf import Header
from gateway.models.gguf_parts import read_model
from gateway.models.spec import PathSource
from gateway.quantization.contents import Contents, contents_of
from gateway.quantization.divergence import Quantiles
from gateway.quantization.estimate import Estimate, estimate
from gateway.quantization.fidelity import Compared, Fidelity
from gateway.quantization.ladder import Ladder
from gateway.quantization.make import Made
from gateway.quantization.names import Level
from gateway.quantization.perplexity import Measured
from gateway.quantization.remarks import name_remarks, remarks, types
from gateway.quantization.speed import Speed
from gateway.quantization.stored_weights import held_by
from gateway.quantization.torch.make import MadeFolder
from gateway.report.format import ABSENT
from gateway.report.sections import Section, by_rows, numbers

_OF_FIDELITY = (
    *("bits/weight", "perplexity", "ln(PPL/ref.)", "KL, mean", "KL, median, 99%, max"),
    *("same top token", "RMS change of p"),
)


def section(
    ladder: Ladder, made: Sequence[Made] = (), speeds: Mapping[str, Speed] | None = None
) -> Section:
    """One row a level, the source above, and what is to be known of them below.

    Args:
        made: the files; none of a dry run.
        speeds: by level, where they were measured.
    """
    heads = [
        "level",
        *numbers("size", "bits/weight"),
        "types, by share of the weights",
        *numbers("as the source", f"estimated memory, {_context(ladder)}"),
        *(numbers("seconds") if made else ()),
        *(numbers("prefill, decode tokens/s") if speeds else ()),
    ]
    files = {m.rung.level.name: m for m in made}
    source = ladder.contents
    named = f"source, {source.level.name}" if source.level else "source"
    rows = [[named, *_sizes(source), ABSENT, _memory(ladder, source)]]
    for rung in ladder.rungs:
        unchanged = f"{rung.unchanged:.0%}" if rung.contents.quantized.weights else ABSENT
        cells = [rung.level.name, *_sizes(rung.contents), unchanged]
        cells.append(_memory(ladder, rung.contents))
        cells += _of_file(files.get(rung.level.name)) if made else []
        cells += _of_speed((speeds or {}).get(rung.level.name)) if speeds else []
        rows.append(cells)
    said = (*remarks(ladder), *_made_remarks(made), *_fastest(speeds or {}))
    return Section(tables=(by_rows(heads, rows),), sentences=said)


def folders_section(made: Sequence[MadeFolder]) -> Section:
    """One row a level on torch, and which layers of it are whole."""
    rows = []
    for each in made:
        held = held_by(TransformersSpec(each.entry, PathSource(each.path)), each.path)
        assert held is not None
        took = f"{each.seconds:.1f}{' (there)' if each.kept else ''}"
        bits = f"{held.bits_per_weight:.2f}"
        rows.append((each.entry, held.method, held.level, readable(held.size), bits, took))
    heads = ("entry", "method", "level", *numbers("size", "bits/weight", "seconds"))
    left = tuple(
        f"{each.entry}: {first_names(each.left)} stay whole; their sizes are no multiples of 32"
        for each in made
        if each.left
    )
    return Section(tables=(by_rows(heads, rows),), sentences=left)


def levels_section(levels: Sequence[Level]) -> Section:
    """One row a level that can be made: its name in words."""
    sizes = numbers("bits", "bits/weight", "block")
    rows = [
        (
            level.name,
            str(level.bits),
            f"{level.bits_per_weight:g}",
            str(level.block),
            level.imatrix,
            level.explain(),
        )
        for level in levels
    ]
    heads = ("level", *sizes, "importance matrix", "the name")
    return Section(tables=(by_rows(heads, rows),))


def fidelity_section(made: Fidelity) -> Section:
    """One row a model, the reference above; what stands behind ± is half of a 95% interval."""
    bits = f"{made.reference_contents.total.bits_per_weight:.2f}"
    reference = (f"{made.reference} (reference)", bits, _pm(made.perplexity, 4))
    rows = [reference, *map(_fidelity, made.models)]
    contents = (made.reference_contents, *(model.contents for model in made.models))
    in_16_bits = "; the reference in 16 bits, as llama-perplexity has it"
    return Section(
        tables=(by_rows(("model", *numbers(*_OF_FIDELITY)), rows),),
        lines=(
            f"{made.tokens} tokens evaluated, the second half of each chunk: {made.chunks} of "
            f"{made.context}; ± is half of a 95% interval, by blocks of neighbouring tokens"
            f"{in_16_bits if made.in_16_bits else ''}",
        ),
        sentences=tuple(line for each in contents for line in name_remarks(each)),
    )


def _fidelity(model: Compared) -> tuple[str, ...]:
    found = model.divergence
    return (
        model.name,
        f"{model.contents.total.bits_per_weight:.2f}",
        _pm(found.perplexity, 4),
        _pm(found.log_ratio, 5),
        _pm(found.kl, 5),
        ", ".join(f"{found.kls[q]:.4f}" for q in (0.5, 0.99, 1.0)),
        _pm_percent(found.same_top),
        _pm_percent(found.rms_change),
    )


def fidelity_json(made: Fidelity) -> dict[str, Any]:
    """Everything, for canonical JSON."""
    shown = {
        "reference": made.reference,
        "reference_weights": made.reference_weights,
        "perplexity": asdict(made.perplexity),
        "text": made.text,
        "context": made.context,
        "chunks": made.chunks,
        "in_16_bits": made.in_16_bits,
        "tokens": made.tokens,
        "version": made.version,
    }
    models = []
    for model in made.models:
        found = asdict(model.divergence)
        for key in ("kls", "log_ratios", "changes"):
            found[key] = _named(found[key])
        models.append({"model": model.name, "weights": model.weights, **found})
    return shown | {"models": models}


def file_rows(spec: LlamaCppSpec, path: Path, settings: Settings) -> Iterator[tuple[str, str]]:
    """What a GGUF file holds and what it will take, for a table of two columns.

    Args:
        settings: with which it is computed.
    """
    header = read_model(path)
    contents = contents_of(header, path, spec.quantization)
    yield "tensors", types(contents)
    if contents.level is not None:
        yield "quantization type", f"{contents.level.name}: {contents.level.explain()}"
    parts = [f"{part} {share.bits_per_weight:.2f}" for part, share in contents.parts.items()]
    yield "bits a weight", f"{contents.total.bits_per_weight:.2f}: {', '.join(parts)}"
    for line in name_remarks(contents):
        yield "not as named", line
    yield "memory, estimated", _estimated(_estimate(spec, header, settings))


def _estimated(found: Estimate) -> str:
    cache = "not estimated for this architecture" if found.cache is None else readable(found.cache)
    return (
        f"weights {readable(found.weights)}, keys and values {cache}, scratch "
        f"{readable(found.scratch)}"
    )


def _estimate(spec: LlamaCppSpec, header: Header, settings: Settings) -> Estimate:
    found = estimate(
        header,
        spec.context_length,
        sequences=spec.parallel,
        batch_tokens=spec.batch_tokens,
        flash=settings.attention == "flash",
    )
    more = more_bytes(header.tensors) if settings.split else 0
    return replace(found, weights=found.weights + more)


def _context(ladder: Ladder) -> str:
    spec = ladder.source.spec
    return f"{spec.parallel} x {spec.context_held} tokens"


def _sizes(contents: Contents) -> list[str]:
    total = contents.total
    return [readable(total.size), f"{total.bits_per_weight:.2f}", types(contents)]


def _memory(ladder: Ladder, contents: Contents) -> str:
    header = Header(ladder.source.header.metadata, tuple(contents.tensors))
    spec = ladder.source.spec
    total = _estimate(spec, header, spec.pinned).total
    return "unknown" if total is None else readable(total)


def _of_file(made: Made | None) -> list[str]:
    if made is None:
        return [ABSENT]
    return [f"{made.seconds:.1f}{' (there)' if made.kept else ''}"]


def _of_speed(speed: Speed | None) -> list[str]:
    return [f"{speed.prefill:.0f}, {speed.decode:.0f}" if speed else ABSENT]


def _made_remarks(made: Sequence[Made]) -> Iterator[str]:
    for m in made:
        if m.without:
            some = ", ".join(m.without[:3])
            yield f"{m.rung.level.name}: the importance matrix lacks {len(m.without)}: {some} ..."


def _fastest(speeds: Mapping[str, Speed]) -> Iterator[str]:
    if speeds:
        prefill = max(speeds, key=lambda name: speeds[name].prefill)
        decode = max(speeds, key=lambda name: speeds[name].decode)
        yield (f"fastest on this machine: {prefill} at reading prompts, {decode} at generating")


def _pm(measured: Measured, digits: int) -> str:
    return f"{measured.value:.{digits}f} ± {measured.reach:.{digits}f}"


def _pm_percent(measured: Measured) -> str:
    return f"{100 * measured.value:.2f} ± {100 * measured.reach:.2f}%"


def _named(quantiles: Quantiles) -> dict[str, float]:
    """With keys that JSON has: "0.99"."""
    return {f"{q:g}": value for q, value in quantiles.items()}
