"""The vectors of many texts, kept on disk by text and encoder, so that a text is encoded once."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gateway.backends.encoder import Embedding, Encoder, embed
from gateway.core.concurrency import Counting, uncounted
from gateway.core.digests import digest_text
from gateway.core.sqlite import Database, Kind

MOST_BYTES = 1 << 30
"""That the vectors of all encoders together may take on disk; the oldest are forgotten first."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS embeddings (
    number INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    cut INTEGER NOT NULL,
    vector BLOB NOT NULL
);
"""
_KIND = Kind("store of embeddings", _SCHEMA, version=1)


class EmbeddingStore:
    """Embeddings by encoder and text.

    Raises:
        StoreError: the file is of another kind, or cannot be read or written.
    """

    def __init__(self, path: Path, encoder: Encoder) -> None:
        self._of = f"{encoder.digest}:{encoder.most_tokens}:"
        self._file = Database(path, _KIND)

    def close(self) -> None:
        """Forget the oldest where there are too many, and close the file."""
        self._file.execute(
            "DELETE FROM embeddings WHERE number IN (SELECT number FROM (SELECT number, "
            "sum(length(vector)) OVER (ORDER BY number DESC) AS size FROM embeddings) "
            "WHERE size > ?)",
            [MOST_BYTES],
        )
        self._file.close()

    def get(self, text: str) -> Embedding | None:
        """What is known of a text; None: nothing."""
        query = "SELECT cut, vector FROM embeddings WHERE key = ?"
        for cut, blob in self._file.rows(query, [self._key(text)]):
            return Embedding(np.frombuffer(blob, dtype="<f4"), bool(cut))
        return None

    def put(self, text: str, found: Embedding) -> None:
        """Keep what was made of a text."""
        self._file.execute(
            "INSERT OR REPLACE INTO embeddings (key, cut, vector) VALUES (?, ?, ?)",
            [self._key(text), int(found.cut), found.vector.astype("<f4").tobytes()],
        )

    def _key(self, text: str) -> str:
        return digest_text(self._of + text)


def embeddings(
    encoder: Encoder,
    texts: Sequence[str],
    path: Path,
    counting: Counting = uncounted,
    *,
    threads: int,
) -> list[Embedding]:
    """The embedding of each text; encoded where it is not kept, and kept then.

    Args:
        path: of the store.
        counting: of the texts that are encoded now; nothing is loaded where there are none.

    Raises:
        MissingExtra, ModelLoadError: as `embed`.
        StoreError: as `EmbeddingStore`.
    """
    with closing(EmbeddingStore(path, encoder)) as store:
        known = {text: store.get(text) for text in texts}
        new = [text for text, found in known.items() if found is None]
        if new:
            known.update(_made(encoder, new, store, counting, threads))
    return [found for text in texts if (found := known[text]) is not None]


def _made(
    encoder: Encoder, texts: Sequence[str], store: EmbeddingStore, counting: Counting, threads: int
) -> Iterator[tuple[str, Embedding]]:
    """Each is kept as it comes, so that what is interrupted goes on where it was."""
    with counting(len(texts)) as done:
        for text, found in zip(texts, embed(encoder, texts, done, threads=threads), strict=True):
            store.put(text, found)
            yield text, found


def matrix(found: Sequence[Embedding]) -> NDArray[np.float64]:
    """Their vectors, shape (texts, width)."""
    return np.array([each.vector for each in found], dtype=np.float64)
