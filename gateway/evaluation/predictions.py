"""From the answers in the store, or in a file, to predictions."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from gateway.core.collecting import uncollected
from gateway.core.columned import column_of, some_of
from gateway.core.errors import ComparisonRefused, DataError
from gateway.core.files import reading_bytes
from gateway.core.json import reader_of
from gateway.core.lists import first_of, part_of
from gateway.core.types import EXACT_SHARE, Answer
from gateway.evaluation.at_once import (
    CLUSTER,
    DIGEST,
    LINES,
    CellsReader,
    Rows,
    read_at_once,
)
from gateway.evaluation.lines import LinesWriter
from gateway.evaluation.record import RecordedCell, RunRecord
from gateway.evaluation.store import Observation, Observations, Store, observed_of
from gateway.scoring.columns import Columns
from gateway.scoring.items import Items, items_of
from gateway.scoring.results import Prediction, Status
from gateway.scoring.rules import Calibrator, ScoreRule
from gateway.scoring.shares import Given, Shares

Predictions = Mapping[str, Sequence[Prediction]]
"""Cell name -> one prediction an item, in order of item id."""


PREDICTIONS = "predictions.jsonl"
"""The file of a run that holds every answer to every item."""


def predictions_of(record: RunRecord, store: Store) -> dict[str, Items]:
    """Every cell's predictions: one cell for each rule where labels were scored.

    Raises:
        DataError: the store lacks an answer that the run consists of.
    """
    known = {c.digest: store.answers(c.digest, c.calibration) for c in record.cells}
    return predictions_from(record, known)


@uncollected()
def predictions_from(
    record: RunRecord, known: Mapping[str, Mapping[str, Observation]]
) -> dict[str, Items]:
    """`predictions_of` answers that were read already.

    Args:
        known: cell digest -> item digest -> what was observed.

    Raises:
        DataError: an answer is lacking that the run consists of.
    """
    made: dict[str, Items] = {}
    order = _order(record)
    for cell in record.cells:
        answers = known[cell.digest]
        keys = cell.keys(record.items)
        if missing := sum(key not in answers for key in keys):
            raise DataError(
                f"{cell.name}: "
                f"{part_of(missing, len(record.items), 'item', 'has', 'have')} no answer yet",
                hint="run the same command again: it goes on where it stopped",
            )
        observed = observed_of(answers, keys)
        for name in names_of(record, cell):
            found = read_all(observed, _calibrator(record, cell, name, answers))
            columns = _columns(record, name, observed, found)
            made[name] = Items(columns.taken(order) if order else columns)
    return made


def baselines_of(record: RunRecord) -> dict[str, list[Prediction]]:
    """The baselines' predictions by cell name."""
    return {
        name: sorted(cell, key=lambda p: p.item_id)
        for name, cell in groupby(record.baselines, key=lambda p: p.cell)
    }


Answers = Mapping[str, Mapping[str, Observation]]
"""Cell name without its rule -> item digest -> what was observed."""


def answers_of(record: RunRecord, store: Store) -> dict[str, Observations]:
    """The observations behind a run."""
    return {c.name: store.answers(c.digest, c.calibration) for c in record.cells}


def predictions_jsonl(record: RunRecord, predictions: Predictions) -> str:
    """One line an item and cell, sorted by cell and item, without a clock."""
    return "".join(predictions_lines(record, predictions))


def predictions_lines(record: RunRecord, predictions: Predictions) -> list[str]:
    """The lines of `predictions_jsonl`, those of each cell together."""
    digests = {item.item_id: item.digest for item in record.items}
    clusters = {item.item_id: item.cluster for item in record.items}
    cells = {**predictions, **baselines_of(record)}
    writer = LinesWriter(digests, clusters)
    return [writer.lines_of(items_of(cells[name]).columns) for name in sorted(cells)]


@dataclass(frozen=True, slots=True)
class SavedPredictions:
    """What a predictions.jsonl holds."""

    cells: Mapping[str, Sequence[Prediction]]
    """By name."""
    digests: Mapping[str, str]
    """Item id -> digest of the item."""
    clusters: Mapping[str, str] = field(default_factory=dict)
    """Item id -> its cluster, of the items that share one."""


@uncollected()
def load_predictions(path: Path) -> SavedPredictions:
    """The predictions in a predictions.jsonl, or in the folder that holds one.

    Raises:
        DataError: the file is absent, or a line is no prediction.
    """
    file = path / PREDICTIONS if path.is_dir() else path
    found, first = CellsReader(), 1
    hint = "name the folder given to gateway run --out"
    with reading_bytes(file, hint=hint) as lines:
        while some := list(islice(lines, LINES)):
            found.add(read_at_once(some) or _read_one_by_one(some, file, first))
            first += len(some)
    return SavedPredictions(found.cells(), found.digests, found.clusters)


def _read_one_by_one(lines: Sequence[bytes], file: Path, first: int) -> Rows:
    """As `read_at_once`.

    Args:
        first: number of the first line, for an error.
    """
    read, predictions, digests, clusters = reader_of(Prediction), [], [], []
    for number, line in enumerate(lines, start=first):
        try:
            raw = _plain(line)
            digests.append(raw.pop(DIGEST))
            clusters.append(str(raw.pop(CLUSTER, "") or ""))
            predictions.append(read(raw))
        except (ValueError, TypeError, KeyError, AttributeError, DataError) as exc:
            raise DataError(f"{file}:{number}: no prediction: {exc}") from exc
    return Rows(Columns.of(predictions), digests, clusters)


def _plain(line: bytes) -> Any:
    """As `json.loads`; pydantic's reader takes half the time, but refuses lone surrogates."""
    try:
        return from_json(line)
    except ValueError:
        return json.loads(line)


def require_same_items(a: SavedPredictions, b: SavedPredictions) -> None:
    """Raise ComparisonRefused where one id stands for two different items."""
    shared = sorted(a.digests.keys() & b.digests.keys())
    if other := [item_id for item_id in shared if a.digests[item_id] != b.digests[item_id]]:
        raise ComparisonRefused(
            f"the runs have one id for two items that are not the same: {first_of(other, 3)}",
            hint="run both cells on the same version of the data",
        )


def names_of(record: RunRecord, cell: RecordedCell) -> list[str]:
    if cell.mode != "score":
        return [cell.name]
    names = [f"{cell.name}/{rule}" for rule in record.rules]
    return [name for name in names if not record.reported or name in record.reported]


def _calibrator(
    record: RunRecord, cell: RecordedCell, name: str, answers: Mapping[str, Observation]
) -> Calibrator | None:
    """The rule in a cell's name, fitted; None where no labels were scored."""
    if cell.mode != "score":
        return None
    rule = ScoreRule(name.removeprefix(f"{cell.name}/"))
    free, dev = record.content_free, cell.dev or record.dev
    return fitted(rule, record.labels, answers, free=free, dev=dev)


def fitted(
    rule: ScoreRule,
    labels: Sequence[str],
    answers: Mapping[str, Observation],
    *,
    free: Iterable[str],
    dev: Iterable[str],
) -> Calibrator:
    """The rule, fitted on a cell's own answers.

    Args:
        free, dev: digests of the content-free inputs, and of the items to fit on.
    """
    free_scores, dev_scores = _scores(answers, free), _scores(answers, dev)
    return Calibrator.fit(rule, labels, content_free=free_scores, dev=dev_scores)


def _scores(answers: Mapping[str, Observation], digests: Iterable[str]) -> list[Observation]:
    found = [answers[d] for d in digests if d in answers]
    return [answer for answer in found if answer.status is Status.OK]


@dataclass(frozen=True, slots=True)
class ReadAnswers:
    """What observations say by a rule: a list a field, shape (observations,) each."""

    status: list[Status]
    answer: list[Answer | None]
    reason: list[str]
    probabilities: Sequence[Given]
    off_by: list[float]
    """As `Calibrator.off_by`."""

    def exact(self, observed: Sequence[Observation]) -> list[bool]:
        """Whether each rests on log-probabilities that are exact, or next to it."""
        return [
            off_by <= EXACT_SHARE if unfinished else exact
            for unfinished, exact, off_by in zip(
                column_of(observed, "unfinished"),
                column_of(observed, "exact"),
                self.off_by,
                strict=True,
            )
        ]


def read_all(observed: Sequence[Observation], calibrator: Calibrator | None) -> ReadAnswers:
    """The answers in observations; where labels were scored, by a rule."""
    status = list(column_of(observed, "status"))
    answer = list(column_of(observed, "answer"))
    reason = list(column_of(observed, "reason"))
    off_by = [0.0] * len(observed)
    if calibrator is None:
        return ReadAnswers(status, answer, reason, [None] * len(observed), off_by)
    places = [at for at, seen in enumerate(status) if seen is Status.OK]
    scored = some_of(observed, places)
    decided, table = calibrator.decided(scored)
    shares = Shares.of_some(calibrator.labels, table, places, len(observed))
    for at, best in zip(places, decided, strict=True):
        answer[at], reason[at] = best, ""
    if any(column_of(scored, "bounds")) or any(column_of(scored, "unfinished")):
        for at, seen, best in zip(places, scored, decided, strict=True):
            if why := calibrator.undecided(seen, best):
                status[at], answer[at], reason[at] = Status.UNPARSED, None, why
                shares.known[at] = False
            else:
                off_by[at] = calibrator.off_by(seen)
    return ReadAnswers(status, answer, reason, shares, off_by)


def _columns(
    record: RunRecord, name: str, observed: Sequence[Observation], found: ReadAnswers
) -> Columns:
    """The predictions of one cell, in the order of the record's items."""
    return Columns(
        cell=[name] * len(observed),
        item_id=[item.item_id for item in record.items],
        status=found.status,
        answer=found.answer,
        gold=[item.gold for item in record.items],
        probabilities=found.probabilities,
        raw_text=column_of(observed, "text"),
        reason=found.reason,
        exact=found.exact(observed),
        prompt_tokens=column_of(observed, "prompt_tokens"),
        completion_tokens=column_of(observed, "completion_tokens"),
        tokens_evaluated=column_of(observed, "tokens_evaluated"),
        fingerprint=column_of(observed, "fingerprint"),
        prompt_digest=column_of(observed, "prompt_digest"),
        off_by=found.off_by,
    )


def _order(record: RunRecord) -> list[int]:
    """Places of the items in the order of their ids; none where they stand so."""
    ids = [item.item_id for item in record.items]
    order = sorted(range(len(ids)), key=ids.__getitem__)
    return [] if order == list(range(len(ids))) else order
