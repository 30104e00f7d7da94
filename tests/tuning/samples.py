"""Small labelled data of the task issue-triage."""

from collections.abc import Sequence

from gateway.core.types import Answer
from gateway.models.environment import shipped
from gateway.tasks.task import Item, load_task
from gateway.tuning.checks.parts import Part, PartName

ROOT = shipped("prompts")
TRIAGE = load_task("issue-triage", ROOT)
LABELS = ("bug", "feature", "question")


def item(name: str, text: str, gold: Answer = "bug", line: int = 1, body: str = "body") -> Item:
    return Item(name, {"title": text, "body": body}, gold, line, text)


def words(number: int) -> str:
    """A text that shares no word with that of another number, and has no digit, since all numbers
    are alike once normalised."""
    name = "".join("klmnopqrst"[int(digit)] for digit in str(number))
    return " ".join(f"{name}{letter}" for letter in "abcdefgh")


def items(count: int, start: int = 0) -> list[Item]:
    """Items that are unlike each other, their labels in turn."""
    numbers = range(start, start + count)
    return [item(f"i{n}", words(n), LABELS[n % 3], n + 2, f"{words(n)} it fails") for n in numbers]


def part(name: PartName, of: Sequence[Item]) -> Part:
    return Part(name, f"{name}.csv", tuple(of))
