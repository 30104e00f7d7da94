"""What `gateway data` prints."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from gateway.report.sections import Cell, Section, Tone, by_rows, numbers
from gateway.tuning.checks.findings import Finding, Findings
from gateway.tuning.checks.parts import size

_SHOWN = 3
"""Items that are named of each finding; --json has all of them."""

_TONES: dict[str, Tone] = {"error": "bad", "warning": "warning", "note": "faint"}


def section(found: Findings, about: Sequence[str] = ()) -> Section:
    """One row a finding, the gravest first; below, some items of each and what to do.

    Args:
        about: what else is to be known, a line each.
    """
    rows = [
        (
            Cell(finding.severity, _TONES[finding.severity]),
            f"{finding.count:,}" if finding.places else "",
            finding.what,
        )
        for finding in found.findings
    ]
    table = by_rows(("severity", *numbers("items"), "finding"), rows)
    lines = (*_details(found), *about, verdict(found))
    return Section(tables=(table,) if rows else (), lines=lines)


def findings_json(found: Findings, about: Sequence[str] = ()) -> dict[str, Any]:
    """Everything, for canonical JSON."""
    return {
        "about": list(about),
        "sizes": dict(found.sizes),
        "errors": len(found.errors),
        "warnings": len(found.warnings),
        "notes": len(found.notes),
        "findings": [asdict(finding) | {"count": finding.count} for finding in found.findings],
    }


def verdict(found: Findings) -> str:
    """How many of each severity, in one line."""
    sizes = ", ".join(f"{name} {count:,}" for name, count in found.sizes.items())
    counted = f"{size(len(found.errors), 'error')}, {size(len(found.warnings), 'warning')}"
    return f"{sizes}: {counted}"


def _details(found: Findings) -> Iterator[str]:
    for finding in found.findings:
        if finding.places or finding.advice:
            yield from _of(finding)


def _of(finding: Finding) -> Iterator[str]:
    yield f"{finding.severity}: {finding.what}"
    for place in finding.places[:_SHOWN]:
        yield f"  {place}"
    if len(finding.places) > _SHOWN:
        yield f"  and {len(finding.places) - _SHOWN:,} more"
    if finding.advice:
        yield f"  to do: {finding.advice}"
