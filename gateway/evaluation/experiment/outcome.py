"""What an experiment comes to: the spread over exemplar seeds; of the first seed every pair, where
its cells part, and every class."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from gateway.evaluation.ab.needs import Needs
from gateway.evaluation.clusters import clusters_of
from gateway.evaluation.experiment.spread import Spread, spreads
from gateway.evaluation.predictions import baselines_of
from gateway.evaluation.summary import RunResult, entrants_of, held_of
from gateway.scoring.contest import Comparison
from gateway.scoring.flips import Flip
from gateway.scoring.report import Report
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
    needs: Mapping[str, Needs] = field(default_factory=dict)
    """As `gateway.evaluation.ab.outcome.Outcome.needs`, of the first seed."""


def outcome_of(runs: Mapping[int, RunResult], *, metric: str, margin: float) -> ExperimentOutcome:
    """Put the runs of all seeds together.

    Args:
        runs: by exemplar seed, the first seed first.
    """
    first, *_ = runs.values()
    return ExperimentOutcome(
        report=replace(first.report, comparisons=(), disagreements=()),
        metric=metric,
        margin=margin,
        seeds=tuple(runs),
        spreads=spreads(runs, metric),
        pairs=_pairs(first, metric, margin),
        items=tuple(first.report.disagreements),
        classes=_classes(first),
        runs={seed: run.report.run_id for seed, run in runs.items()},
    )


def _pairs(run: RunResult, metric: str, margin: float) -> tuple[Comparison, ...]:
    """Those of the run itself, where it was compared by the same."""
    report, record = run.report, run.record
    if (report.primary_metric, report.margin) == (metric, margin):
        return report.comparisons
    read = entrants_of(record, run.predictions)
    return held_of(
        read,
        metric,
        cells=report.cells,
        margin=margin,
        seed=record.seed,
        clusters=clusters_of(record),
    ).comparisons


def _classes(run: RunResult) -> dict[str, dict[str, Metric]]:
    record = run.record
    if record.kind != "classification":
        return {}
    cells, clusters = {**run.predictions, **baselines_of(record)}, clusters_of(record)
    return {name: class_f1(record.labels, cell, clusters=clusters) for name, cell in cells.items()}
