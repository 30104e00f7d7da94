"""The prompts that were rendered last: who asks for one to bound an answer asks again to answer."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable

from gateway.core.types import RenderedRequest


class Recent:
    """Rendered prompts, the last ones first to stay. May be used from several threads.

    Args:
        tokens: of all of them together, each counted as one more.
    """

    def __init__(self, tokens: int) -> None:
        self._room = tokens
        self._held: OrderedDict[Hashable, RenderedRequest] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], RenderedRequest]) -> RenderedRequest:
        """The one of that key; made where it is not held. Raises what `make` raises."""
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key]
        made = make()
        with self._lock:
            self._keep(key, made)
        return made

    def _keep(self, key: Hashable, made: RenderedRequest) -> None:
        if key in self._held:
            return  # another thread made it too
        self._held[key] = made
        self._room -= _weight(made)
        while self._room < 0:
            _, gone = self._held.popitem(last=False)
            self._room += _weight(gone)


def _weight(rendered: RenderedRequest) -> int:
    return len(rendered.token_ids) + 1
