"""From predictions to the report: scores, comparisons and what follows from them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from gateway.core.collecting import uncollected
from gateway.core.columned import Columned, column_of
from gateway.core.lists import first_of, part_of, plural
from gateway.core.types import EXACT_SHARE, Answer, TaskKind
from gateway.evaluation.clusters import SETTING, clusters_of, remarks
from gateway.evaluation.groups import grouped
from gateway.evaluation.predictions import (
    Answers,
    Predictions,
    baselines_of,
    names_of,
    predictions_from,
)
from gateway.evaluation.record import RecordedCell, RunRecord
from gateway.evaluation.store import Observation, Store, observed_of
from gateway.scoring.arrays import IntArray
from gateway.scoring.contest import Design, Held, hold_entrants
from gateway.scoring.flips import Flip, differing
from gateway.scoring.items import Items, items_of
from gateway.scoring.metrics import (
    FEWEST_OF_A_CLASS,
    OVER_CLASSES,
    metric_name,
    shown_with,
)
from gateway.scoring.pairing import Entrant, entrant
from gateway.scoring.rankings import AREAS
from gateway.scoring.report import Conclusion, Report, best_first
from gateway.scoring.results import MEDIAN, CellScore, CellTimings, Prediction, Status, Verdict
from gateway.scoring.rules import ScoreRule
from gateway.scoring.scores import TimedItem, score_cell, timings


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run comes to."""

    record: RunRecord
    predictions: Predictions
    report: Report
    timings: tuple[CellTimings, ...]
    """Measured seconds, kept apart from all that is reproducible."""


@uncollected()
def result_of(record: RunRecord, store: Store, *, margin: float | None = None) -> RunResult:
    """What the stored answers to a run come to.

    Args:
        margin: as `evaluate`.

    Raises:
        DataError: the store lacks an answer that the run consists of.
    """
    known = {cell.digest: store.answers(cell.digest, cell.calibration) for cell in record.cells}
    predictions = predictions_from(record, known)
    answers = {cell.name: known[cell.digest] for cell in record.cells}
    report = evaluate(record, predictions, answers, margin=margin)
    seconds = timings_of(record, store, predictions, known)
    return RunResult(record, predictions, report, tuple(seconds))


@uncollected()
def evaluate(
    record: RunRecord,
    predictions: Predictions,
    answers: Answers,
    *,
    compare: bool = True,
    margin: float | None = None,
    held: Held | None = None,
    read: Mapping[str, Entrant] | None = None,
) -> Report:
    """Score the cells and baselines, hold each cell against the baselines and the other cells.

    Args:
        compare: whether cells are held against each other, and something follows from the run.
        margin: of those comparisons, in units of the primary metric.
        held: what was found already of the cells and the baselines; None: it is found here.
        read: cells and baselines, as `entrants_of` reads them; None: they are read here.
    """
    baselines = baselines_of(record)
    trivial, clusters = trivial_answer(baselines), clusters_of(record)
    read = read or entrants_of(record, predictions)
    for cell in read.values():
        for name in shown_with(record.primary_metric):
            cell.table.get(name)
    cells = [
        score_cell(
            name,
            "baseline" if name in baselines else "model",
            record.kind,
            record.labels,
            cell.items,
            seed=record.seed,
            clusters=clusters,
            table=cell.table,
            details={} if name in baselines else _details(record, name, answers, predictions[name]),
        )
        for name, cell in read.items()
    ]
    metric = record.primary_metric
    held = held or held_of(
        read, metric, cells=cells, margin=margin, seed=record.seed, clusters=clusters
    )
    cells = [replace(cell, verdicts=held.against.get(cell.name, ())) for cell in cells]
    return Report(
        run_id=record.run_id,
        task=record.task,
        kind=record.kind,
        primary_metric=record.primary_metric,
        n=len(record.items),
        labels=record.labels,
        settings=record.settings,
        cells=tuple(cells),
        comparisons=held.comparisons if compare else (),
        disagreements=disagreements(record, [read[name].items for name in predictions])
        if compare
        else (),
        conclusion=conclusion(metric, cells) if compare else None,
        margin=margin,
        groups=grouped(record, list(read.values()), clusters),
        winner=held.winner if compare else None,
        warnings=(
            *_warnings(record, cells, answers),
            *remarks(clusters, checked=SETTING in record.settings),
            *charged(record.kind, cells, trivial),
            *rare_classes(cells, [item.gold for item in record.items]),
        ),
    )


def entrants_of(record: RunRecord, predictions: Predictions) -> dict[str, Entrant]:
    """Cells and baselines, read once for all that is asked of them."""
    baselines = baselines_of(record)
    trivial = trivial_answer(baselines)
    return {
        name: entrant(
            cell,
            task_kind=record.kind,
            labels=record.labels,
            trivial=trivial,
            costs=record.costs,
        )
        for name, cell in {**predictions, **baselines}.items()
    }


def held_of(
    read: Mapping[str, Entrant],
    metric: str,
    *,
    cells: Sequence[CellScore],
    margin: float | None = None,
    seed: int = 0,
    clusters: IntArray | None = None,
) -> Held:
    """Every pair of the cells that have the metric, each held against those with a better value;
    and each cell against every baseline: one family.

    Args:
        read: cells and baselines, as `entrants_of` reads them.
        cells: the same cells, scored.
    """
    models, rivals = models_and_rivals(read, metric, cells)
    return hold_entrants(models, rivals, Design(metric, margin, seed=seed, clusters=clusters))


def models_and_rivals(
    read: Mapping[str, Entrant], metric: str, cells: Sequence[CellScore]
) -> tuple[list[Entrant], list[Entrant]]:
    """The cells that a report holds against each other, the best first, and the baselines."""
    models = [cell for cell in cells if cell.kind == "model"]
    first = [cell.name for cell in best_first(models, metric)]
    names = [*first, *(cell.name for cell in models if cell.name not in first)]
    rivals = [cell.name for cell in cells if cell.kind == "baseline"]
    return [read[name] for name in names], [read[name] for name in rivals]


def trivial_answer(baselines: Predictions) -> float | None:
    """What the trivial baseline of a number task answers; None where there is none."""
    answers = [cell[0].answer for name, cell in baselines.items() if name == MEDIAN]
    return float(answers[0]) if answers and isinstance(answers[0], int | float) else None


def rare_classes(cells: Sequence[CellScore], golds: Sequence[Answer | None]) -> tuple[str, ...]:
    """That intervals rest on classes of very few items, where some do."""
    counts = Counter(gold for gold in golds if isinstance(gold, str))
    rare = sorted((count, label) for label, count in counts.items() if count < FEWEST_OF_A_CLASS)
    shown = {name: m for cell in cells for name, m in cell.metrics.items() if m.low is not None}
    touched = [metric_name(name) for name in shown if _rests_on_few(name, counts)]
    if not rare or not touched:
        return ()
    named = first_of([f"{label} ({count})" for count, label in rare], 5)
    return (
        f"Of some classes there are fewer than {FEWEST_OF_A_CLASS} items: {named}. Intervals of "
        f"{first_of(touched, 5)} hold less often than 95 times in 100 there.",
    )


def _rests_on_few(metric: str, counts: Mapping[str, int]) -> bool:
    """Whether few items of a class make a metric's interval less sure: of one label alone, where it
    is an area; other intervals of one label allow for it."""
    family, _, label = metric.partition(":")
    if not label:
        return family in OVER_CLASSES
    one = counts.get(label, 0)
    return family in AREAS and min(one, sum(counts.values()) - one) < FEWEST_OF_A_CLASS


def charged(kind: TaskKind, cells: Sequence[CellScore], trivial: float | None) -> tuple[str, ...]:
    """What items without an answer cost in errors, said of each cell that has some."""
    if kind != "number":
        return ()
    of = "the median of the gold values here, since there are no training answers"
    if trivial is not None:
        of = f"{trivial:g}, the median of the training answers"
    missing = {cell.name: cell.left_out for cell in cells}
    return tuple(
        f"{name}: {part_of(count, cells[0].n, 'item', 'has', 'have')} no answer, and each is "
        "charged the error of "
        f"{of}."
        for name, count in missing.items()
        if count
    )


def disagreements(record: RunRecord, cells: Sequence[Sequence[Prediction]]) -> Sequence[Flip]:
    """The items that any two cells answer differently."""
    excerpts = {item.item_id: item.excerpt for item in record.items}
    return differing(cells, record.kind, excerpts)


def timings_of(
    record: RunRecord, store: Store, predictions: Predictions, known: Answers | None = None
) -> list[CellTimings]:
    """Measured seconds of each cell; cells that differ by their rule only share them.

    Args:
        known: the answers of each cell by its digest, where they were read already.
    """
    found = []
    for cell in record.cells:
        keys = cell.keys(record.items)
        seconds = store.seconds(cell.digest)
        answers = store.answers(cell.digest) if known is None else known[cell.digest]
        took = [seconds[key] for key in keys]
        columns: dict[str, Sequence[object]] = {
            "latency_s": [latency for latency, _ in took],
            "wall_s": [wall for _, wall in took],
            "cached": column_of(observed_of(answers, keys), "cached_tokens"),
        }
        for name in names_of(record, cell):
            own = _in_order_of(record, items_of(predictions[name]))
            rows = Columned(lambda values: TimedItem(**values), columns | own)
            found.append(timings(name, rows))
    return found


def _in_order_of(record: RunRecord, items: Items) -> dict[str, Sequence[object]]:
    """What `TimedItem` has of a cell's predictions, in the order of the record's items."""
    places = {item_id: at for at, item_id in enumerate(items.columns.item_id)}
    order = [places[item.item_id] for item in record.items]
    right, tokens = items.right(record.kind).tolist(), items.columns.tokens_evaluated
    return {"right": [right[at] for at in order], "tokens": [tokens[at] for at in order]}


def _details(
    record: RunRecord, name: str, answers: Answers, predictions: Sequence[Prediction]
) -> dict[str, str]:
    cell = next(c for c in record.cells if name in names_of(record, c))
    observed = observed_of(answers[cell.name], cell.keys(record.items))
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
        details |= _fitted_on(record, cell, details["rule"])
    if cell.calibration:
        details |= _searched(record, observed, items_of(predictions).columns.off_by)
    known = [digest for digest in column_of(observed, "prompt_digest") if digest]
    if (prompts := len(set(known))) < len(known):
        details["different prompts"] = f"{prompts} of {n}"
    thoughts = sum(column_of(observed, "thought_cut"))
    if cut := sum(column_of(observed, "reasoning_cut")) - thoughts:
        details["reasoning cut at its budget"] = f"{cut} of {n}"
    if thoughts:
        details["thought cut at its budget and closed"] = f"{thoughts} of {n}"
    shortened = Counter(name for each in column_of(observed, "shortened") for name in each or ())
    for cut_field, count in sorted(shortened.items()):
        details[f"{cut_field} shortened"] = f"{count} of {n}"
    return details


def _fitted_on(record: RunRecord, cell: RecordedCell, rule: str) -> dict[str, str]:
    """How many items a cell's calibration was fitted on, where that was found by asking."""
    if rule != ScoreRule.BATCH.value or not cell.dev:
        return {}
    return {"calibrated on": f"{len(cell.dev)} of {plural(len(record.dev), 'training item')}"}


def _searched(
    record: RunRecord, observed: Sequence[Observation], off_by: Sequence[float]
) -> dict[str, str]:
    """How many labels were finished, where they were searched, and what that leaves open.

    Args:
        off_by: as `Prediction.off_by`, in any order.
    """
    places = {label: i for i, label in enumerate(record.labels)}
    golds = [places.get(item.gold, -1) for item in record.items if isinstance(item.gold, str)]
    unfinished, labels = column_of(observed, "unfinished"), column_of(observed, "labels")
    left = [{i for group in each for i in group} for each in unfinished]
    scored = [each for each, own in zip(left, labels, strict=True) if own]
    if not scored:
        return {}
    finished = len(places) - sum(map(len, scored)) / len(scored)
    said = {"labels finished": f"{finished:.1f} of {len(places)} an item; the best is certain"}
    if max(off_by) > EXACT_SHARE:
        exact = sum(each <= EXACT_SHARE for each in off_by)
        said["probabilities off by at most"] = (
            f"{median(off_by):.2g} (median), {max(off_by):.2g}; exact of {exact} of {len(off_by)}"
        )
    if len(golds) == len(left) and (bounded := sum(map(set.__contains__, left, golds))):
        said["gold label unfinished"] = f"{bounded} of {len(left)}: log-loss is estimated there"
    return said


def conclusion(metric: str, cells: Sequence[CellScore]) -> Conclusion:
    """What follows from the cells and what is said of them and the baselines."""
    ranked = best_first(cells, metric)
    models = [cell for cell in ranked if cell.kind == "model" and cell.answered]
    if not models:
        return Conclusion.NOTHING_ANSWERED
    if all(cell.kind == "model" for cell in cells):
        return Conclusion.NO_BASELINE
    found = [each.verdict for each in models[0].verdicts]
    if all(verdict is Verdict.BETTER for verdict in found):
        return Conclusion.WORTH_IT
    return Conclusion.NOT_WORTH_IT if Verdict.WORSE in found else Conclusion.NOT_SHOWN


def _warnings(record: RunRecord, cells: Sequence[CellScore], answers: Answers) -> tuple[str, ...]:
    said = list(record.warnings)
    said += [
        f"The rule {name} did otherwise when this run was stored: its figures by {name} are those "
        "of today's rule."
        for name in record.older_rules
    ]
    for cell in record.cells:
        said += [w for w in cell.warnings if w not in said]
    if len(record.items) < 30:
        said.append(
            f"Only {plural(len(record.items), 'item')}: an interval from so few can mislead."
        )
    for scored in cells:
        failed = scored.statuses.get(Status.FAILED.value, 0)
        if failed:
            said.append(f"{scored.name}: {plural(failed, 'item')} failed; run again to ask again.")
        if not scored.exact:
            said.append(f"{scored.name}: some log-probabilities are bounds, not exact.")
    for cell in record.cells:
        observed = answers.get(cell.name, {})
        asked = observed_of(observed, [key for key in cell.keys(record.items) if key in observed])
        if again := sum(retries > 0 for retries in column_of(asked, "retries")):
            answered = plural(again, "answer")
            said.append(f"{cell.name}: {answered} came only after the server was asked again.")
        if cut := sum(column_of(asked, "thought_cut")):
            said.append(
                f"{cell.name}: {part_of(cut, len(asked), 'thought', 'was', 'were')} cut at the "
                "budget and closed; thinking_budget in the model's entry raises it."
            )
    return tuple(said)
