"""Recorded requests, asked again: of the same model, to see that it answers the same, or of
another, to see how far it differs."""

import difflib
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from gateway.backends.pool import ModelPool
from gateway.backends.protocol import Backend
from gateway.backends.registry import load_models
from gateway.core.concurrency import Counting, for_each, uncounted
from gateway.core.errors import GatewayError
from gateway.core.json import completion_to_json
from gateway.core.recording import Ending, Recording
from gateway.core.types import Completion, GenerationRequest


@dataclass(frozen=True, slots=True)
class Group:
    """Requests that one model answered then and one model was asked now."""

    recorded_model: str
    recorded_fingerprint: str
    model: str
    fingerprint: str
    asked: int
    identical: int
    """Answers whose every byte is the same: text, token ids, log-probabilities, usage, why it
    ended."""
    texts_equal: int
    mean_difference: float | None
    """Over all that were answered now, of `difference`; None where none was."""
    changed: tuple[int, ...]
    """Ids, in the recording, of the requests whose answers are not identical."""
    failures: tuple[tuple[int, str], ...]
    """Those that were not answered now, and why."""
    differing: tuple[str, ...]
    """Parts of the models' identities that differ; empty also where the recording knows none."""

    @property
    def same(self) -> bool:
        """Whether the same model, by fingerprint, answered then and now."""
        return self.fingerprint == self.recorded_fingerprint

    @property
    def broken(self) -> bool:
        """The same model answered otherwise, or a request that was answered then is not now."""
        return bool(self.failures) or (self.same and self.identical < self.asked)


@dataclass(frozen=True, slots=True)
class Replay:
    """All groups, and what was not asked again because it had no answer."""

    groups: tuple[Group, ...]
    failed_then: int
    cancelled_then: int

    @property
    def broken(self) -> bool:
        """Whether any group is."""
        return any(group.broken for group in self.groups)


async def replay_file(
    file: Path,
    *,
    model: str | None = None,
    limit: int | None = None,
    models_file: Path | None = None,
    counting: Counting = uncounted,
) -> Replay:
    """`replay` of a recording that `gateway serve --record` made. Raises as it does."""
    with closing(Recording.existing(file)) as recording:
        names = [model] if model else recording.models(limit)
        models = load_models(models_file).serving(names)
        async with ModelPool(models) as pool:
            with counting(recording.count_answered(limit)) as done:
                return await replay(recording, pool, model=model, limit=limit, on_done=done)


async def replay(
    recording: Recording,
    pool: ModelPool,
    *,
    model: str | None = None,
    limit: int | None = None,
    on_done: Callable[[], None] = lambda: None,
) -> Replay:
    """Ask the answered requests of a recording again, each model's together.

    Args:
        model: who is asked; None: of each request, the model that answered it.
        limit: only the first so many of the recording.
        on_done: called after each request.

    Raises:
        UnknownModel, ModelNotPulled, MissingExtra: of a model that is to be asked; nothing was
            asked then.
        BackendError: a model cannot be loaded.
        DataError: the recording is of another version.
    """
    recorded = recording.models(limit)
    pool.check(model or name for name in recorded)
    groups: list[Group] = []
    for name in recorded:
        async with pool.lease(model or name) as backend:
            tallies = await _ask_all(recording.answered(name, limit), backend, on_done)
            groups += [
                _group(name, fingerprint, tally, backend, recording.identity(fingerprint))
                for fingerprint, tally in sorted(tallies.items())
            ]
    counts = recording.counts()
    return Replay(tuple(groups), counts[Ending.FAILED], counts[Ending.CANCELLED])


def difference(a: str, b: str) -> float:
    """How far two texts differ, over words: 0 equal, 1 no word in common.

    One minus the ratio of Ratcliff and Obershelp (1988): twice the words of the common runs, by
    the words of both.
    """
    if a == b:
        return 0.0
    return 1.0 - difflib.SequenceMatcher(None, a.split(), b.split(), autojunk=False).ratio()


@dataclass(slots=True)
class _Tally:
    """What is counted of requests that one fingerprint answered."""

    asked: int = 0
    texts_equal: int = 0
    differences: float = 0.0
    changed: list[int] = field(default_factory=list)
    failures: list[tuple[int, str]] = field(default_factory=list)

    def count(self, number: int, then: Completion, now: Completion) -> None:
        self.texts_equal += then.text == now.text
        self.differences += difference(then.text, now.text)
        if _bytes(then) != _bytes(now):
            self.changed.append(number)


async def _ask_all(
    rows: Iterator[tuple[int, GenerationRequest, Completion]],
    backend: Backend,
    on_done: Callable[[], None],
) -> dict[str, _Tally]:
    """Ask as many side by side as the backend likes; tallies by the fingerprint that answered."""
    tallies: dict[str, _Tally] = {}

    async def ask(row: tuple[int, GenerationRequest, Completion]) -> None:
        number, request, then = row
        tally = tallies.setdefault(then.fingerprint, _Tally())
        tally.asked += 1
        try:
            now = await backend.generate(replace(request, model=backend.spec.name))
        except GatewayError as error:
            tally.failures.append((number, str(error)))
        else:
            tally.count(number, then, now)
        on_done()

    await for_each(rows, ask, limit=backend.concurrency)
    return tallies


def _group(
    recorded_model: str,
    recorded_fingerprint: str,
    tally: _Tally,
    backend: Backend,
    identity: dict[str, str],
) -> Group:
    answered = tally.asked - len(tally.failures)
    names = sorted(identity.keys() | backend.identity.keys()) if identity else []
    return Group(
        recorded_model=recorded_model,
        recorded_fingerprint=recorded_fingerprint,
        model=backend.spec.name,
        fingerprint=backend.fingerprint,
        asked=tally.asked,
        identical=answered - len(tally.changed),
        texts_equal=tally.texts_equal,
        mean_difference=tally.differences / answered if answered else None,
        changed=tuple(sorted(tally.changed)),
        failures=tuple(sorted(tally.failures)),
        differing=tuple(n for n in names if identity.get(n) != backend.identity.get(n)),
    )


def _bytes(completion: Completion) -> str:
    """All of an answer but whose it is, which the groups tell, and its times."""
    return completion_to_json(replace(completion, fingerprint=""))
