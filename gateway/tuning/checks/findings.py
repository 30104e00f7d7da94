"""What a check of data found: each finding with its severity, its items, and what to do."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from gateway.core.errors import DataError

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True, slots=True)
class Place:
    """One item of a finding."""

    place: str
    """`file:line`."""
    item_id: str = ""
    about: str = ""
    """What is wrong with this one; of a copy: which item it copies."""

    def __str__(self) -> str:
        named = f" {self.item_id}" if self.item_id else ""
        return f"{self.place}{named}{f': {self.about}' if self.about else ''}"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is to be known of the data."""

    code: str
    """Its kind, the same in every version: "leak", "too-few", ..."""
    severity: Severity
    what: str
    """One sentence, with its numbers."""
    advice: str = ""
    """What to do."""
    places: tuple[Place, ...] = ()
    """All items that it is about; none where it is about the data as a whole."""

    @property
    def count(self) -> int:
        """Items that it is about; 1 where it is about the data as a whole."""
        return len(self.places) or 1


@dataclass(frozen=True, slots=True)
class Findings:
    """All that was found, the gravest first."""

    findings: tuple[Finding, ...] = ()
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Readable items of each part of the data."""

    @classmethod
    def of(cls, found: Iterable[Finding], sizes: Mapping[str, int]) -> "Findings":
        """Findings in the order of their severity, else as they come."""
        ordered = sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))
        return cls(tuple(ordered), sizes)

    @property
    def errors(self) -> tuple[Finding, ...]:
        """With one of these, nothing should train."""
        return self._with("error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """What makes a result worse or its figures doubtful."""
        return self._with("warning")

    @property
    def notes(self) -> tuple[Finding, ...]:
        """What is good to know, and what was not checked."""
        return self._with("note")

    def refuse_errors(self) -> None:
        """Raise DataError if there is an error; its message is the first, with its first item."""
        if not self.errors:
            return
        first = self.errors[0]
        where = f"{first.places[0].place}: " if first.places else ""
        more = len(self.errors) - 1
        also = f" (and {more} more kinds of errors)" if more else ""
        raise DataError(f"{where}{first.what}{also}", hint="gateway data check lists them all")

    def _with(self, severity: Severity) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.severity == severity)
