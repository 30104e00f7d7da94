"""What an experiment comes to: the spread over exemplar seeds; of the first seed every pair, where
its cells part, and every class."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

from gateway.core.errors import ComparisonRefused
from gateway.evaluation.experiment.flips import FlippedItem, flipped_items, flips
from gateway.evaluation.experiment.spread import Spread, spreads
from gateway.evaluation.predictions import Predictions, baselines_of
from gateway.evaluation.record import RunRecord
from gateway.scoring.contest import Contest, contest
from gateway.scoring.family import holm
from gateway.scoring.results import Metric, Report
from gateway.scoring.scores import class_f1


@dataclass(frozen=True, slots=True)
class Pairing:
    """Two cells of the first seed; the one with the lower mean is `a`."""

    contest: Contest
    p_value: float | None
    """Of the permutation test, by Holm's correction over all pairs."""
    flips: tuple[str, ...]
    """Ids of the items that exactly one of the two gets right."""


@dataclass(frozen=True, slots=True)
class ExperimentOutcome:
    """All of an experiment that its page shows."""

    report: Report
    """Of the first seed, whose baselines and items are those of every seed."""
    metric: str
    margin: float
    seeds: tuple[int, ...]
    spreads: tuple[Spread, ...]
    pairs: tuple[Pairing, ...]
    """Cells without the metric are in none."""
    items: tuple[FlippedItem, ...]
    """Those that are a flip of any pair, with what every cell of a pair said."""
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
    found = spreads(records, reports, metric)
    contests = _contests([each.cell for each in found], predictions, record, metric, margin)
    corrected = holm([each.permutation.p_value for each in contests])
    pairs = tuple(
        Pairing(c, p, flips(predictions[c.a], predictions[c.b], record.kind))
        for c, p in zip(contests, corrected, strict=True)
    )
    paired = {name for pair in pairs for name in (pair.contest.a, pair.contest.b)}
    return ExperimentOutcome(
        report=reports[first],
        metric=metric,
        margin=margin,
        seeds=tuple(records),
        spreads=found,
        pairs=pairs,
        items=flipped_items(
            record,
            predictions,
            [each.cell for each in found if each.cell in paired],
            {item_id for pair in pairs for item_id in pair.flips},
        ),
        classes=_classes(record, predictions),
        runs={seed: report.run_id for seed, report in reports.items()},
    )


def _contests(
    names: list[str], predictions: Predictions, record: RunRecord, metric: str, margin: float
) -> list[Contest]:
    made = []
    for better, worse in combinations(names, 2):
        try:
            made.append(
                contest(
                    predictions[worse],
                    predictions[better],
                    task_kind=record.kind,
                    labels=record.labels,
                    metric=metric,
                    margin=margin,
                    seed=record.seed,
                )
            )
        except ComparisonRefused:
            continue  # A cell without the metric; its row says so.
    return made


def _classes(record: RunRecord, predictions: Predictions) -> dict[str, dict[str, Metric]]:
    if record.kind != "classification":
        return {}
    cells = {**predictions, **baselines_of(record)}
    return {name: class_f1(record.labels, cell, seed=record.seed) for name, cell in cells.items()}
