"""`keep_alive`: how long a model stays loaded once a request is over, and its unloading then.

Reference: Go's `time.ParseDuration`, which reads Ollama's: "300ms", "1.5h", "2h45m", "-1m".
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from pydantic import AfterValidator

from gateway.backends.pool import ModelPool

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PIECE = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|ms|s|m|h)")
_WHOLE = re.compile(rf"[-+]?({_PIECE.pattern})+")
_MOST_CHARACTERS = 64
_PATIENCE_S = 1.0
"""How long an answer waits for a model to be unloaded; one that is in use goes afterwards."""
FOREVER_S = 1e9
"""From here on, 31 years, a model simply stays; so it does for a negative number."""


def seconds_of(value: float | str) -> float | None:
    """Seconds that a model stays; None: until its memory is needed.

    Raises:
        ValueError: the text is no duration.
    """
    seconds = _parsed(value) if isinstance(value, str) else value
    return None if seconds < 0 or seconds >= FOREVER_S else seconds


def _parsed(text: str) -> float:
    if text == "0":
        return 0.0
    if len(text) > _MOST_CHARACTERS or not _WHOLE.fullmatch(text):
        raise ValueError('no duration: send seconds, or a text like "5m" or "1h30m"')
    size = sum(float(number) * _UNITS[unit] for number, unit in _PIECE.findall(text))
    return -size if text.startswith("-") else size


def _checked(value: float | str | None) -> float | str | None:
    if value is not None:
        seconds_of(value)
    return value


KeepAlive = Annotated[float | str | None, AfterValidator(_checked)]
"""Absent: the model stays until its memory is needed."""


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
