"""Things that are made once and shared by everybody who asks for the same, until the last is done.

Weights and engines lie here: a base model and all its adapters are one copy of the weights, one
context and one scheduler, however many entries of models.toml name them.
"""

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar


class Closeable(Protocol):
    """What frees its memory when told."""

    def close(self) -> None: ...


K = TypeVar("K", bound=Hashable)
V = TypeVar("V", bound=Closeable)


@dataclass(slots=True)
class _Held(Generic[V]):
    value: V
    users: int = 0


class Shelf(Generic[K, V]):
    """Counts who uses what; safe from any thread. Making and closing happen under its lock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[K, _Held[V]] = {}

    def take(self, key: K, make: Callable[[], V]) -> V:
        """What lies under the key, made by `make` where nothing does. Raises what `make` raises."""
        with self._lock:
            if key not in self._held:
                self._held[key] = _Held(make())
            held = self._held[key]
            held.users += 1
            return held.value

    def give_back(self, key: K) -> None:
        """One user fewer; the last one closes it."""
        with self._lock:
            held = self._held[key]
            held.users -= 1
            if held.users == 0:
                del self._held[key]
                held.value.close()
