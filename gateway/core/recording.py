"""A file of requests and their answers, as a server saw them: what `gateway replay` asks again.

One committed row a generation, written before its answer is sent. The prompts are in it, so only
its owner may read it.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from gateway.core.digests import canonical_json
from gateway.core.errors import StoreError
from gateway.core.json import (
    completion_from_json,
    completion_to_json,
    request_from_json,
    request_to_json,
)
from gateway.core.sqlite import Database, Kind
from gateway.core.types import Completion, GenerationRequest

_SCHEMA = """
CREATE TABLE IF NOT EXISTS generations (
    id INTEGER PRIMARY KEY,
    asked TEXT NOT NULL,
    exchange TEXT NOT NULL,
    model TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    status TEXT NOT NULL,
    error TEXT NOT NULL,
    request TEXT NOT NULL,
    completion TEXT
);
CREATE INDEX IF NOT EXISTS generations_by_status ON generations (status, id);
CREATE TABLE IF NOT EXISTS identities (
    fingerprint TEXT PRIMARY KEY,
    identity TEXT NOT NULL
);
"""

_KIND = Kind("recording", _SCHEMA, version=1, application=0x67775245, option="--record")

_PAGE = 256
"""Rows read at once."""


class Ending(Enum):
    """What became of a generation."""

    ANSWERED = "answered"
    FAILED = "failed"
    """By an error, which the record holds."""
    CANCELLED = "cancelled"
    """Its client went away, or its deadline passed."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One generation."""

    asked: str
    """When the request reached the model: ISO 8601, UTC."""
    exchange: str
    """Id of the HTTP request; one with `n` answers is several generations."""
    fingerprint: str
    """Of the model that answered, or should have."""
    request: GenerationRequest
    ending: Ending
    completion: Completion | None = None
    """Of an answered one; without its times."""
    error: str = ""


class Recording:
    """Generations in one file, in the order in which they ended.

    Raises:
        StoreError: the file is no recording, is of another version, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600, exist_ok=True)
        except OSError as exc:
            raise StoreError(f"{path}: cannot be written: {exc.strerror}") from exc
        self.path = path
        self._db = Database(path, _KIND)

    @classmethod
    def existing(cls, path: Path) -> "Recording":
        """One that must be there already.

        Raises:
            StoreError: it is not, or as the class says.
        """
        if not path.is_file():
            raise StoreError(f"{path}: no such file", hint="gateway serve --record writes one")
        return cls(path)

    def close(self) -> None:
        """Close the file. What was added is already on disk."""
        self._db.close()

    def add_identity(self, fingerprint: str, identity: Mapping[str, str]) -> None:
        """Keep what a fingerprint is the digest of, once."""
        self._db.execute(
            "INSERT OR IGNORE INTO identities VALUES (?, ?)",
            (fingerprint, canonical_json(dict(identity))),
        )

    def add(self, recorded: Recorded) -> None:
        """Commit one generation."""
        done = recorded.completion
        self._db.execute(
            "INSERT INTO generations"
            " (asked, exchange, model, fingerprint, status, error, request, completion)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                recorded.asked,
                recorded.exchange,
                recorded.request.model,
                recorded.fingerprint,
                recorded.ending.value,
                # An error may cite what the client sent; SQLite takes no lone surrogates.
                recorded.error.encode(errors="backslashreplace").decode(),
                request_to_json(recorded.request),
                None if done is None else completion_to_json(done),
            ),
        )

    def counts(self) -> dict[Ending, int]:
        """How many generations ended in each way."""
        found = dict(self._db.rows("SELECT status, count(*) FROM generations GROUP BY status"))
        return {ending: found.get(ending.value, 0) for ending in Ending}

    def count_answered(self, limit: int | None = None) -> int:
        """How many answered requests there are, at most `limit`."""
        answered = self.counts()[Ending.ANSWERED]
        return answered if limit is None else min(answered, limit)

    def models(self, limit: int | None = None) -> list[str]:
        """Who answered the first `limit` answered requests, by name."""
        rows = self._db.rows(
            "SELECT DISTINCT model FROM"
            " (SELECT model FROM generations WHERE status = 'answered' ORDER BY id LIMIT ?)"
            " ORDER BY model",
            (-1 if limit is None else limit,),
        )
        return [model for (model,) in rows]

    def answered(
        self, model: str, limit: int | None = None
    ) -> Iterator[tuple[int, GenerationRequest, Completion]]:
        """A model's requests and answers with their ids, of the first `limit` of all models'.

        Read a page at a time, so that a long recording does not have to fit in memory.
        """
        last = 0
        until = self._last_id(limit)
        while True:
            rows = list(
                self._db.rows(
                    "SELECT id, request, completion FROM generations WHERE status = 'answered'"
                    " AND model = ? AND id > ? AND id <= ? ORDER BY id LIMIT ?",
                    (model, last, until, _PAGE),
                )
            )
            for number, request, completion in rows:
                last = number
                yield number, request_from_json(request), completion_from_json(completion)
            if not rows:
                return

    def endings(self) -> Iterator[tuple[str, Ending, str]]:
        """Of every generation: the HTTP request's id, how it ended, and its error."""
        for exchange, status, error in self._db.rows(
            "SELECT exchange, status, error FROM generations ORDER BY id"
        ):
            yield exchange, Ending(status), error

    def identity(self, fingerprint: str) -> dict[str, str]:
        """What a fingerprint is the digest of; empty where nothing was kept."""
        query = "SELECT identity FROM identities WHERE fingerprint = ?"
        for (identity,) in self._db.rows(query, (fingerprint,)):
            return dict(json.loads(identity))
        return {}

    def _last_id(self, limit: int | None) -> int:
        """Id of the last of the first `limit` answered generations."""
        query = (
            "SELECT max(id) FROM"
            " (SELECT id FROM generations WHERE status = 'answered' ORDER BY id LIMIT ?)"
        )
        for (last,) in self._db.rows(query, (-1 if limit is None else limit,)):
            return int(last or 0)
        return 0
