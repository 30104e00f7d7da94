"""The answer to one text."""

from collections.abc import Iterator

from gateway.evaluation.classify import Classified, shown
from gateway.report.sections import Section
from gateway.scoring.results import Status


def sections(found: Classified) -> Iterator[Section]:
    """The answer, and how probable each label is."""
    if found.status is not Status.OK:
        yield Section(lines=(f"[{found.status.value}] {found.reason}",))
        return
    yield Section(lines=(shown(found.answer),), tone="strong")
    shares = sorted((found.probabilities or {}).items(), key=lambda p: -p[1])
    bounds = "≈ some of these rest on bounds or approximations"
    yield Section(
        facts=tuple((f"{share:.3f}", label) for label, share in shares),
        lines=() if found.exact else (bounds,),
    )
