"""Tests side by side: groups that stay together, and turns alone."""

import threading
from pathlib import Path

from tests import side_by_side


def test_one_alone_waits_for_the_others_and_nobody_comes_in_before_it(tmp_path: Path) -> None:
    happened: list[str] = []
    waits, leave = threading.Event(), threading.Event()

    def alone() -> None:
        waits.set()
        with side_by_side.turn(tmp_path, alone=True):
            happened.append("alone")

    def later() -> None:
        with side_by_side.turn(tmp_path, alone=False):
            happened.append("later")

    with side_by_side.turn(tmp_path, alone=False):
        with side_by_side.turn(tmp_path, alone=False):
            happened.append("together")
        first = threading.Thread(target=alone)
        first.start()
        waits.wait()
        leave.wait(0.2)  # Until it holds the door.
        second = threading.Thread(target=later)
        second.start()
        leave.wait(0.2)
        happened.append("before")
    for thread in (first, second):
        thread.join()
    assert happened == ["together", "before", "alone", "later"]
