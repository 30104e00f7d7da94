"""What `gateway data` prints."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from gateway.report.sections import Section, Tone
from gateway.tuning.checks.findings import Finding, Findings
from gateway.tuning.checks.parts import size

_SHOWN = 3
"""Items that are named of each finding; --json has all of them."""

_TONES: dict[str, Tone] = {"error": "bad", "warning": "warning", "note": "faint"}


def sections(found: Findings, about: Sequence[str] = ()) -> Iterator[Section]:
    """Each finding once, the gravest first, with some of its items and what to do.

    Args:
        about: what else is to be known, a line each.
    """
    for finding in found.findings:
        tone = _TONES[finding.severity]
        yield Section(lines=(f"{finding.severity}: {finding.what}",), tone=tone)
        yield Section(lines=tuple(_details(finding)))
    yield Section(lines=(*about, verdict(found)))


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


def _details(finding: Finding) -> Iterator[str]:
    for place in finding.places[:_SHOWN]:
        yield f"  {place}"
    if len(finding.places) > _SHOWN:
        yield f"  and {len(finding.places) - _SHOWN:,} more"
    if finding.advice:
        yield f"  to do: {finding.advice}"
