"""Tests side by side: groups that stay together, and turns alone."""

import fcntl
import threading
from pathlib import Path

from tests.server.waiting import wait_until
from tests.support import side_by_side


def is_held(file: Path) -> bool:
    with file.open("w") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_one_alone_waits_for_the_others_and_nobody_comes_in_before_it(tmp_path: Path) -> None:
    happened: list[str] = []

    def take_a_turn(name: str, alone: bool) -> None:
        with side_by_side.turn(tmp_path, alone=alone):
            happened.append(name)

    first = threading.Thread(target=take_a_turn, args=("alone", True))
    second = threading.Thread(target=take_a_turn, args=("later", False))
    with side_by_side.turn(tmp_path, alone=False):
        take_a_turn("together", alone=False)
        first.start()
        wait_until(lambda: is_held(tmp_path / "door"))
        second.start()
        happened.append("before")
    for thread in (first, second):
        thread.join()
    assert happened == ["together", "before", "alone", "later"]
