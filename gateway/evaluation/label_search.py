"""Whether a cell's labels are all finished, or searched for the best with a bound on the rest."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import get_args

from gateway.backends.protocol import Backend, SearchesLabels
from gateway.core.digests import digest_json
from gateway.core.errors import ConfigError
from gateway.core.types import LabelSearch, Length, Searching
from gateway.evaluation.predictions import fitted
from gateway.evaluation.store import Observation, Store
from gateway.scoring.rules import BY_LENGTH, ScoreRule

MOST_FINISHED = 20
"""Labels of a task that are all finished: a search of so few saves little."""
_STRONGEST: tuple[Searching, ...] = ("full", "best")
_VERSION = 2
"""Of what a search leaves unfinished."""


def searching(*said: str) -> Searching:
    """What follows from what is said in several places: "full" wherever one says so, else "best"
    wherever one does.

    Raises:
        ConfigError: one says what nobody knows.
    """
    for each in said:
        if each not in get_args(Searching):
            raise ConfigError(
                f"unknown label_search: {each!r}", hint=f"known: {', '.join(get_args(Searching))}"
            )
    return next((each for each in _STRONGEST if each in said), "auto")


def is_searched(
    labels: Sequence[str],
    mode: str,
    backend: Backend,
    wanted: Searching,
) -> bool:
    """Whether a cell's labels are searched: there are many, and that is asked for. It is not the
    default, since probabilities are estimates then."""
    return (
        mode == "score"
        and len(labels) > MOST_FINISHED
        and searching(wanted, backend.spec.label_search) == "best"
        and isinstance(backend, SearchesLabels)
        and backend.searches
    )


def search_for(
    rules: Iterable[ScoreRule],
    labels: Sequence[str],
    answers: Mapping[str, Observation],
    *,
    free: Sequence[str],
    dev: Sequence[str],
) -> LabelSearch:
    """What has to be certain of a cell's labels: the best by each rule, as it is fitted.

    Args:
        answers, free, dev: as `fitted`.
    """
    known: dict[tuple[tuple[float, ...], Length], None] = {}
    for rule in rules:
        offset = fitted(rule, labels, answers, free=free, dev=dev).offset
        known[offset, BY_LENGTH.get(rule, "")] = None
    offsets, lengths = zip(*(known or {((0.0,) * len(labels), ""): None}), strict=True)
    return LabelSearch(offsets, lengths=lengths if any(lengths) else ())


def searched(cell: str, search: LabelSearch) -> str:
    """The digest of a cell whose labels are searched: which are finished depends on the rules."""
    return digest_json({"cell": cell, "label search": _VERSION, **asdict(search)})


def take_whole(store: Store, whole: str, cell: str, items: Iterable[str]) -> int:
    """Keep the answers in which all labels are finished as a search's own, where it has none yet.

    Args:
        whole: the cell's digest where labels are not searched.
        cell: the same where they are.
        items: digests of those that are asked.

    Returns:
        How many were taken.
    """
    lacking = store.finished(whole).intersection(items) - store.finished(cell)
    if not lacking:
        return 0
    known, seconds = store.answers(whole), store.timings(whole)
    for item in sorted(lacking):
        store.put(cell, item, known[item], *seconds[item][:2])
    return len(lacking)
