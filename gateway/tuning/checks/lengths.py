"""Inputs without text, and inputs that are too long."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from gateway.tasks.similarity import text_of
from gateway.tasks.task import Item, Task
from gateway.tuning.checks.findings import Finding
from gateway.tuning.checks.parts import EXEMPLARS, Part, size

CHARACTERS_PER_TOKEN = 4
"""Where no tokenizer is at hand; English is 3 to 5 (see gateway/engine/reader.py)."""


@dataclass(frozen=True, slots=True)
class Length:
    """How long one input is."""

    size: int
    shortened: tuple[str, ...] = ()
    """Fields that the template shortened before it was counted."""


@dataclass(frozen=True, slots=True)
class LengthLimit:
    """How long an input may be."""

    measure: Callable[[Item], Length]
    most: int
    unit: str
    """What is counted: "tokens of smollm2-135m, prompt zero_shot and answer", "characters"."""


def in_characters(tokens: int) -> LengthLimit:
    """A limit of about so many tokens where no tokenizer is at hand, counted in characters."""
    unit = f"characters (no --model: {CHARACTERS_PER_TOKEN} for a token)"
    return LengthLimit(lambda item: Length(len(text_of(item))), tokens * CHARACTERS_PER_TOKEN, unit)


def empty_inputs(part: Part, task: Task) -> Iterator[Finding]:
    """Items that ask nothing (an error), and items whose long field is empty (a note)."""
    own = [name for name in task.fields if name not in task.lists]
    empty = [item for item in part.items if not text_of(item).strip()]
    if empty:
        yield Finding(
            "empty-input",
            "error",
            f"{part.name}: {size(len(empty))} with no text at all",
            "remove them, or name the right columns with --column",
            tuple(part.place(item) for item in empty),
        )
    partly = [i for i in part.items if not i.fields[own[-1]].strip() and text_of(i).strip()]
    if partly:
        yield Finding(
            "empty-field",
            "note",
            f"{part.name}: {size(len(partly))} with an empty {own[-1]}",
            "check that their other fields are enough to answer from",
            tuple(part.place(item) for item in partly),
        )


def long_inputs(part: Part, limit: LengthLimit) -> Iterator[Finding]:
    """Items that are longer than the limit, the longest first."""
    if part.name == EXEMPLARS:
        return
    measured = [(limit.measure(item), item) for item in part.items]
    lengths = [(length.size, item) for length, item in measured]
    long = sorted((pair for pair in lengths if pair[0] > limit.most), key=lambda pair: -pair[0])
    shortened = [(length, item) for length, item in measured if length.shortened]
    if shortened:
        yield Finding(
            "shortened",
            "note",
            f"{part.name}: {size(len(shortened))} of {len(lengths):,} shortened by the template",
            "",
            tuple(part.place(item, ", ".join(length.shortened)) for length, item in shortened),
        )
    if long:
        yield Finding(
            "too-long",
            "warning",
            f"{part.name}: {size(len(long))} of {len(lengths):,} longer than {limit.most:,} "
            f"{limit.unit}; the longest has {long[0][0]:,}",
            "raise the limit, shorten fields in the template ([shorten]), or remove them: what is "
            "cut off is not learned from",
            tuple(part.place(item, f"{length:,}") for length, item in long),
        )
