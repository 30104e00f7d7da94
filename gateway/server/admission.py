"""Who may be worked on now, who waits, who is sent away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.server.http_errors import Draining, TooMany

_RETRY_S = 1


class Admission:
    """At most `running` at once and `waiting` behind them, first come first served.

    Once draining, those who are in finish and nobody enters.
    """

    def __init__(self, running: int, waiting: int) -> None:
        self._places = asyncio.Semaphore(running)
        self._most_waiting = waiting
        self._empty = asyncio.Event()
        self._empty.set()
        self.running = 0
        self.waiting = 0
        self.draining = False

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Wait for a place and hold it while the block runs.

        Raises:
            TooMany: as many are waiting as may.
            Draining: the server is ending.
        """
        if self.draining:
            raise Draining("the server is shutting down", retry_after=_RETRY_S)
        if self._places.locked() and self.waiting >= self._most_waiting:
            raise TooMany(f"{self.waiting} requests are waiting already", retry_after=_RETRY_S)
        self._count(waiting=1)
        try:
            await self._places.acquire()
        finally:
            self._count(waiting=-1)
        self._count(running=1)
        try:
            yield
        finally:
            self._places.release()
            self._count(running=-1)

    def drain(self) -> None:
        """Let nobody in any more."""
        self.draining = True

    async def emptied(self) -> None:
        """Wait until nobody is in."""
        await self._empty.wait()

    def _count(self, *, waiting: int = 0, running: int = 0) -> None:
        self.waiting += waiting
        self.running += running
        if self.waiting + self.running == 0:
            self._empty.set()
        else:
            self._empty.clear()
