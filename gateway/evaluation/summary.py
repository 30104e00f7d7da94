"""From predictions to the report: scores, comparisons and what follows from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from gateway.evaluation.predictions import (
    Answers,
    Predictions,
    answers_of,
    baselines_of,
    names_of,
    predictions_of,
)
from gateway.evaluation.record import RecordedCell, RunRecord
from gateway.evaluation.store import Observation, Store
from gateway.scoring.baselines import against_baselines
from gateway.scoring.contest import Comparison, all_pairs
from gateway.scoring.flips import Flip, differing
from gateway.scoring.report import Conclusion, Report, best_first
from gateway.scoring.results import CellScore, CellTimings, Prediction, Status, Verdict
from gateway.scoring.scores import TimedItem, is_right, score_cell, timings


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run comes to."""

    record: RunRecord
    predictions: Predictions
    report: Report
    timings: tuple[CellTimings, ...]
    """Measured seconds, kept apart from all that is reproducible."""


def result_of(record: RunRecord, store: Store, *, margin: float | None = None) -> RunResult:
    """What the stored answers to a run come to.

    Args:
        margin: as `evaluate`.

    Raises:
        DataError: the store lacks an answer that the run consists of.
    """
    predictions = predictions_of(record, store)
    report = evaluate(record, predictions, answers_of(record, store), margin=margin)
    return RunResult(record, predictions, report, tuple(timings_of(record, store, predictions)))


def evaluate(
    record: RunRecord,
    predictions: Predictions,
    answers: Answers,
    *,
    compare: bool = True,
    margin: float | None = None,
) -> Report:
    """Score the cells and baselines, hold each cell against the baselines and the other cells.

    Args:
        compare: whether cells are held against each other, and something follows from the run.
        margin: of those comparisons, in units of the primary metric.
    """
    baselines = baselines_of(record)
    models = [_scored(record, name, cell, baselines, answers) for name, cell in predictions.items()]
    cells = models + [
        score_cell(name, "baseline", record.kind, record.labels, cell, seed=record.seed)
        for name, cell in baselines.items()
    ]
    return Report(
        run_id=record.run_id,
        task=record.task,
        kind=record.kind,
        primary_metric=record.primary_metric,
        n=len(record.items),
        labels=record.labels,
        settings=record.settings,
        cells=tuple(cells),
        comparisons=_comparisons(record, predictions, models, margin) if compare else (),
        disagreements=disagreements(record, predictions) if compare else (),
        conclusion=_conclusion(record, cells) if compare else None,
        margin=margin,
        warnings=_warnings(record, cells, answers),
    )


def disagreements(record: RunRecord, predictions: Predictions) -> tuple[Flip, ...]:
    """The items that any two cells answer differently."""
    excerpts = {item.item_id: item.excerpt for item in record.items}
    return differing(list(predictions.values()), record.kind, excerpts)


def timings_of(record: RunRecord, store: Store, predictions: Predictions) -> list[CellTimings]:
    """Measured seconds of each cell; cells that differ by their rule only share them."""
    found = []
    for cell in record.cells:
        seconds = store.timings(cell.digest)
        for name in names_of(record, cell):
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


def _scored(
    record: RunRecord,
    name: str,
    predictions: Sequence[Prediction],
    baselines: Predictions,
    answers: Answers,
) -> CellScore:
    cell = next(c for c in record.cells if name in names_of(record, c))
    score = score_cell(
        name,
        "model",
        record.kind,
        record.labels,
        predictions,
        seed=record.seed,
        details=_details(record, cell, name, answers[cell.name]),
    )
    verdicts = against_baselines(
        predictions,
        baselines,
        task_kind=record.kind,
        labels=record.labels,
        metric=record.primary_metric,
        seed=record.seed,
    )
    return replace(score, verdicts=verdicts)


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


def _comparisons(
    record: RunRecord,
    predictions: Predictions,
    models: Sequence[CellScore],
    margin: float | None,
) -> tuple[Comparison, ...]:
    """Every pair of the cells that have the metric; each is held against the better ones."""
    return all_pairs(
        [predictions[cell.name] for cell in best_first(models, record.primary_metric)],
        task_kind=record.kind,
        labels=record.labels,
        metric=record.primary_metric,
        margin=margin,
        seed=record.seed,
    )


def _conclusion(record: RunRecord, cells: Sequence[CellScore]) -> Conclusion:
    ranked = best_first(cells, record.primary_metric)
    models = [cell for cell in ranked if cell.kind == "model" and cell.answered]
    if not models:
        return Conclusion.NOTHING_ANSWERED
    if all(cell.kind == "model" for cell in ranked):
        return Conclusion.NO_BASELINE
    found = [each.verdict for each in models[0].verdicts]
    if all(verdict is Verdict.BETTER for verdict in found):
        return Conclusion.WORTH_IT
    return Conclusion.NOT_WORTH_IT if Verdict.WORSE in found else Conclusion.NOT_SHOWN


def _warnings(record: RunRecord, cells: Sequence[CellScore], answers: Answers) -> tuple[str, ...]:
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
