"""The run store: SQLite in WAL mode, one committed row an answer.

An answer is kept under the identity of what made it (the cell) and of what was asked (the item).
A run that is killed and started again therefore finds what it had done, and so does any other run
that asks the same thing of the same model. Two processes may write to one store.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from operator import attrgetter
from pathlib import Path
from typing import Any, Self

from pydantic_core import from_json

from gateway.core.columned import Columned
from gateway.core.digests import canonical_json
from gateway.core.errors import DataError, StoreError
from gateway.core.json import Strictness, read_json, reader_of
from gateway.core.json_columns import column_reader
from gateway.core.sqlite import Database, Kind
from gateway.scoring.results import Status

_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    cell TEXT NOT NULL,
    item TEXT NOT NULL,
    status TEXT NOT NULL,
    body TEXT NOT NULL,
    latency REAL NOT NULL,
    wall REAL NOT NULL,
    committed TEXT NOT NULL,
    PRIMARY KEY (cell, item)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS runs (
    run_id TEXT PRIMARY KEY,
    task TEXT NOT NULL,
    started TEXT NOT NULL,
    body TEXT NOT NULL
);
"""

_KIND = Kind("run store", _SCHEMA, version=1, option="--store")


@dataclass(frozen=True, slots=True)
class Observation:
    """What a cell said to one item, before any rule turns label scores into an answer."""

    status: Status
    text: str = ""
    """What the model wrote: the answer, or the reasoning before it."""
    reason: str = ""
    answer: str | float | Mapping[str, str] | None = None
    """Read from the text; None where labels were scored instead, or nothing could be read."""
    labels: tuple[str, ...] = ()
    logprobs: tuple[float, ...] = ()
    token_counts: tuple[int, ...] = ()
    byte_counts: tuple[int, ...] = ()
    exact: bool = True
    bounds: tuple[bool, ...] = ()
    """As `LabelScores.bounds`."""
    unfinished: tuple[tuple[int, ...], ...] = ()
    """As `LabelScores.unfinished`."""
    ending: float = 0.0
    """As `LabelScores.ending`."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    tokens_evaluated: int = 0
    reasoning_cut: bool = False
    """The reasoning ran into its budget."""
    thought_cut: bool = False
    """The same of a thought of the model's own, which was then closed."""
    shortened: Mapping[str, tuple[int, int]] | None = None
    """Fields that the template's rule shortened: tokens before and after."""
    exemplars: tuple[str, ...] = ()
    """Ids of the exemplars, in the order shown."""
    said: str | None = None
    """The part of the text that was read: the answer, without the thoughts before it. None: labels
    were scored, or a version before this one has stored it."""
    cut: bool = False
    """What was said ran into its limit of tokens."""
    begun: bool = False
    """The prompt had begun the line that it goes on in."""
    fingerprint: str = ""
    prompt_digest: str = ""
    retries: int = 0
    """How many times a server had to be asked again before it answered."""
    cached_tokens: int | None = field(default=None, compare=False)
    """Of those evaluated, the ones that were in memory already. Measured: it depends on what else
    was asked. None: not known."""


class Observations(Mapping[str, Observation]):
    """Answers of one cell by the key of their item, kept as columns."""

    def __init__(self, keys: Sequence[str], rows: Columned[Observation]) -> None:
        self._places = {key: at for at, key in enumerate(keys)}
        self._rows = rows
        self._last: tuple[Sequence[str], Columned[Observation]] | None = None

    def of(self, keys: Sequence[str]) -> Columned[Observation]:
        """The answers to some items, in the order of these."""
        # The answers to a run's items are asked for again and again.
        if self._last is None or self._last[0] != keys:
            self._last = keys, self._rows.taken(map(self._places.__getitem__, keys))
        return self._last[1]

    def __getitem__(self, key: str) -> Observation:
        return self._rows[self._places[key]]

    def __contains__(self, key: object) -> bool:
        return key in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __or__(self, other: "Observations") -> "Observations":
        """With another's, which go before its own."""
        own = [key for key in self._places if key not in other]
        some, more = self.of(own).columns, other._rows.columns
        rows = Columned(_made, {name: [*some[name], *more[name]] for name in _NAMES})
        return Observations([*own, *other], rows)


IN_MEMORY = Path(":memory:")
"""Of a store that is gone when it is closed."""


class Store:
    """Answers and runs in one file, which is closed when a `with` block ends.

    Raises:
        StoreError: the file is no store, is of another version, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db = Database(path, _KIND)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. What was put is already on disk."""
        self._db.close()

    def put(
        self, cell: str, item: str, observation: Observation, latency: float, wall: float
    ) -> None:
        """Commit one answer. One that stands already stays, unless it had failed.

        Args:
            latency: seconds from asking to the answer.
            wall: seconds since the cell's previous answer; their sum is what the cell took,
                however many items ran side by side.
        """
        body = canonical_json({**asdict(observation), "status": observation.status.value})
        self._db.execute(
            "INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (cell, item) DO UPDATE SET status = excluded.status,"
            " body = excluded.body, latency = excluded.latency, wall = excluded.wall,"
            " committed = excluded.committed WHERE answers.status = 'failed'",
            (cell, item, observation.status.value, body, latency, wall, _now()),
        )

    def answers(self, cell: str, calibration: str = "") -> "Observations":
        """All answers of a cell, by item digest.

        Args:
            calibration: the cell that has the answers which its rules are fitted on, where that is
                another one.
        """
        if calibration:
            return self.answers(calibration) | self.answers(cell)
        rows = self._db.rows("SELECT item, body FROM answers WHERE cell = ?", (cell,))
        name = f"{self.path}: no answer"
        bodies = [body for _, body in rows]
        return Observations([item for item, _ in rows], _observed(bodies, name))

    def finished(self, cell: str) -> set[str]:
        """Digests of the items that need not be asked again: all but the failed ones."""
        query = "SELECT item FROM answers WHERE cell = ? AND status <> 'failed'"
        rows = self._db.rows(query, (cell,))
        return {item for (item,) in rows}

    def seconds(self, cell: str) -> dict[str, tuple[float, float]]:
        """Measured of each answer of a cell, by item digest: latency and wall in seconds."""
        rows = self._db.rows("SELECT item, latency, wall FROM answers WHERE cell = ?", (cell,))
        return {item: (latency, wall) for item, latency, wall in rows}

    def timings(self, cell: str) -> dict[str, tuple[float, float, int | None]]:
        """Measured of each answer of a cell, by item digest: latency and wall in seconds, and
        tokens that were in memory already, None where that is not known."""
        rows = self._db.rows(
            "SELECT item, latency, wall, body FROM answers WHERE cell = ?", (cell,)
        )
        return {item: (latency, wall, _cached_tokens(body)) for item, latency, wall, body in rows}

    def put_run(self, run_id: str, task: str, body: str) -> None:
        """Record what a run consists of; the same run again changes nothing but its time.

        Args:
            body: canonical JSON of it.
        """
        self._db.execute(
            "INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?)",
            (run_id, task, _now(), body),
        )

    def run(self, prefix: str) -> tuple[str, dict[str, Any]]:
        """The run whose id begins with `prefix`: its whole id and its record.

        Raises:
            StoreError: none or several begin so, or the record is no JSON.
        """
        rows = self._db.rows("SELECT run_id, body FROM runs ORDER BY started DESC")
        matching = [row for row in rows if row[0].startswith(prefix)]
        if len(matching) != 1:
            known = ", ".join(row[0] for row in rows[:5]) or "none"
            raise StoreError(
                f"{self.path}: {len(matching)} runs begin with {prefix!r}",
                hint=f"the latest: {known}",
            )
        run_id, body = matching[0]
        try:
            return run_id, json.loads(body)
        except ValueError as exc:
            raise StoreError(f"{self.path}: the record of run {run_id} is damaged: {exc}") from exc


_OF_ANY_VERSION = Strictness(strangers=True)


def _observation(body: str, name: str) -> Observation:
    """An answer as it was put; raises DataError where it is none."""
    try:
        # Takes half the time of `json.loads`, but refuses lone surrogates.
        return _read(from_json(body))
    except (ValueError, DataError):
        return read_json(Observation, body, name, reading=_OF_ANY_VERSION)


def _observed(bodies: Sequence[str], name: str) -> Columned[Observation]:
    """Answers as they were put; raises DataError where one is none."""
    columns: dict[str, list[Any]] = {each: [] for each in _NAMES}
    for start in range(0, len(bodies), _AT_ONCE):
        some = bodies[start : start + _AT_ONCE]
        found = _read_at_once(some)
        if found is None:
            singly = [_observation(body, name) for body in some]
            found = {each: list(map(attrgetter(each), singly)) for each in _NAMES}
        for each in _NAMES:
            columns[each] += found[each]
    return Columned(_made, columns)


def _made(values: Mapping[str, Any]) -> Observation:
    return Observation(**values)


def observed_of(answers: Mapping[str, Observation], keys: Sequence[str]) -> Columned[Observation]:
    """The answers to some items, in the order of these."""
    if isinstance(answers, Observations):
        return answers.of(keys)
    return Columned.of(Observation, [answers[key] for key in keys], _made)


_NAMES = tuple(each.name for each in fields(Observation))
_AT_ONCE = 1_000
"""Answers read at once: few enough to stay in the processor's cache, many enough to be worth it."""
_read = reader_of(Observation, _OF_ANY_VERSION)
_read_at_once = column_reader(Observation, _OF_ANY_VERSION)
_CACHED = re.compile(r'"cached_tokens":(\d+)')


def _cached_tokens(body: str) -> int | None:
    """Found without reading all of the answer. No text of it looks so, since a quotation mark in a
    text is escaped, and no other object in it has a number under a name."""
    known = _CACHED.search(body)
    return int(known[1]) if known else None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
