"""Loaded models: load on first use, share among callers, evict the least recently used, close."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway.backends.base import Backend, load_backend
from gateway.config import Models, ModelSpec
from gateway.sources import weights_path

Loader = Callable[[ModelSpec, Path], Backend]


@dataclass(slots=True)
class _Loaded:
    backend: Backend
    users: int = 0
    last_used: int = 0


class ModelPool:
    """At most `max_loaded` models in memory; a request for another waits until one is free.

    Args:
        models: the known entries; an unknown name is an error, never another model.
        loader: makes a backend of an entry and its file; runs in a worker thread.
    """

    def __init__(
        self, models: Models, *, max_loaded: int = 1, loader: Loader = load_backend
    ) -> None:
        self.models = models
        self._max_loaded = max_loaded
        self._loader = loader
        self._loaded: dict[str, _Loaded] = {}
        self._changed = asyncio.Condition()
        self._clock = 0

    @asynccontextmanager
    async def lease(self, name: str) -> AsyncIterator[Backend]:
        """A loaded model that stays loaded while the block runs.

        Raises:
            UnknownModel, ModelNotPulled, ModelLoadError: as their names say.
        """
        loaded = await self._acquire(self.models.get(name))
        try:
            yield loaded.backend
        finally:
            async with self._changed:
                loaded.users -= 1
                self._changed.notify_all()

    async def close(self) -> None:
        """Close every model; requests still running fail with `BackendUnavailable`."""
        async with self._changed:
            for loaded in self._loaded.values():
                await loaded.backend.close()
            self._loaded.clear()

    async def _acquire(self, spec: ModelSpec) -> _Loaded:
        async with self._changed:
            while spec.name not in self._loaded and not await self._make_room():
                await self._changed.wait()
            if spec.name not in self._loaded:
                backend = await asyncio.to_thread(self._load, spec)
                self._loaded[spec.name] = _Loaded(backend)
            loaded = self._loaded[spec.name]
            loaded.users += 1
            self._clock += 1
            loaded.last_used = self._clock
            return loaded

    def _load(self, spec: ModelSpec) -> Backend:
        return self._loader(spec, weights_path(spec))

    async def _make_room(self) -> bool:
        """Evict until one more fits; False while every loaded model is in use."""
        while len(self._loaded) >= self._max_loaded:
            idle = [name for name, loaded in self._loaded.items() if loaded.users == 0]
            if not idle:
                return False
            oldest = min(idle, key=lambda name: self._loaded[name].last_used)
            await self._loaded.pop(oldest).backend.close()
        return True
