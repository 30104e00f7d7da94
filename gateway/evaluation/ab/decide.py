"""From the answers of a comparison to its outcome. No model is asked here."""

from collections.abc import Mapping
from dataclasses import replace
from math import isnan

from gateway.core.errors import ComparisonRefused
from gateway.evaluation.ab.answers import StoredAnswers
from gateway.evaluation.ab.ask import BATCH, AskedCells
from gateway.evaluation.ab.margin import Criterion
from gateway.evaluation.ab.outcome import Outcome, Stopping
from gateway.evaluation.ab.recommend import recommendation
from gateway.evaluation.clusters import clusters_of
from gateway.evaluation.predictions import Predictions, answers_of, baselines_of
from gateway.evaluation.record import RunRecord
from gateway.evaluation.summary import disagreements, entrants_of, evaluate
from gateway.quantization.stored_weights import Held
from gateway.scoring.contest import Design, family_size, hold_entrants, one_by_one
from gateway.scoring.flips import KeptAnswers, kept_answers
from gateway.scoring.metrics import in_shares
from gateway.scoring.results import CellTimings
from gateway.scoring.sequential import Decision


def all_decided(predictions: Predictions, record: RunRecord, criterion: Criterion) -> bool:
    """Whether right answers decide every cell against the reference."""
    reference, *others = predictions.values()
    margin = criterion.margin if in_shares(criterion.metric) else None
    family = family_size(len(predictions), len(baselines_of(record)))
    decisions = (
        one_by_one(
            cell,
            reference,
            task_kind=record.kind,
            margin=margin,
            seed=record.seed,
            family=family,
        ).decision
        for cell in others
    )
    return all(decision is not Decision.UNDECIDED for decision in decisions)


def outcome_of(
    answers: StoredAnswers,
    answered: AskedCells,
    criterion: Criterion,
    sizes: Mapping[str, int | None],
    weights: Mapping[str, Held | None],
    *,
    planned: int | None,
) -> tuple[Outcome, tuple[CellTimings, ...]]:
    """All that is said of the cells, and their seconds.

    Args:
        sizes: model -> bytes of its weights.
        weights: model -> what they are on disk.
        planned: items in all, where they were taken until everything was decided.

    Raises:
        ComparisonRefused: no cell has such a metric.
    """
    record = answers.record(answered.cells, answered.items)
    predictions = answers.predictions(record)
    models = {cell.name: cell.model for cell in criterion.cells}
    baselines = baselines_of(record)
    read = entrants_of(record, predictions)
    held = hold_entrants(
        [read[name] for name in predictions],
        [read[name] for name in baselines],
        Design(
            criterion.metric,
            criterion.margin,
            planned,
            record.seed,
            clusters=clusters_of(record),
        ),
    )
    known = answers_of(record, answers.store)
    if all(isnan(read[name].value(criterion.metric)) for name in predictions):
        raise ComparisonRefused(
            f"no cell has a metric {criterion.metric!r}: {held.not_compared[0].why}",
            hint="gateway help evaluate: which items each metric counts",
        )
    outcome = Outcome(
        report=evaluate(record, predictions, known, compare=False, held=held, read=read),
        reference=criterion.cells[0].name,
        metric=criterion.metric,
        margin=criterion.margin,
        noise=answers.noise(record, answered.again),
        pairs=held.comparisons,
        not_compared=held.not_compared,
        items=tuple(disagreements(record, [read[name].items for name in predictions])),
        fidelity=_fidelity(predictions, record),
        recommendation=None,
        stopping=Stopping(len(record.items), planned, BATCH, answered.decided) if planned else None,
        sizes={name: sizes[model] for name, model in models.items()},
        memory={name: answered.memory[model] for name, model in models.items()},
        held={name: weights[model] for name, model in models.items()},
    )
    seconds = answers.timings(record, predictions)
    return replace(outcome, recommendation=recommendation(outcome)), seconds


def _fidelity(predictions: Predictions, record: RunRecord) -> tuple[KeptAnswers, ...]:
    reference, *others = predictions.values()
    return tuple(
        kept_answers(reference, cell, task_kind=record.kind, labels=record.labels)
        for cell in others
    )
