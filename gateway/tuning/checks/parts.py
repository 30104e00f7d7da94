"""The parts of the data: what is trained on, what is held out, what is tested on, exemplars."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from gateway.core.lists import plural
from gateway.tasks.dataset import Problem, scan_dataset
from gateway.tasks.labels import equal_numbers, numbers_note, respelled
from gateway.tasks.tables import Columns
from gateway.tasks.task import Dataset, Item, Task
from gateway.tuning.checks.findings import Place

PartName = Literal["train", "validation", "test", "exemplars"]
TRAIN: PartName = "train"
VALIDATION: PartName = "validation"
TEST: PartName = "test"
EXEMPLARS: PartName = "exemplars"


@dataclass(frozen=True, slots=True)
class Part:
    """One part and the items in it."""

    name: PartName
    source: str
    """The file, for messages."""
    items: tuple[Item, ...]
    problems: tuple[Problem, ...] = ()
    """Rows that are no items."""
    notes: tuple[str, ...] = ()
    """What was decided, or doubted, while reading."""
    remarks: tuple[str, ...] = ()
    """As `Table.remarks`."""

    def place(self, item: Item, about: str = "") -> Place:
        """Where an item stands."""
        return Place(f"{self.source}:{item.line}" if item.line else self.source, item.id, about)


def read_part(name: PartName, source: str, task: Task, columns: Columns = None) -> Part:
    """A part as its file has it. Raises as `scan_dataset`."""
    scan = scan_dataset(source, task, columns=columns)
    return Part(name, source, scan.items, scan.problems, (*scan.notes, *scan.doubts), scan.remarks)


def part_of(name: PartName, data: Dataset) -> Part:
    """A part that has been read."""
    return Part(name, data.path, data.items, notes=data.notes)


def size(count: int, what: str = "item") -> str:
    """A count with its noun."""
    return plural(count, what)


def named(parts: Sequence[Part], name: PartName) -> Part | None:
    """The part of that name."""
    return next((part for part in parts if part.name == name), None)


def one_spelling(parts: Sequence[Part], task: Task) -> list[Part]:
    """The parts with equal numbers as one label, where all labels are numbers; told in the notes of
    each part that changes."""
    if task.kind != "classification" or task.labels:
        return list(parts)
    found = {part.name: {i.gold for i in part.items if isinstance(i.gold, str)} for part in parts}
    called = equal_numbers(label for labels in found.values() for label in labels)
    return [_respelled(part, called, found[part.name]) for part in parts]


def _respelled(part: Part, called: Mapping[str, str], labels: Collection[str]) -> Part:
    if not (changed := sorted(called.keys() & set(labels))):
        return part
    note = numbers_note(part.source, {label: called[label] for label in changed})
    items = tuple(respelled(item, called) for item in part.items)
    return replace(part, items=items, notes=(*part.notes, note))
