"""What a run says of itself, with bars and where none can be drawn."""

import io
import re

import pytest
from rich.console import Console

from gateway.cli import progress as drawing
from gateway.cli.progress import NOISE_FLOOR, RunProgress, counted
from gateway.evaluation.run import Cell, Progress
from gateway.evaluation.store import Observation
from gateway.scoring.results import Status
from gateway.tasks.task import Item

CELL = Cell("m", "scored", "digest", "score", "weights")


SPEED = re.compile(r"[0-9]/s|s/item")
ANSWER = Observation(Status.OK, answer="yes")


def asked(number: int, purpose: str = "test") -> Progress:
    item = Item(f"item {number}", {"text": "one"}, "yes", None, f"digest {number}")
    return Progress(CELL, item, ANSWER, purpose)


def stored(number: int, purpose: str = "test") -> Progress:
    return Progress(CELL, asked(number).item, None, purpose)


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


def test_what_the_store_had_is_told_from_what_was_asked() -> None:
    assert said(stored(1), stored(2), asked(3)) == ["m/scored: 3 done, 2 of 3 from the store"]
    assert said(stored(1)) == ["m/scored: 1 of 3 done, 1 of 3 from the store"]
    again = (stored(1, "dev"), asked(2), stored(1, "dev"), stored(3))
    assert said(*again) == ["m/scored: 3 done, 2 of 3 from the store"]


class Clock:
    """Seconds that pass when a test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def drawn(width: int, have: int, ask: int, total: int) -> list[str]:
    """The bar after each event: the store has the first ones, each of the others takes a second."""
    clock, lines = Clock(), []
    console = Console(
        file=io.StringIO(), width=width, force_terminal=True, color_system=None, get_time=clock
    )
    progress = RunProgress({"m/scored": total}, console)
    bars = progress._bars
    bars.get_time = clock
    for number in range(have + ask):
        clock.now += number >= have
        progress.update(stored(number) if number < have else asked(number))
        with console.capture() as captured:
            console.print(bars.get_renderable())
        lines.append(captured.get().strip())
    return lines


def test_speed_and_time_left_are_those_of_what_is_asked_now() -> None:
    lines = drawn(120, have=50, ask=10, total=100)
    assert "50/100" in lines[49]
    assert not SPEED.search(lines[49]), "what was there took no time"
    assert "-:--:--" in lines[49]
    assert "50 of 100 from the store" in lines[49]
    assert " 60/100 1.0/s 0:00:40 " in lines[-1]


def test_all_from_the_store_is_done_at_no_speed() -> None:
    last = drawn(120, have=20, ask=0, total=20)[-1]
    assert "20/20" in last
    assert not SPEED.search(last)
    assert "20 of 20 from the store" in last


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_bar_fits_its_line_and_no_number_is_cut(width: int) -> None:
    for line in drawn(width, have=50, ask=10, total=100)[49:]:
        assert len(line) <= width
        assert "…" not in line
        assert "stored" in line or "from the store" in line


def test_an_answer_that_takes_a_minute_has_a_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    console = Console(
        file=io.StringIO(), width=100, force_terminal=True, color_system=None, get_time=clock
    )
    bars = drawing.bars_on(console)
    bars.get_time = clock
    task = bars.add_task("slow", total=5)
    for _ in range(3):
        clock.now += 60
        bars.advance(task)
    with console.capture() as captured:
        console.print(bars.get_renderable())
    assert re.search(r" 3/5 60\.0 s/item 0:02:00", captured.get())


def test_until_something_is_counted_it_says_that_it_loads() -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    with RunProgress({"m/scored": 3}, console) as progress:
        with console.capture() as captured:
            console.print(progress._bars.get_renderable())
        assert "loading" in captured.get()
        progress.update(asked(1))
        assert [task.description for task in progress._bars.tasks] == ["m/scored"]


def test_nothing_but_lines_is_printed_where_there_is_no_terminal() -> None:
    console = Console(file=io.StringIO(), width=80)
    with counted("classified", 2, console) as done:
        done()
        done()
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == ""


def test_quiet_says_nothing() -> None:
    assert said(asked(1), quiet=True) == []
