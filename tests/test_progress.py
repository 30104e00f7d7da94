"""What a run says of itself where no bar can be drawn."""

import io

from rich.console import Console

from gateway.progress import NOISE_FLOOR, RunProgress
from gateway.runner import Cell, Progress
from gateway.tasks import Item

CELL = Cell("m", "scored", "digest", "score", "weights")


def asked(number: int, purpose: str = "test") -> Progress:
    item = Item(f"item {number}", {"text": "one"}, "yes", None, f"digest {number}")
    return Progress(CELL, item, None, purpose)


def said(*events: Progress, quiet: bool = False) -> list[str]:
    console = Console(file=io.StringIO(), width=80)
    with RunProgress({"m/scored": 3, NOISE_FLOOR: 1}, console, quiet=quiet) as progress:
        for event in events:
            progress.update(event)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_a_cell_is_done_when_all_its_items_are_and_those_of_its_rules() -> None:
    assert said(asked(1), asked(2), asked(1, "dev")) == ["m/scored: 3 done"]


def test_what_is_met_again_with_another_batch_counts_once() -> None:
    events = (asked(1), asked(3, "dev"), asked(2), asked(3, "dev"))
    assert said(*events) == ["m/scored: 3 done"]


def test_a_cell_that_does_not_come_to_its_end_says_how_far_it_came() -> None:
    assert said(asked(1), asked(2)) == ["m/scored: 2 of 3 done"]


def test_the_noise_floor_is_counted_apart() -> None:
    assert said(asked(1, "again"), asked(1)) == ["noise floor: 1 done", "m/scored: 1 of 3 done"]


def test_quiet_says_nothing() -> None:
    assert said(asked(1), quiet=True) == []
