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
    yield Section(
        facts=tuple((f"{share:.3f}", label) for label, share in shares),
        lines=() if found.exact else (_bounds(found),),
    )


def _bounds(found: Classified) -> str:
    """How sure the probabilities are, and what to do where that is not enough."""
    if not found.off_by:
        return "≈ some of these rest on bounds or approximations"
    return (
        f"≈ the answer is certain; probabilities are off by {found.off_by:.2g} at most, since not "
        "every label was finished. --label-search full finishes all."
    )
