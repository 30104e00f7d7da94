"""What an experiment comes to: the spread over exemplar seeds, and all pairs of the first seed."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

from gateway.errors import ComparisonRefused
from gateway.evaluation import Predictions, RunRecord
from gateway.experiments.spread import Spread, spreads
from gateway.results import Report
from gateway.statistics.contest import Contest, contest
from gateway.statistics.family import holm


@dataclass(frozen=True, slots=True)
class Pairing:
    """Two cells of the first seed; the one with the lower mean is `a`."""

    contest: Contest
    p_value: float | None
    """Of the permutation test, by Holm's correction over all pairs."""


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
    return ExperimentOutcome(
        report=reports[first],
        metric=metric,
        margin=margin,
        seeds=tuple(records),
        spreads=found,
        pairs=tuple(Pairing(c, p) for c, p in zip(contests, corrected, strict=True)),
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
