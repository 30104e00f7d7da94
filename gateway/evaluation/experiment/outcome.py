"""What an experiment comes to: the spread over exemplar seeds; of the first seed every pair, where
its cells part, and every class."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from gateway.evaluation.experiment.spread import Spread, spreads
from gateway.evaluation.predictions import Predictions, baselines_of
from gateway.evaluation.record import RunRecord
from gateway.scoring.contest import Comparison, all_pairs
from gateway.scoring.flips import Flip
from gateway.scoring.report import Report, best_first
from gateway.scoring.results import Metric
from gateway.scoring.scores import class_f1


@dataclass(frozen=True, slots=True)
class ExperimentOutcome:
    """All of an experiment that its page shows."""

    report: Report
    """Of the first seed, whose baselines and items are those of every seed."""
    metric: str
    margin: float
    seeds: tuple[int, ...]
    spreads: tuple[Spread, ...]
    pairs: tuple[Comparison, ...]
    """Of the first seed, each cell held against those that are better there. Cells without the
    metric are in none."""
    items: tuple[Flip, ...]
    """Those that any two cells answer differently."""
    classes: Mapping[str, Mapping[str, Metric]]
    """Cell or baseline -> label -> F1 over the items of the first seed. A class that was neither
    asked for nor answered has none; without labels there is nothing."""
    runs: Mapping[int, str]
    """Exemplar seed -> id of its run."""


def outcome_of(
    records: Mapping[int, RunRecord],
    reports: Mapping[int, Report],
    predictions: Predictions,
    *,
    metric: str,
    margin: float,
) -> ExperimentOutcome:
    """Put the runs of all seeds together.

    Args:
        records, reports: by exemplar seed, the first seed first.
        predictions: of the first seed.
    """
    (first, record), *_ = records.items()
    report = reports[first]
    return ExperimentOutcome(
        report=replace(report, comparisons=(), disagreements=()),
        metric=metric,
        margin=margin,
        seeds=tuple(records),
        spreads=spreads(records, reports, metric),
        pairs=_pairs(report, record, predictions, metric, margin),
        items=report.disagreements,
        classes=_classes(record, predictions),
        runs={seed: report.run_id for seed, report in reports.items()},
    )


def _pairs(
    report: Report, record: RunRecord, predictions: Predictions, metric: str, margin: float
) -> tuple[Comparison, ...]:
    """Those of the run itself, where it was compared by the same."""
    if (report.primary_metric, report.margin) == (metric, margin):
        return report.comparisons
    models = [cell for cell in report.cells if cell.kind == "model"]
    return all_pairs(
        [predictions[cell.name] for cell in best_first(models, metric)],
        task_kind=record.kind,
        labels=record.labels,
        metric=metric,
        margin=margin,
        seed=record.seed,
    )


def _classes(record: RunRecord, predictions: Predictions) -> dict[str, dict[str, Metric]]:
    if record.kind != "classification":
        return {}
    cells = {**predictions, **baselines_of(record)}
    return {name: class_f1(record.labels, cell, seed=record.seed) for name, cell in cells.items()}
