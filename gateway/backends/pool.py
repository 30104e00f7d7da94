"""Loaded models: load on first use, share among callers, evict the least recently used, close."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from gateway.backends.budget import Need, expected, measured, together
from gateway.backends.protocol import Backend
from gateway.backends.registry import check_backend, load_backend
from gateway.core.errors import ModelTooLarge
from gateway.core.sizes import readable
from gateway.models.file import Models
from gateway.models.locate import weights_path
from gateway.models.spec import ModelSpec

Loader = Callable[[ModelSpec, Path], Backend]


@dataclass(slots=True)
class _Loaded:
    backend: Backend
    need: Need
    users: int = 0
    last_used: int = 0


@dataclass(slots=True)
class _Loading:
    need: Need
    """What is kept free for it: its file, or what it took the last time."""
    users: int = 0
    """Who waits for it. They count as users from the moment it is there, so that nobody evicts a
    model between its loading and its first use."""
    task: "asyncio.Task[_Loaded] | None" = None
    loaded: _Loaded | None = None
    """Once it is there; from then on its users are counted in it."""


class _NoRoom(Exception):
    """What was loaded takes more than was expected, and those beside it are in use."""


class ModelPool:
    """At most `max_loaded` models in memory; a request for another waits until one is free.

    With a budget, the bytes of all loaded models stay within it too. What an entry takes beside
    its weights shows when it is loaded for the first time, so that the budget may be passed for
    that moment: what does not fit then is closed at once, and loaded again when there is room.

    A model loads while others serve. Nobody starves: whoever asks for a loaded model after somebody
    began to wait for room waits behind him.

    Where the pool's block ends (`async with ModelPool(models) as pool`), its models are closed.

    Args:
        models: the known entries; an unknown name is an error, never another model.
        memory: most bytes of all loaded models, see `gateway.backends.budget`; None: any number.
        loader: makes a backend of an entry and its file; runs in a worker thread.
    """

    def __init__(
        self,
        models: Models,
        *,
        max_loaded: int = 1,
        memory: int | None = None,
        loader: Loader = load_backend,
    ) -> None:
        self.models = models
        self._memory = memory
        self._known: dict[str, Need] = {}
        """Of entries that were loaded once."""
        self._max_loaded = max_loaded
        self._loader = loader
        self._loaded: dict[str, _Loaded] = {}
        self._loading: dict[str, _Loading] = {}
        self._changed = asyncio.Condition()
        self._tickets = itertools.count(1)
        self._want_room: set[int] = set()
        """Tickets of those who wait until a model can be evicted."""

    @property
    def loaded(self) -> dict[str, Backend]:
        """The models in memory, by name."""
        return {name: loaded.backend for name, loaded in self._loaded.items()}

    def check(self, names: Iterable[str]) -> None:
        """Whether these models can be loaded as far as that is known without loading them: to be
        asked before minutes of work.

        Raises:
            UnknownModel, ModelNotPulled, MissingExtra: one cannot.
        """
        for name in names:
            spec = self.models.get(name)
            check_backend(spec)
            weights_path(spec)

    @asynccontextmanager
    async def lease(self, name: str) -> AsyncIterator[Backend]:
        """A loaded model that stays loaded while the block runs.

        Raises:
            UnknownModel, ModelNotPulled, ModelLoadError: as their names say.
            ModelTooLarge: it takes more than the budget, even alone.
        """
        loaded = await self._acquire(self.models.get(name))
        try:
            yield loaded.backend
        finally:
            # Not under the lock: a cancelled caller must not fail to give its place back.
            loaded.users -= 1
            await self._tell()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def unload(self, name: str) -> None:
        """Close a model as soon as nobody uses it; one that is not loaded needs nothing."""
        async with self._changed:
            while (loaded := self._loaded.get(name)) is not None and loaded.users:
                await self._changed.wait()
            if loaded is None:
                return
            del self._loaded[name]
            # Once begun it goes on: a half closed model would keep its memory.
            await asyncio.shield(loaded.backend.close())
        await self._tell()

    async def close(self) -> None:
        """Close every model; requests still running fail with `BackendUnavailable`."""
        tasks = [loading.task for loading in self._loading.values() if loading.task]
        await asyncio.gather(*tasks, return_exceptions=True)
        async with self._changed:
            for loaded in self._loaded.values():
                await loaded.backend.close()
            self._loaded.clear()

    async def _acquire(self, spec: ModelSpec) -> _Loaded:
        ticket = next(self._tickets)
        while True:
            loading = await self._join(spec, ticket)
            if isinstance(loading, _Loaded):
                return loading
            try:
                return await self._loaded_by(loading)
            except _NoRoom:
                # Again, now that its size is known, and still before those who came later.
                continue

    async def _join(self, spec: ModelSpec, ticket: int) -> "_Loaded | _Loading":
        """The model where it is loaded, or its loading where there is room; waits until either."""
        try:
            async with self._changed:
                while True:
                    if (loaded := self._loaded.get(spec.name)) is not None:
                        if min(self._want_room, default=ticket) >= ticket:
                            loaded.users += 1
                            loaded.last_used = ticket
                            return loaded
                    elif spec.name in self._loading or await self._make_room(self._need(spec)):
                        break
                    else:
                        self._want_room.add(ticket)
                    await self._changed.wait()
                loading = self._loading.get(spec.name) or self._start_loading(spec)
                loading.users += 1
                return loading
        finally:
            if ticket in self._want_room:
                self._want_room.discard(ticket)
                await self._tell()

    async def _loaded_by(self, loading: _Loading) -> _Loaded:
        """Wait for a loading in which this caller is counted. A cancelled caller does not stop it:
        a thread cannot be stopped, and the next caller finds the model there."""
        task = loading.task
        assert task is not None
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            counted = loading.loaded or loading
            counted.users -= 1
            await self._tell()
            raise

    def _start_loading(self, spec: ModelSpec) -> _Loading:
        loading = self._loading[spec.name] = _Loading(self._need(spec))
        loading.task = asyncio.create_task(self._load_in(spec, loading))
        # Its error goes to those who wait for it; where nobody does any more, to nobody.
        loading.task.add_done_callback(lambda task: task.cancelled() or task.exception())
        return loading

    async def _load_in(self, spec: ModelSpec, loading: _Loading) -> _Loaded:
        try:
            backend = await asyncio.to_thread(self._load, spec)
            async with self._changed:
                need = self._known[spec.name] = measured(loading.need, backend.memory)
                del self._loading[spec.name]
                if not await self._make_room(need):
                    await backend.close()
                    raise _NoRoom
                loading.loaded = loaded = _Loaded(backend, need, loading.users, next(self._tickets))
                self._loaded[spec.name] = loaded
                return loaded
        finally:
            self._loading.pop(spec.name, None)
            await self._tell()

    def _load(self, spec: ModelSpec) -> Backend:
        return self._loader(spec, weights_path(spec))

    def _need(self, spec: ModelSpec) -> Need:
        """What it took the last time, or else its file.

        Raises:
            ModelTooLarge: that is more than the budget, so that waiting would never end.
        """
        need = self._known.get(spec.name) or expected(spec.name, weights_path(spec))
        if self._memory is not None and need.alone > self._memory:
            raise ModelTooLarge(
                f"model {spec.name} takes {readable(need.alone)} of memory, and all models "
                f"together may take {readable(self._memory)}",
                hint="a smaller quantization or context_length, or more --memory",
            )
        return need

    async def _make_room(self, need: Need) -> bool:
        """Evict until one more fits; False while every loaded model is in use."""
        while not self._fits(need):
            idle = [name for name, loaded in self._loaded.items() if loaded.users == 0]
            if not idle:
                return False
            oldest = min(idle, key=lambda name: self._loaded[name].last_used)
            # Once begun it goes on: a half closed model would keep its memory.
            await asyncio.shield(self._loaded.pop(oldest).backend.close())
        return True

    def _fits(self, need: Need) -> bool:
        """Whether there is room for one more, beside all that are loaded or being loaded."""
        beside = [one.need for one in self._loaded.values()]
        beside += [one.need for one in self._loading.values()]
        if len(beside) >= self._max_loaded:
            return False
        return self._memory is None or together([*beside, need]) <= self._memory

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()
