"""What `gateway adapters` prints."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from gateway.core.errors import ConfigError, ModelLoadError
from gateway.models.adapters.card import Card, read_card
from gateway.models.adapters.folder import CONFIG, WEIGHTS, Adapter, read_adapter
from gateway.models.adapters.names import PROBE, folder_of, is_probe, listed, shipped_beside
from gateway.models.adapters.probe_kind import answers_with_numbers, probe_kind
from gateway.report.format import ABSENT
from gateway.report.sections import Cell, Head, Section, by_rows, numbers

_UNKNOWN = "unknown"
_SHOWN = 10
_HEADS = (
    *("adapter", "type", *numbers("rank"), "base", Head("trained on", breaks=True)),
    *("created", "metrics", "GGUF"),
)
_BLOCK = re.compile(r"\.(\d+)\.")


def listing(root: Path) -> Section:
    """One row a folder, those that ship with the package last; one that cannot be read has the
    reason below the table."""
    rows: list[tuple[Cell | str, ...]] = []
    broken = []
    shipped = shipped_beside(root)
    for name in (*listed(root), *shipped):
        folder = folder_of(root, name)
        try:
            row = _probe_row(folder) if is_probe(folder) else _row(read_adapter(folder))
        except (ConfigError, ModelLoadError) as exc:
            rows.append((name, Cell("broken", "bad"), *[ABSENT] * 6))
            broken.append(f"{name}: {exc}")
            continue
        rows.append(row)
    return Section(tables=(by_rows(_HEADS, rows),), lines=(*broken, *_places(root, shipped)))


def _places(root: Path, shipped: Sequence[str]) -> Iterator[str]:
    yield f"adapters from: {root}"
    if shipped:
        yield f"with the package: {', '.join(shipped)}"


def details(adapter: Adapter) -> Section:
    """Card, configuration, tensors and sizes."""
    exported = adapter.exported
    return Section(
        facts=(
            ("folder", str(adapter.folder)),
            *_of_card(adapter.card),
            *_of_config(adapter),
            ("trained numbers", f"{adapter.parameters:,} in {len(adapter.tensors)} tensors"),
            *_groups(adapter),
            *((file, _size(adapter.folder / file)) for file in (WEIGHTS, CONFIG)),
            ("GGUF", _size(exported) if exported else "not exported"),
        )
    )


def probe_details(folder: Path) -> Section:
    """Card, members and size of a probe."""
    from gateway.models.adapters.heads import Heads, read_heads
    from gateway.models.adapters.number_probe import read_number_probe
    from gateway.models.adapters.probe import Probe, read_probe

    of_numbers = answers_with_numbers(folder)
    probe = read_number_probe(folder) if of_numbers else read_probe(folder)
    members = [(f"layer {each.layer} ({each.pooling})", each.weight) for each in probe.states]
    if probe.words is not None:
        members.append((f"words ({len(probe.words.terms):,} terms)", probe.words.weight))
    if isinstance(probe, Probe):
        answers = ("labels", ", ".join(probe.labels))
    else:
        answers = ("answers", f"{probe.least:g} to {probe.greatest:g}")
        members.append((f"median ({probe.median:g})", probe.median_weight))
    members = [(name, weight) for name, weight in members if weight]
    heads = read_heads(folder, probe) if isinstance(probe, Probe) else Heads()
    whole = sum(weight for _, weight in members)
    return Section(
        facts=(
            ("folder", str(folder)),
            *_of_card(read_card(folder)),
            answers,
            *(("member", f"{name}, {weight / whole:.0%}") for name, weight in members),
            *(
                (f"head of {group}", f"{1 - head.share:.0%} its own")
                for group, head in heads.by_group.items()
            ),
            (PROBE, _size(folder / PROBE)),
        )
    )


def fit(adapter: str, base: str, reasons: Sequence[str], remarks: Sequence[str]) -> Section:
    """Whether an adapter is for a base, and why not."""
    verdict = "is not for" if reasons else "fits"
    lines = [f"{adapter} {verdict} {base}", *(f"  {reason}" for reason in reasons[:_SHOWN])]
    if len(reasons) > _SHOWN:
        lines.append(f"  and {len(reasons) - _SHOWN} more")
    return Section(lines=(*lines, *(f"  note: {remark}" for remark in remarks)))


def _row(adapter: Adapter) -> tuple[str, ...]:
    config = adapter.config
    rank, exported = str(config.r) if config.r else ABSENT, "yes" if adapter.exported else "no"
    return (adapter.name, config.peft_type, rank, *_told(adapter.card), exported)


def _probe_row(folder: Path) -> tuple[str, ...]:
    probe_kind(folder)
    return (folder.name, "probe", ABSENT, *_told(read_card(folder)), "not needed")


def _told(card: Card | None) -> tuple[str, ...]:
    """By its card: base, data, day and metrics."""
    data = card.data if card else None
    items = f" ({data.items:,} items)" if data and data.items is not None else ""
    metrics = ", ".join(f"{k} {v:.3g}" for k, v in card.metrics.items()) if card else ""
    return (
        card.base.name if card else _UNKNOWN,
        f"{data.source}{items}" if data else _UNKNOWN,
        str(card.created) if card and card.created else _UNKNOWN,
        metrics or _UNKNOWN,
    )


def _of_card(card: Card | None) -> Iterator[tuple[str, str]]:
    if card is None:
        yield "card", "none: base, data and settings are unknown"
        return
    base, data, prompt = card.base, card.data, card.prompt
    yield "base", f"{base.name}, {base.architecture}, hidden size {base.hidden_size}"
    yield "base: contents", base.digest
    yield "data", data.source if data else _UNKNOWN
    if data:
        yield "data: digest", data.digest or _UNKNOWN
        yield "data: items", _UNKNOWN if data.items is None else f"{data.items:,}"
        yield "data: licence", data.licence or _UNKNOWN
    yield "prompt", f"{prompt.task}/{prompt.strategy}" if prompt else _UNKNOWN
    if prompt:
        yield "prompt: digest", prompt.digest or _UNKNOWN
    yield "hyperparameters", _pairs(card.hyperparameters)
    yield "seed", _UNKNOWN if card.seed is None else str(card.seed)
    yield "metrics", _pairs(card.metrics)
    yield "versions", _pairs(card.versions)
    yield "created", str(card.created or _UNKNOWN)


def _of_config(adapter: Adapter) -> Iterator[tuple[str, str]]:
    """Keys that say something: those that PEFT writes without a value say nothing."""
    for key, value in adapter.config.model_dump().items():
        if value not in (None, False, "", {}, []):
            shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            yield f"config: {key}", shown


def _groups(adapter: Adapter) -> Iterator[tuple[str, str]]:
    """Tensors that differ only in their layer, together."""
    counts: Counter[tuple[str, str]] = Counter()
    for tensor in adapter.tensors.values():
        module = _BLOCK.sub(".*.", f"{tensor.module}.").strip(".") or "shared"
        shape = " x ".join(map(str, tensor.shape))
        counts[module, f"{tensor.part} {shape} {tensor.dtype}"] += 1
    for (module, what), count in sorted(counts.items()):
        yield f"tensors: {module}", f"{what}, {count} times" if count > 1 else what


def _size(path: Path) -> str:
    return f"{path.stat().st_size:,} bytes"


def _pairs(values: Mapping[str, object]) -> str:
    return ", ".join(f"{key} {value}" for key, value in values.items()) or _UNKNOWN
