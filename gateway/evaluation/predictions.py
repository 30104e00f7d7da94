"""From the answers in the store, or in a file, to predictions."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from gateway.core.collecting import uncollected
from gateway.core.digests import canonical_json
from gateway.core.errors import ComparisonRefused, DataError
from gateway.core.files import reading_bytes
from gateway.core.json import reader_of
from gateway.core.lists import first_of, part_of
from gateway.core.types import EXACT_SHARE, Answer, LabelScores
from gateway.evaluation.at_once import (
    CLUSTER,
    DIGEST,
    LINES,
    OFF_BY,
    CellsReader,
    Rows,
    read_at_once,
)
from gateway.evaluation.record import RecordedCell, RecordedItem, RunRecord
from gateway.evaluation.store import Observation, Store
from gateway.scoring.columns import Columns
from gateway.scoring.results import Prediction, Status
from gateway.scoring.rules import Calibrator, ScoreRule

Predictions = Mapping[str, Sequence[Prediction]]
"""Cell name -> one prediction an item, in order of item id."""


PREDICTIONS = "predictions.jsonl"
"""The file of a run that holds every answer to every item."""


def predictions_of(record: RunRecord, store: Store) -> dict[str, list[Prediction]]:
    """Every cell's predictions: one cell for each rule where labels were scored.

    Raises:
        DataError: the store lacks an answer that the run consists of.
    """
    known = {c.digest: store.answers(c.digest, c.calibration) for c in record.cells}
    return predictions_from(record, known)


def predictions_from(
    record: RunRecord, known: Mapping[str, Mapping[str, Observation]]
) -> dict[str, list[Prediction]]:
    """`predictions_of` answers that were read already.

    Args:
        known: cell digest -> item digest -> what was observed.

    Raises:
        DataError: an answer is lacking that the run consists of.
    """
    made: dict[str, list[Prediction]] = {}
    for cell in record.cells:
        answers = known[cell.digest]
        missing = [item.item_id for item in record.items if cell.key(item) not in answers]
        if missing:
            raise DataError(
                f"{cell.name}: "
                f"{part_of(len(missing), len(record.items), 'item', 'has', 'have')} no answer yet",
                hint="run the same command again: it goes on where it stopped",
            )
        if cell.mode == "score":
            for name in names_of(record, cell):
                rule = ScoreRule(name.removeprefix(f"{cell.name}/"))
                made[name] = _by_rule(record, cell, name, rule, answers)
        else:
            made[cell.name] = [
                _prediction(cell.name, item, seen, read(seen, None))
                for item in record.items
                for seen in (answers[cell.key(item)],)
            ]
    return {name: sorted(cell, key=lambda p: p.item_id) for name, cell in made.items()}


def baselines_of(record: RunRecord) -> dict[str, list[Prediction]]:
    """The baselines' predictions by cell name."""
    return {
        name: sorted(cell, key=lambda p: p.item_id)
        for name, cell in groupby(record.baselines, key=lambda p: p.cell)
    }


Answers = Mapping[str, Mapping[str, Observation]]
"""Cell name without its rule -> item digest -> what was observed."""


def answers_of(record: RunRecord, store: Store) -> dict[str, dict[str, Observation]]:
    """The observations behind a run."""
    return {c.name: store.answers(c.digest, c.calibration) for c in record.cells}


def predictions_jsonl(record: RunRecord, predictions: Predictions) -> str:
    """One line an item and cell, sorted by cell and item, without a clock."""
    items = {item.item_id: item for item in record.items}
    cells = {**predictions, **baselines_of(record)}
    return "".join(
        _line(prediction, items[prediction.item_id])
        for name in sorted(cells)
        for prediction in cells[name]
    )


def _line(prediction: Prediction, item: RecordedItem) -> str:
    # Not `asdict`, which looks into every value again; none of these changes.
    line = {name: getattr(prediction, name) for name in _FIELDS}
    if not prediction.off_by:
        del line[OFF_BY]
    line[DIGEST] = item.digest
    if item.cluster:
        line[CLUSTER] = item.cluster
    return canonical_json(line) + "\n"


_FIELDS = tuple(each.name for each in fields(Prediction))


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


def _by_rule(
    record: RunRecord,
    cell: RecordedCell,
    name: str,
    rule: ScoreRule,
    answers: Mapping[str, Observation],
) -> list[Prediction]:
    free, dev = record.content_free, cell.dev or record.dev
    calibrator = fitted(rule, record.labels, answers, free=free, dev=dev)
    observed = [answers[cell.key(item)] for item in record.items]
    found = read_all(observed, calibrator)
    return [_prediction(name, *each) for each in zip(record.items, observed, found, strict=True)]


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


def _scores(answers: Mapping[str, Observation], digests: Iterable[str]) -> list[LabelScores]:
    found = [answers[d] for d in digests if d in answers]
    return [answer.scores for answer in found if answer.status is Status.OK]


@dataclass(frozen=True, slots=True)
class ReadAnswer:
    """What an observation says by a rule."""

    status: Status
    answer: Answer | None
    reason: str
    probabilities: Mapping[str, float] | None = None
    off_by: float = 0.0
    """As `Calibrator.off_by`."""


def read(seen: Observation, calibrator: Calibrator | None) -> ReadAnswer:
    """The answer in an observation; where labels were scored, by a rule."""
    if calibrator is None:
        return ReadAnswer(seen.status, seen.answer, seen.reason)
    return read_all([seen], calibrator)[0]


def read_all(observed: Sequence[Observation], calibrator: Calibrator) -> list[ReadAnswer]:
    """The answers in observations of scored labels."""
    scored = [each.scores for each in observed if each.status is Status.OK]
    probabilities = calibrator.all_probabilities(scored)
    by_rule = iter(zip(scored, probabilities, strict=True))
    return [
        _by_scores(*next(by_rule), calibrator)
        if each.status is Status.OK
        else ReadAnswer(each.status, each.answer, each.reason)
        for each in observed
    ]


def _by_scores(
    scores: LabelScores, probabilities: Mapping[str, float], calibrator: Calibrator
) -> ReadAnswer:
    best = calibrator.best(probabilities)
    if reason := calibrator.undecided(scores, best):
        return ReadAnswer(Status.UNPARSED, None, reason)
    return ReadAnswer(Status.OK, best, "", probabilities, calibrator.off_by(scores))


def _prediction(
    name: str, item: RecordedItem, answer: Observation, found: ReadAnswer
) -> Prediction:
    return Prediction(
        cell=name,
        item_id=item.item_id,
        status=found.status,
        answer=found.answer,
        gold=item.gold,
        probabilities=found.probabilities,
        raw_text=answer.text,
        reason=found.reason,
        exact=found.off_by <= EXACT_SHARE if answer.unfinished else answer.exact,
        off_by=found.off_by,
        prompt_tokens=answer.prompt_tokens,
        completion_tokens=answer.completion_tokens,
        tokens_evaluated=answer.tokens_evaluated,
        fingerprint=answer.fingerprint,
        prompt_digest=answer.prompt_digest,
    )
