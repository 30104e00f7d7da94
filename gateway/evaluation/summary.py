"""From predictions to the report: scores, comparisons and what follows from them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from gateway.core.errors import ComparisonRefused
from gateway.evaluation.predictions import Answers, Predictions, baselines_of, names_of
from gateway.evaluation.record import RecordedCell, RunRecord
from gateway.evaluation.store import Observation, Store
from gateway.scoring.baselines import verdicts
from gateway.scoring.comparison import compare, shown_answer
from gateway.scoring.metrics import LOWER_IS_BETTER, metric_name
from gateway.scoring.results import (
    CellScore,
    CellTimings,
    Comparison,
    Disagreement,
    Prediction,
    Report,
    Status,
)
from gateway.scoring.scores import TimedItem, is_right, score_cell, timings

MOST_DISAGREEMENTS = 60
"""How many items a report lists on which the cells disagree."""


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


def better(metric: str, a: float, b: float) -> bool:
    """Whether value `a` of the metric is better than `b`."""
    return a < b if metric in LOWER_IS_BETTER else a > b


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
