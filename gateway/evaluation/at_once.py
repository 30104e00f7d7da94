"""Lines of a predictions.jsonl, some hundreds read at once into columns.

What the gateway writes has every key in every line, and a column holds values of few types: that
is looked at column by column. Lines that are otherwise in any way are left to the reader of single
lines, which also reads what older versions wrote and says which line is wrong.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, groupby
from operator import itemgetter
from types import NoneType
from typing import Any

from pydantic_core import from_json

from gateway.scoring.columns import NAMES, Columns
from gateway.scoring.items import Items
from gateway.scoring.results import Status

LINES = 1_000
"""Read at once: few enough to stay in the processor's cache, many enough to be worth it."""

DIGEST, CLUSTER = "item_digest", "cluster"
"""What a line has beside the fields of a prediction; a cluster only where items share one."""
OFF_BY = "off_by"
"""A field that only lines of searched labels have; elsewhere it is zero."""

_TEXT, _COUNT, _NUMBER = frozenset({str}), frozenset({int}), frozenset({float, int})
_ANSWER: frozenset[type] = frozenset((str, float, int, dict, NoneType))
_TYPES: Mapping[str, frozenset[type]] = {
    "cell": _TEXT,
    "item_id": _TEXT,
    "status": _TEXT,
    "answer": _ANSWER,
    "gold": _ANSWER,
    "probabilities": frozenset((dict, NoneType)),
    "raw_text": _TEXT,
    "reason": _TEXT,
    "exact": frozenset({bool}),
    "prompt_tokens": _COUNT,
    "completion_tokens": _COUNT,
    "tokens_evaluated": _COUNT,
    "fingerprint": _TEXT,
    "prompt_digest": _TEXT,
    OFF_BY: _NUMBER,
}
"""As JSON has them; a subclass is none of them, so that true is no count."""
_STATUSES = {str(each): each for each in Status}
_ALWAYS = tuple(name for name in NAMES if name != OFF_BY)
_row: Callable[[Any], tuple[Any, ...]] = itemgetter(*_ALWAYS, DIGEST)


@dataclass(frozen=True, slots=True)
class Rows:
    """What lines say, column by column."""

    columns: Columns
    digests: Sequence[str]
    clusters: Sequence[str]
    """Empty where an item is of none."""


def read_at_once(lines: Sequence[bytes]) -> Rows | None:
    """The predictions in some lines; None: they are to be read one by one."""
    try:
        raw = list(map(from_json, lines))
        *columns, digests = zip(*map(_row, raw), strict=True)
    except (ValueError, KeyError, TypeError):
        return None
    found: dict[str, Any] = dict(zip(_ALWAYS, columns, strict=True))
    least = len(_ALWAYS) + 1
    if set(map(len, raw)) == {least}:
        found[OFF_BY], clusters = (0.0,) * len(raw), [""] * len(raw)
    elif all(len(each) == least + (CLUSTER in each) + (OFF_BY in each) for each in raw):
        found[OFF_BY] = tuple(each.get(OFF_BY, 0.0) for each in raw)
        clusters = [str(each.get(CLUSTER) or "") for each in raw]
    else:
        return None
    statuses = list(map(_STATUSES.get, found["status"])) if _as_written(found) else [None]
    if None in statuses:
        return None
    return Rows(Columns(**{**found, "status": statuses}), digests, clusters)


def _as_written(columns: Mapping[str, Sequence[Any]]) -> bool:
    """Whether every value has a type that its column may have."""
    if not all(_TYPES[name].issuperset(map(type, column)) for name, column in columns.items()):
        return False
    fields = chain(_objects(columns["answer"]), _objects(columns["gold"]))
    return _are(fields, _TEXT) and _are(_objects(columns["probabilities"]), _NUMBER)


def _objects(column: Sequence[Any]) -> Iterable[dict[str, Any]]:
    return (each for each in column if type(each) is dict)


def _are(objects: Iterable[dict[str, Any]], types: frozenset[type]) -> bool:
    return types.issuperset(map(type, chain.from_iterable(map(dict.values, objects))))


@dataclass(frozen=True, slots=True)
class CellsReader:
    """Rows, gathered by their cell."""

    digests: dict[str, str] = field(default_factory=dict)
    clusters: dict[str, str] = field(default_factory=dict)
    _cells: dict[str, tuple[list[Any], ...]] = field(default_factory=dict)
    _texts: dict[str, str] = field(default_factory=dict)

    def add(self, rows: Rows) -> None:
        """Some more, of one cell or of several."""
        columns, begin = self._with_equal_texts_shared(rows.columns), 0
        ids = columns[NAMES.index("item_id")]
        self.digests.update(zip(ids, rows.digests, strict=True))
        self.clusters.update((i, c) for i, c in zip(ids, rows.clusters, strict=True) if c)
        for name, count in _runs(rows.columns.cell):
            into = self._cells.setdefault(name, tuple([] for _ in NAMES))
            for whole, column in zip(into, columns, strict=True):
                whole += column[begin : begin + count]
            begin += count

    def cells(self) -> dict[str, Items]:
        """By name, in the order of their first lines."""
        return {name: Items(Columns(*columns)) for name, columns in self._cells.items()}

    def _with_equal_texts_shared(self, columns: Columns) -> list[Sequence[Any]]:
        """With one object for all equal texts, so that to find two equal is a look at each."""
        every = zip(NAMES, columns.all(), strict=True)
        return [self._shared(column) if name in _OF_MANY else column for name, column in every]

    def _shared(self, column: Sequence[Any]) -> list[Any]:
        same = self._texts.setdefault
        if set(map(type, column)) == {str}:
            return list(map(same, column, column))
        return [same(each, each) if type(each) is str else each for each in column]


def _runs(names: Sequence[str]) -> list[tuple[str, int]]:
    """Each name, and how often it stands there one after the other."""
    if names.count(names[0]) == len(names):
        return [(names[0], len(names))]
    return [(name, sum(1 for _ in run)) for name, run in groupby(names)]


_OF_MANY = ("cell", "item_id", "gold", "answer", "fingerprint")
"""Texts that many predictions have in common."""
