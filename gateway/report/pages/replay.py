"""What `gateway replay` found."""

from collections import Counter
from collections.abc import Iterator

from gateway.determinism.replay import Group, Replay
from gateway.report.format import ABSENT, plural
from gateway.report.sections import Section, by_rows, numbers

_SHOWN = 10
"""Ids or reasons that are named; --json has all of them."""
_COUNTS = numbers("asked", "byte-identical", "texts equal", "failed", "mean difference")


def section(made: Replay) -> Section:
    """One row for each model then and model now; below, what is to be known of them."""
    if not made.groups:
        nothing = "no request of the recording was answered, so none was asked again"
        return Section(lines=(nothing, *_remarks(made)))
    table = by_rows(("then", "now", "fingerprint", *_COUNTS), map(_row, made.groups))
    return Section(tables=(table,), lines=tuple(_remarks(made)))


def _row(group: Group) -> tuple[str, ...]:
    mean = group.mean_difference
    fingerprints = group.recorded_fingerprint[:12]
    if not group.same:
        fingerprints += f" -> {group.fingerprint[:12]}"
    counts = (group.asked, group.identical, group.texts_equal, len(group.failures))
    shown = ABSENT if mean is None else f"{mean:.3f}"
    return (group.recorded_model, group.model, fingerprints, *map(str, counts), shown)


def _remarks(made: Replay) -> Iterator[str]:
    for group in made.groups:
        if not group.same:
            parts = ", ".join(group.differing) or "the recording does not say in what"
            yield f"{group.recorded_model} then and {group.model} now are two models: {parts}"
        elif group.changed:
            ids = ", ".join(map(str, group.changed[:_SHOWN]))
            yield f"{group.model} is the same model and answered otherwise, requests {ids}"
        reasons = Counter(reason for _, reason in group.failures)
        for reason, count in reasons.most_common(_SHOWN):
            yield f"{count} failed: {reason}"
    if unanswered := made.failed_then + made.cancelled_then:
        yield (
            f"Without an answer in the recording, and not asked: {plural(unanswered, 'request')}: "
            f"{made.failed_then} failed, {made.cancelled_then} were cancelled"
        )
