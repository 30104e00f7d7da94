"""How long texts are in a model's tokens, kept on disk beside the states.

Where a text has so many tokens is found by reading it a dozen times. Of a second training that
would be the longest part.
"""

from collections.abc import Callable

from gateway.tasks.prompts import Shortener
from gateway.tuning.probe.states import StateStore

_ROUND = 1
"""Counts how often the way of counting or of shortening has changed."""

_BYTES = 8
"""Of a length on disk. What has others is damaged, and found again."""


class KeptShortener:
    """Shortens as a model's reader does, and remembers where.

    Args:
        reader: counts what is not kept.
        store: of the model whose tokens are counted.
    """

    def __init__(self, reader: Shortener, store: StateStore) -> None:
        self._reader = reader
        self._store = store
        self._new: dict[str, bytes] = {}

    def count(self, text: str) -> int:
        """Tokens of a text."""
        return self._length("whole", text, 0, lambda: self._reader.count(text))

    def head(self, text: str, tokens: int) -> str:
        """The beginning of a text that has so many tokens."""
        fits = self._length("head", text, tokens, lambda: len(self._reader.head(text, tokens)))
        return text[:fits]

    def tail(self, text: str, tokens: int) -> str:
        """The end of a text that has so many tokens."""
        fits = self._length("tail", text, tokens, lambda: len(self._reader.tail(text, tokens)))
        return text[len(text) - fits :]

    def save(self) -> None:
        """Write what is new to disk."""
        if self._new:
            self._store.keep_all(self._new)
            self._new = {}

    def _length(self, which: str, text: str, tokens: int, find: Callable[[], int]) -> int:
        key = self._store.key(["length", _ROUND, which, text, tokens])
        blob = self._new.get(key) or self._store.scores(key)
        if blob is None or len(blob) != _BYTES:
            blob = self._new[key] = find().to_bytes(_BYTES, "little")
        return int.from_bytes(blob, "little")
