"""Waiting for what another thread or process is about to do."""

import threading
from typing import Any


def wait_until(holds: Any) -> None:
    pause = threading.Event()
    for _ in range(2000):
        if holds():
            return
        pause.wait(0.01)
    raise AssertionError("it never came")
