"""SQLite files that survive a kill: opened, checked and written in one way.

Write-ahead log, every statement committed by itself, so that the file is whole at any moment and
holds whatever `execute` returned from. Two processes may write to one file.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

from gateway.core.errors import StoreError

_BUSY_SECONDS = 30.0
_PAUSE_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Kind:
    """What a file of this kind holds, and how it is told from the others."""

    name: str
    schema: str
    """Statements that do nothing where their tables exist."""
    version: int
    application: int = 0
    """SQLite's `application_id`, in the file's header."""
    option: str = ""
    """Of the command line, that names another file."""


class Database:
    """One open file. It may be used from any thread, by one at a time.

    Raises:
        StoreError: the file is of another kind or version, or cannot be read or written.
    """

    def __init__(self, path: Path, kind: Kind) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(
                path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
        except (sqlite3.Error, OSError) as exc:
            raise StoreError(f"{path}: not usable as a {kind.name}: {exc}") from exc
        try:
            self._prepare(kind)
        except sqlite3.Error as exc:
            self._db.close()
            raise StoreError(f"{path}: not usable as a {kind.name}: {exc}") from exc
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        """Close the file. What was written is already on disk."""
        self._db.close()

    def execute(self, statement: str, values: Iterable[Any]) -> None:
        """Carry out one statement and commit it."""
        with self._errors():
            self._db.execute(statement, tuple(values))

    def execute_for_each(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """Carry out one statement for each row, and commit them together: each commit waits for
        the disk."""
        with self._errors():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._db.executemany(statement, rows)
                self._db.execute("COMMIT")
            except BaseException:
                self._db.execute("ROLLBACK")
                raise

    def rows(self, query: str, values: Iterable[Any] = ()) -> list[Any]:
        """All rows of a query, read at once."""
        with self._errors():
            return self._db.execute(query, tuple(values)).fetchall()

    def _prepare(self, kind: Kind) -> None:
        # In this order: whoever is making the same file now marks it before it has a table.
        (tables,) = self._db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        application = self._pragma("application_id")
        version = self._pragma("user_version")
        if tables and application != kind.application:
            raise StoreError(f"{self.path}: a database, but no {kind.name}", hint=_another(kind))
        if version not in (0, kind.version):
            raise StoreError(
                f"{self.path}: written by another version of the gateway ({version})",
                hint=_another(kind),
            )
        self._use_write_ahead_log()
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute(f"PRAGMA application_id = {kind.application}")
        self._db.executescript(kind.schema)
        self._db.execute(f"PRAGMA user_version = {kind.version}")

    def _use_write_ahead_log(self) -> None:
        """SQLite does not wait here while another process writes, whatever its timeout says."""
        for attempt in Retrying(
            retry=retry_if_exception(_is_busy),
            stop=stop_after_delay(_BUSY_SECONDS),
            wait=wait_fixed(_PAUSE_SECONDS),
            reraise=True,
        ):
            with attempt:
                self._db.execute("PRAGMA journal_mode = WAL")

    def _pragma(self, name: str) -> int:
        (value,) = self._db.execute(f"PRAGMA {name}").fetchone()
        return int(value)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as exc:
            raise StoreError(f"{self.path}: {exc}") from exc


def _is_busy(error: BaseException) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(error, sqlite3.OperationalError) and code == sqlite3.SQLITE_BUSY


def _another(kind: Kind) -> str:
    return f"name another file with {kind.option}" if kind.option else "name another file"
