"""Items that are in two parts of the data, and items that are in one part twice.

Whatever is trained on or shown and then asked about measures memory, not the model.
"""

from collections.abc import Iterator, Sequence

from gateway.tasks.similarity import text_of
from gateway.tasks.task import Item
from gateway.tuning.checks.duplicates import Copies, Copy, How, normalised
from gateway.tuning.checks.findings import Finding, Place, Severity
from gateway.tuning.checks.parts import EXEMPLARS, TEST, TRAIN, VALIDATION, Part, PartName, size

_ACROSS: tuple[tuple[PartName, PartName, Severity], ...] = (
    (TRAIN, TEST, "error"),
    (TRAIN, VALIDATION, "error"),
    (VALIDATION, TEST, "error"),
    (EXEMPLARS, TEST, "error"),
    (EXEMPLARS, VALIDATION, "error"),
    (EXEMPLARS, TRAIN, "warning"),
)
"""Which part must not hold copies of which; an exemplar that is trained on as well is only shown
in vain."""

_WITHIN: dict[How, Severity] = {How.IDENTICAL: "warning", How.NORMALISED: "warning"}
_LEAST_TOLD = 20
"""Characters of an item's text from which finding it among its own examples is no chance."""


def leaks(copies: Copies, parts: Sequence[Part], places: Sequence[Place]) -> Iterator[Finding]:
    """Copies across parts, one finding for each two parts and each kind of copy."""
    ranges = _ranges(parts)
    for left, right, severity in _ACROSS:
        if left not in ranges or right not in ranges:
            continue
        found = [(at, copies.closest(at, right)) for at in ranges[left]]
        for how in How:
            these = [(at, copy) for at, copy in found if copy is not None and copy.how is how]
            if these:
                yield Finding(
                    "leak" if severity == "error" else "exemplar-trained-on",
                    severity,
                    f"{size(len(these))} of {left} also in {right}: {how.value}",
                    f"remove them from {left} (gateway data split --test leaves them out): "
                    f"figures on {right} would flatter"
                    if severity == "error"
                    else "remove them from one of the two",
                    tuple(_copied(at, copy, places) for at, copy in these),
                )


def repeats(copies: Copies, parts: Sequence[Part], places: Sequence[Place]) -> Iterator[Finding]:
    """Copies within one part, one finding for each kind."""
    for part, range_ in _ranges(parts).items():
        found = [(at, copies.closest(at, part)) for at in range_]
        for how in How:
            these = [(at, copy) for at, copy in found if copy is not None and copy.how is how]
            if these:
                yield Finding(
                    f"repeat-{how.name.lower()}",
                    _WITHIN.get(how, "note"),
                    f"{part}: {size(len(these))} again that came before: {how.value}",
                    "keep one of each: what is repeated weighs double",
                    tuple(_copied(at, copy, places) for at, copy in these),
                )


def without_copies(items: Sequence[Item], others: Sequence[Item]) -> tuple[list[Item], list[Item]]:
    """The items that copy none of the others, in whatever way, and those that do.

    Looked at again until none is found: without the first ones the words weigh otherwise, which can
    bring another over the threshold.
    """
    kept, copied = list(items), list[Item]()
    while kept:
        texts = [text_of(item) for item in (*kept, *others)]
        copies = Copies(texts, [TRAIN] * len(kept) + [TEST] * len(others))
        clean = [copies.closest(at, TEST) is None for at in range(len(kept))]
        if all(clean):
            break
        copied += [item for item, is_clean in zip(kept, clean, strict=True) if not is_clean]
        kept = [item for item, is_clean in zip(kept, clean, strict=True) if is_clean]
    return kept, copied


def told_answers(part: Part) -> Iterator[Finding]:
    """Items whose own text is among the examples that are shown beside it."""
    found = []
    for item in part.items:
        own = normalised(text_of(item))
        shown = [normalised(item.fields[name]) for name in item.lists]
        if len(own) >= _LEAST_TOLD and any(own in text for text in shown):
            found.append(item)
    if found:
        yield Finding(
            "leak",
            "error",
            f"{part.name}: {size(len(found))} among the examples that are shown beside it",
            "take each item out of its own examples: they tell its answer",
            tuple(part.place(item) for item in found),
        )


def _ranges(parts: Sequence[Part]) -> dict[str, range]:
    ranges, start = {}, 0
    for part in parts:
        ranges[str(part.name)] = range(start, start + len(part.items))
        start += len(part.items)
    return ranges


def _copied(at: int, copy: Copy, places: Sequence[Place]) -> Place:
    other = places[copy.of]
    named = f" {other.item_id}" if other.item_id else ""
    return Place(places[at].place, places[at].item_id, f"{copy}: {other.place}{named}")
