"""The hidden states of many prompts, kept on disk, so that a second training costs seconds."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import cache
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from gateway.backends.llama_cpp.states import Pooled, StateReader
from gateway.core.digests import digest_json
from gateway.core.sqlite import Database, Kind
from gateway.models.adapters.probe import Frame

Tokens = Sequence[int]
Span = tuple[int, int]
"""From where to where the text stands in a prompt."""

MOST_BYTES = 4 << 30
"""That the states of all models together may take on disk; the oldest are forgotten first."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS states (
    number INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    layers TEXT NOT NULL,
    pooled BLOB NOT NULL
);
"""
_KIND = Kind("store of hidden states", _SCHEMA, version=1)


class StateStore:
    """Pooled states by model and prompt.

    Args:
        model: digest of all that decides what the states are: weights, build, settings.

    Raises:
        StoreError: the file is of another kind, or cannot be read or written.
    """

    def __init__(self, path: Path, model: str) -> None:
        self._model = model
        self._file = Database(path, _KIND)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._forget()
        self._file.close()

    def get(
        self, prompt: Sequence[int], span: tuple[int, int], layers: Sequence[int]
    ) -> Pooled | None:
        """The states behind these layers, shape (layers, 2, width); None: not all are known, or
        what is kept is damaged."""
        query = "SELECT layers, pooled FROM states WHERE key = ?"
        for kept, blob in self._file.rows(query, [self._key(prompt, span)]):
            known = [int(layer) for layer in str(kept).split()]
            of_one = len(known) * 2 * np.dtype("<f4").itemsize
            if set(layers) <= set(known) and blob and len(blob) % of_one == 0:
                states = np.frombuffer(blob, dtype="<f4").reshape(len(known), 2, -1)
                return states[[known.index(layer) for layer in layers]]
        return None

    def put(
        self, prompt: Sequence[int], span: tuple[int, int], layers: Sequence[int], pooled: Pooled
    ) -> None:
        """Keep them, in place of what was known of that prompt."""
        names = " ".join(map(str, layers))
        blob = pooled.astype("<f4").tobytes()
        self._file.execute(
            "INSERT OR REPLACE INTO states (key, layers, pooled) VALUES (?, ?, ?)",
            [self._key(prompt, span), names, blob],
        )

    def scores(self, key: str) -> bytes | None:
        """What `keep` has kept under a digest of all that decides it."""
        query = "SELECT pooled FROM states WHERE key = ? AND layers = ''"
        return next((blob for (blob,) in self._file.rows(query, [key])), None)

    def keep(self, key: str, scores: bytes) -> None:
        """Keep what was computed of states beside them."""
        self.keep_all({key: scores})

    def keep_all(self, found: Mapping[str, bytes]) -> None:
        """As `keep`, of many at once."""
        query = "INSERT OR REPLACE INTO states (key, layers, pooled) VALUES (?, '', ?)"
        self._file.execute_for_each(query, found.items())

    def key(self, about: Sequence[object]) -> str:
        """Digest of what the model is told, for `keep`."""
        return digest_json([self._model, *about])

    def _key(self, prompt: Tokens, span: Span) -> str:
        return self.key([list(prompt), list(span)])

    def _forget(self) -> None:
        self._file.execute(
            "DELETE FROM states WHERE number IN (SELECT number FROM (SELECT number, "
            "sum(length(pooled)) OVER (ORDER BY number DESC) AS size FROM states) WHERE size > ?)",
            [MOST_BYTES],
        )


def collect(
    reader: Callable[[Sequence[int]], StateReader],
    layers: Sequence[int],
    store: StateStore,
    prompts: Sequence[Tokens],
    frame: Frame,
    done: Callable[[], None],
) -> tuple[NDArray[np.float32], int]:
    """The states of each prompt, shape (prompts, layers, 2, width), and of how many they were kept;
    the others are read.

    Args:
        reader: who reads the states behind these layers; not asked where all are kept.
        done: called after each prompt.

    Raises:
        BackendError: a pass failed.
    """
    found, kept = [], 0
    with ExitStack() as opened:
        reading = cache(lambda: opened.enter_context(closing(reader(layers))))
        for prompt in prompts:
            span = frame.text(prompt)
            assert span is not None, "a frame is made of these prompts"
            states = store.get(prompt, span, layers)
            if states is None:
                states = reading().read(prompt, *span)
                store.put(prompt, span, layers, states)
            else:
                kept += 1
            found.append(states)
            done()
    return np.stack(found), kept
