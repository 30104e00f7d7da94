"""From the engine's thread into an event loop: woken once for all that is said at a time.

A pass says something to every stream. To wake the loop for each would cost more than to deliver it.
"""

import asyncio
from collections import deque
from typing import Any


class Mailbox:
    """What is put into queues of one event loop from other threads, delivered in the order in which
    it was put, and before whatever the same thread schedules there later."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._letters: deque[tuple[asyncio.Queue[Any], Any]] = deque()
        self._woken = False

    def put(self, queue: "asyncio.Queue[Any]", item: object) -> None:
        """Put an item into a queue of the loop. May be called from any thread."""
        self._letters.append((queue, item))
        if not self._woken:
            self._woken = True
            self.loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        # First, so that what is put from here on either is found below or wakes the loop again.
        self._woken = False
        while self._letters:
            queue, item = self._letters.popleft()
            queue.put_nowait(item)
