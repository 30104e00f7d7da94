"""The parts of the data: what is trained on, what is held out, what is tested on, exemplars."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from gateway.tasks.dataset import Problem, scan_dataset
from gateway.tasks.task import Item, Task
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

    def place(self, item: Item, about: str = "") -> Place:
        """Where an item stands."""
        return Place(f"{self.source}:{item.line}" if item.line else self.source, item.id, about)


def read_part(
    name: PartName, source: str, task: Task, columns: Mapping[str, str] | None = None
) -> Part:
    """A part as its file has it. Raises as `scan_dataset`."""
    scan = scan_dataset(source, task, columns=columns)
    return Part(name, source, scan.items, scan.problems)


def size(count: int, what: str = "item") -> str:
    """A count with its noun."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def named(parts: Sequence[Part], name: PartName) -> Part | None:
    """The part of that name."""
    return next((part for part in parts if part.name == name), None)
