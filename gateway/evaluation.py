"""From stored answers to a report: rules, scores, comparisons, verdicts.

Everything here is a function of a `RunRecord` and of the answers it names, without a clock and
without a model, so that a report can be made again at any time and gives the same bytes.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any, cast

from gateway.baselines import verdicts
from gateway.calibration import Calibrator, ScoreRule
from gateway.certificates import Level
from gateway.comparison import compare, shown_answer
from gateway.errors import ComparisonRefused, DataError
from gateway.identity import canonical_json, digest_json
from gateway.metrics import LOWER_IS_BETTER, metric_name
from gateway.results import (
    CellScore,
    CellTimings,
    Comparison,
    Disagreement,
    Prediction,
    Report,
    Status,
    TaskKind,
)
from gateway.scoring import TimedItem, is_right, score_cell, timings
from gateway.store import Observation, Store
from gateway.types import Answer, LabelScores

Predictions = Mapping[str, Sequence[Prediction]]
"""Cell name -> one prediction an item, in order of item id."""

PREDICTIONS = "predictions.jsonl"
"""The file of a run that holds every answer to every item."""

MOST_DISAGREEMENTS = 60
"""How many items a report lists on which the cells disagree."""


@dataclass(frozen=True, slots=True)
class RecordedItem:
    """A test item, as far as a report needs it."""

    item_id: str
    digest: str
    gold: Answer | None
    excerpt: str


@dataclass(frozen=True, slots=True)
class RecordedCell:
    """A cell, as far as a report needs it."""

    name: str
    model: str
    strategy: str
    digest: str
    mode: str
    fingerprint: str
    warnings: tuple[str, ...] = ()
    level: str = Level.UNVERIFIED.value
    """Of determinism: what `gateway certify` had measured when the run ended."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What a run consists of. Kept in the store beside the answers."""

    task: str
    kind: TaskKind
    primary_metric: str
    labels: tuple[str, ...]
    rules: tuple[str, ...]
    seed: int
    items: tuple[RecordedItem, ...]
    dev: tuple[str, ...]
    """Digests of the items on which batch calibration is fitted."""
    content_free: tuple[str, ...]
    """Digests of the content-free inputs."""
    cells: tuple[RecordedCell, ...]
    baselines: tuple[Prediction, ...]
    settings: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    reported: tuple[str, ...] = ()
    """Names of the cells that were asked for, each with its rule, where not every cell is read by
    every rule; empty: all."""

    @property
    def run_id(self) -> str:
        """Twelve digits of the digest of all this: the same run has the same id."""
        return digest_json(self.to_json())[:12]

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        raw = cast(dict[str, Any], json.loads(canonical_json(asdict(self))))
        # What was not there when older runs were stored must not change their ids.
        if not self.reported:
            del raw["reported"]
        return raw

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "RunRecord":
        """The inverse of `to_json`."""
        return cls(
            **{
                **raw,
                "labels": tuple(raw["labels"]),
                "rules": tuple(raw["rules"]),
                "items": tuple(RecordedItem(**item) for item in raw["items"]),
                "dev": tuple(raw["dev"]),
                "content_free": tuple(raw["content_free"]),
                "cells": tuple(
                    RecordedCell(**{**cell, "warnings": tuple(cell["warnings"])})
                    for cell in raw["cells"]
                ),
                "baselines": tuple(prediction_from_json(p) for p in raw["baselines"]),
                "warnings": tuple(raw["warnings"]),
                "reported": tuple(raw.get("reported", ())),
            }
        )


def predictions_of(record: RunRecord, store: Store) -> dict[str, list[Prediction]]:
    """Every cell's predictions: one cell for each rule where labels were scored.

    Raises:
        DataError: the store lacks an answer that the run consists of.
    """
    return predictions_from(record, {c.digest: store.answers(c.digest) for c in record.cells})


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
        missing = [item.item_id for item in record.items if item.digest not in answers]
        if missing:
            raise DataError(
                f"{cell.name}: {len(missing)} of {len(record.items)} items have no answer yet",
                hint="run the same command again: it goes on where it stopped",
            )
        if cell.mode == "score":
            for name in _names(record, cell):
                rule = ScoreRule(name.removeprefix(f"{cell.name}/"))
                made[name] = _by_rule(record, name, rule, answers)
        else:
            made[cell.name] = [
                _prediction(cell.name, item, answers[item.digest], None) for item in record.items
            ]
    return {name: sorted(cell, key=lambda p: p.item_id) for name, cell in made.items()}


def baselines_of(record: RunRecord) -> dict[str, list[Prediction]]:
    """The baselines' predictions by cell name."""
    return {
        name: sorted(cell, key=lambda p: p.item_id)
        for name, cell in groupby(record.baselines, key=lambda p: p.cell)
    }


def evaluate(record: RunRecord, predictions: Predictions, answers: "Answers") -> Report:
    """Score, compare and summarise."""
    baselines = baselines_of(record)
    cells = [_scored(record, name, cell, baselines, answers) for name, cell in predictions.items()]
    cells += [
        score_cell(name, "baseline", record.kind, record.labels, cell, seed=record.seed)
        for name, cell in baselines.items()
    ]
    best = _best(record, [cell for cell in cells if cell.kind == "model"])
    comparisons = _comparisons(record, predictions, best)
    return Report(
        run_id=record.run_id,
        task=record.task,
        kind=record.kind,
        primary_metric=record.primary_metric,
        n=len(record.items),
        labels=record.labels,
        settings=record.settings,
        cells=tuple(cells),
        comparisons=comparisons,
        disagreements=_disagreements(record, predictions),
        summary=_summary(record, cells, best, comparisons),
        warnings=_warnings(record, cells, answers),
    )


Answers = Mapping[str, Mapping[str, Observation]]
"""Cell name without its rule -> item digest -> what was observed."""


def answers_of(record: RunRecord, store: Store) -> dict[str, dict[str, Observation]]:
    """The observations behind a run."""
    return {cell.name: store.answers(cell.digest) for cell in record.cells}


def timings_of(record: RunRecord, store: Store, predictions: Predictions) -> list[CellTimings]:
    """Measured seconds of each cell; cells that differ by their rule only share them."""
    found = []
    for cell in record.cells:
        seconds = store.timings(cell.digest)
        for name in _names(record, cell):
            rights = {p.item_id: p for p in predictions[name]}
            rows = []
            for item in record.items:
                prediction = rights[item.item_id]
                latency, wall = seconds[item.digest]
                tokens = prediction.prompt_tokens + prediction.completion_tokens
                right = is_right(prediction, record.kind)
                rows.append(TimedItem(latency, wall, tokens, right))
            found.append(timings(name, rows))
    return found


def predictions_jsonl(record: RunRecord, predictions: Predictions) -> str:
    """One line an item and cell, sorted by cell and item, without a clock."""
    digests = {item.item_id: item.digest for item in record.items}
    lines = []
    for name in sorted({**predictions, **baselines_of(record)}):
        for prediction in {**predictions, **baselines_of(record)}[name]:
            line = {**asdict(prediction), "item_digest": digests[prediction.item_id]}
            lines.append(canonical_json(line))
    return "".join(line + "\n" for line in lines)


def load_predictions(path: Path) -> dict[str, list[Prediction]]:
    """Predictions by cell name, from a predictions.jsonl or the folder that holds one.

    The digest of each item stands in for its id, so that items of other data never match.

    Raises:
        DataError: the file is absent, or a line is no prediction.
    """
    file = path / PREDICTIONS if path.is_dir() else path
    found: dict[str, list[Prediction]] = {}
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise DataError(
            f"{file}: can not be read: {exc}", hint="name the folder given to gateway run --out"
        ) from exc
    for number, line in enumerate(lines, start=1):
        try:
            raw = json.loads(line)
            digest = raw.pop("item_digest")
            prediction = prediction_from_json(raw)
        except (ValueError, TypeError, KeyError, AttributeError) as exc:
            raise DataError(f"{file}:{number}: no prediction: {exc}") from exc
        shown = replace(prediction, item_id=f"{prediction.item_id} ({digest[:12]})")
        found.setdefault(prediction.cell, []).append(shown)
    return found


def prediction_from_json(raw: Mapping[str, Any]) -> Prediction:
    """The inverse of `dataclasses.asdict` on a prediction."""
    return Prediction(**{**raw, "status": Status(raw["status"])})


def better(metric: str, a: float, b: float) -> bool:
    """Whether value `a` of the metric is better than `b`."""
    return a < b if metric in LOWER_IS_BETTER else a > b


def _names(record: RunRecord, cell: RecordedCell) -> list[str]:
    if cell.mode != "score":
        return [cell.name]
    names = [f"{cell.name}/{rule}" for rule in record.rules]
    return [name for name in names if not record.reported or name in record.reported]


def _by_rule(
    record: RunRecord, name: str, rule: ScoreRule, answers: Mapping[str, Observation]
) -> list[Prediction]:
    calibrator = Calibrator.fit(
        rule,
        record.labels,
        content_free=_scores(answers, record.content_free),
        dev=_scores(answers, record.dev),
    )
    return [_prediction(name, item, answers[item.digest], calibrator) for item in record.items]


def _scores(answers: Mapping[str, Observation], digests: Iterable[str]) -> list[LabelScores]:
    found = [answers[d] for d in digests if d in answers]
    return [answer.scores for answer in found if answer.status is Status.OK]


def _prediction(
    name: str, item: RecordedItem, answer: Observation, calibrator: Calibrator | None
) -> Prediction:
    probabilities = None
    read: Answer | None = answer.answer
    status, reason = answer.status, answer.reason
    if calibrator is not None and answer.status is Status.OK:
        probabilities = calibrator.probabilities(answer.scores)
        read = calibrator.best(probabilities)
        if reason := calibrator.undecided(answer.scores, str(read)):
            status, read, probabilities = Status.UNPARSED, None, None
    return Prediction(
        cell=name,
        item_id=item.item_id,
        status=status,
        answer=read,
        gold=item.gold,
        probabilities=probabilities,
        raw_text=answer.text,
        reason=reason,
        exact=answer.exact,
        prompt_tokens=answer.prompt_tokens,
        completion_tokens=answer.completion_tokens,
        tokens_evaluated=answer.tokens_evaluated,
        fingerprint=answer.fingerprint,
        prompt_digest=answer.prompt_digest,
    )


def _scored(
    record: RunRecord,
    name: str,
    predictions: Sequence[Prediction],
    baselines: Predictions,
    answers: Answers,
) -> CellScore:
    cell = next(c for c in record.cells if name in _names(record, c))
    score = score_cell(
        name,
        "model",
        record.kind,
        record.labels,
        predictions,
        seed=record.seed,
        details=_details(record, cell, name, answers[cell.name]),
    )
    said = verdicts(
        predictions,
        baselines,
        task_kind=record.kind,
        labels=record.labels,
        metric=record.primary_metric,
        seed=record.seed,
    )
    return replace(score, verdicts=said)


def _details(
    record: RunRecord, cell: RecordedCell, name: str, answers: Mapping[str, Observation]
) -> dict[str, str]:
    observed = [answers[item.digest] for item in record.items]
    n = len(observed)
    details = {
        "model": cell.model,
        "strategy": cell.strategy,
        "mode": cell.mode,
        "level": cell.level,
        "fingerprint": cell.fingerprint,
    }
    if cell.mode == "score":
        details["rule"] = name.rsplit("/", 1)[1]
    if cut := sum(o.reasoning_cut for o in observed):
        details["reasoning cut at its budget"] = f"{cut} of {n}"
    for shortened in sorted({f for o in observed for f in o.shortened or ()}):
        count = sum(shortened in (o.shortened or ()) for o in observed)
        details[f"{shortened} shortened"] = f"{count} of {n}"
    return details


def _best(record: RunRecord, cells: Sequence[CellScore]) -> CellScore | None:
    """The model cell with the best primary metric; the first of equals."""
    best = None
    for cell in cells:
        metric = cell.metrics.get(record.primary_metric)
        if metric is None:
            continue
        if best is None or better(
            record.primary_metric, metric.value, best.metrics[record.primary_metric].value
        ):
            best = cell
    return best


def _comparisons(
    record: RunRecord, predictions: Predictions, best: CellScore | None
) -> tuple[Comparison, ...]:
    """The best cell against each other one."""
    if best is None:
        return ()
    made = []
    for name, cell in predictions.items():
        if name != best.name:
            try:
                made.append(
                    compare(
                        predictions[best.name],
                        cell,
                        task_kind=record.kind,
                        labels=record.labels,
                        metric=record.primary_metric,
                        seed=record.seed,
                    )
                )
            except ComparisonRefused:
                continue  # A cell that answered nothing has no metric; its row says so.
    return tuple(made)


def _disagreements(record: RunRecord, predictions: Predictions) -> tuple[Disagreement, ...]:
    found = []
    by_item = {
        name: {p.item_id: shown_answer(p) for p in cell} for name, cell in predictions.items()
    }
    for item in sorted(record.items, key=lambda i: i.item_id):
        answers = {name: cell[item.item_id] for name, cell in by_item.items()}
        if len(set(answers.values())) > 1:
            gold = shown_answer(Prediction("", item.item_id, Status.OK, item.gold, item.gold))
            found.append(Disagreement(item.item_id, gold, item.excerpt, answers))
    return tuple(found[:MOST_DISAGREEMENTS])


def _summary(
    record: RunRecord,
    cells: Sequence[CellScore],
    best: CellScore | None,
    comparisons: Sequence[Comparison],
) -> tuple[str, ...]:
    if best is None:
        return (f"No cell has a {metric_name(record.primary_metric)}: nothing was answered.",)
    metric = best.metrics[record.primary_metric]
    value = f"{metric.value:.3f}"
    if metric.low is not None and metric.high is not None:
        value += f" (95% interval {metric.low:.3f} to {metric.high:.3f})"
    name = metric_name(record.primary_metric)
    said = [f"Best here: {best.name}, {name} {value}, n = {len(record.items)}."]
    if comparisons:
        said.append(_certainty(best.name, comparisons))
    said += [f"{best.name}: {verdict}" for verdict in best.verdicts]
    if any(cell.kind == "baseline" for cell in cells):
        beaten = [
            c.name
            for c in cells
            if c.kind == "model" and not all(v.startswith("Beats") for v in c.verdicts)
        ]
        if beaten:
            count = f"{len(beaten)} of {sum(c.kind == 'model' for c in cells)}"
            said.append(f"Cells that do not beat every baseline: {count}.")
    return (*said, _what_follows(record, cells, best))


def _what_follows(record: RunRecord, cells: Sequence[CellScore], best: CellScore) -> str:
    """For somebody who reads one sentence."""
    rival = _best(record, [cell for cell in cells if cell.kind == "baseline"])
    if rival is None:
        return (
            "What follows: nothing yet, since no baseline shows what can be had without a model; "
            "--train adds them, and they cost no tokens."
        )
    if all(verdict.startswith("Beats") for verdict in best.verdicts):
        return f"What follows: {best.name} is worth its tokens; what costs none is worse."
    if any(verdict.startswith("Does not beat") for verdict in best.verdicts):
        return (
            f"What follows: no prompt here is worth its tokens, since {rival.name} costs none and "
            "is better; a larger model, or this one tuned, would have to beat it."
        )
    return (
        f"What follows: {len(record.items)} items do not show that {best.name} is worth its "
        f"tokens; {rival.name} costs none, and more items may tell the two apart."
    )


def _certainty(best: str, comparisons: Sequence[Comparison]) -> str:
    """Which other cells the best one is told apart from."""
    open_ = [c.b for c in comparisons if not _decided(c)]
    if not open_:
        return f"Its lead over each of the other {len(comparisons)} cells excludes zero."
    return (
        f"Its lead excludes zero over {len(comparisons) - len(open_)} of {len(comparisons)} "
        f"other cells; not told apart from: {', '.join(open_)}. It was picked as the best on "
        "these very items, which flatters it."
    )


def _decided(comparison: Comparison) -> bool:
    low, high = comparison.difference.low, comparison.difference.high
    return low is not None and high is not None and (low > 0 or high < 0)


def _warnings(record: RunRecord, cells: Sequence[CellScore], answers: "Answers") -> tuple[str, ...]:
    said = list(record.warnings)
    for cell in record.cells:
        said += [w for w in cell.warnings if w not in said]
    if len(record.items) < 30:
        said.append(f"Only {len(record.items)} items: an interval from so few can mislead.")
    for scored in cells:
        failed = scored.statuses.get(Status.FAILED.value, 0)
        if failed:
            said.append(f"{scored.name}: {failed} items failed; run again to ask them again.")
        if not scored.exact:
            said.append(f"{scored.name}: some log-probabilities are bounds, not exact.")
    for name, observed in answers.items():
        asked = (observed[item.digest] for item in record.items if item.digest in observed)
        if again := sum(answer.retries > 0 for answer in asked):
            said.append(f"{name}: {again} answers came only after the server was asked again.")
    return tuple(said)
