"""Unloads models when the time that their last client gave them is over."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.backends.pool import ModelPool

_PATIENCE_S = 1.0
"""How long an answer waits for a model to be unloaded; one that is in use goes afterwards."""


class Keeper:
    """At most one waiting unload a model. A new request ends it and its end sets the next one."""

    def __init__(self, pool: ModelPool) -> None:
        self._pool = pool
        self._unloads: dict[str, asyncio.Task[None]] = {}
        self._ends: dict[str, float] = {}

    @asynccontextmanager
    async def during(self, name: str, seconds: float | None) -> AsyncIterator[None]:
        """A request; once it is over the model stays for so many seconds, None: undecided."""
        self._forget(name)
        try:
            yield
        finally:
            if seconds is not None:
                self._set(name, seconds)

    async def unload(self, name: str) -> None:
        """Unload a model now, or, where others use it, as soon as they are done."""
        await asyncio.wait({self._set(name, 0.0)}, timeout=_PATIENCE_S)

    def ends(self, name: str) -> float | None:
        """When a model will be unloaded, in seconds since the epoch; None: no time is set."""
        return self._ends.get(name)

    def _set(self, name: str, seconds: float) -> "asyncio.Task[None]":
        self._forget(name)
        self._ends[name] = time.time() + seconds
        task = self._unloads[name] = asyncio.create_task(self._unload_in(name, seconds))
        return task

    def _forget(self, name: str) -> None:
        self._ends.pop(name, None)
        if (task := self._unloads.pop(name, None)) is not None:
            task.cancel()

    async def _unload_in(self, name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self._pool.unload(name)
        self._ends.pop(name, None)
