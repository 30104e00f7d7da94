"""Running an experiment: a run for each exemplar seed, and what they say together."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from gateway.evaluation.ab.cells import CellName
from gateway.evaluation.ab.margin import check_margin
from gateway.evaluation.ab.needs import Needs, needs_of
from gateway.evaluation.evaluate import ask
from gateway.evaluation.experiment.file import Experiment
from gateway.evaluation.experiment.grid import check_levels
from gateway.evaluation.experiment.outcome import ExperimentOutcome, outcome_of
from gateway.evaluation.experiment.spread import require_variation
from gateway.evaluation.plan import Prepared, prepare
from gateway.evaluation.predictions import names_of
from gateway.evaluation.record import RecordedCell, RunRecord
from gateway.evaluation.run import Watch, unwatched
from gateway.evaluation.store import Store
from gateway.evaluation.summary import RunResult, result_of
from gateway.models.file import Models
from gateway.scoring.rules import ScoreRule
from gateway.tasks.task import is_metric, load_task


@dataclass(frozen=True, slots=True)
class ExperimentPlan:
    """An experiment of which all is known and nothing is asked yet."""

    models: Models
    metric: str
    margin: float
    prepared: Mapping[int, Prepared]
    """By exemplar seed, the first seed first."""


@dataclass(frozen=True, slots=True)
class ExperimentResult:
    """What an experiment comes to, and each of its runs."""

    outcome: ExperimentOutcome
    runs: Mapping[int, RunResult]
    """By exemplar seed."""


def plan_experiment(experiment: Experiment, models: Models, prompts: Path) -> ExperimentPlan:
    """Read the task and the data of every seed.

    Raises:
        ConfigError, DataError: before any model is loaded.
    """
    check_levels(experiment.entries, models)
    run = replace(experiment.run, prompts=prompts)
    models = models.serving(run.models)
    for name in run.models:
        models.get(name)
    task = load_task(run.task, prompts)
    metric = experiment.metric or task.metric
    check_margin(metric, experiment.margin, task)
    if is_metric(metric, task.kind):
        # Some metrics a run has only where it is asked for them.
        run = replace(run, metric=metric)
    prepared = {seed: prepare(replace(run, exemplar_seed=seed)) for seed in experiment.seeds}
    require_variation(prepared)
    return ExperimentPlan(models, metric, experiment.margin, prepared)


async def run_experiment(
    plan: ExperimentPlan,
    store: Store,
    watch: Watch = unwatched,
    on_seed: Callable[[int], None] = lambda _: None,
) -> Callable[[], ExperimentResult]:
    """Ask what the store does not know yet, and put the runs there.

    Args:
        on_seed: told of each exemplar seed before it is asked.

    Returns:
        What computes the result from the open store.

    Raises:
        ConfigError, BackendError, StoreError: as `gateway.evaluation.run.run`.
    """
    records = {}
    for seed, prepared in plan.prepared.items():
        on_seed(seed)
        records[seed] = await ask(prepared, plan.models, store, watch)
    return partial(_result, plan, records, store)


def _result(
    plan: ExperimentPlan, records: Mapping[int, RunRecord], store: Store
) -> ExperimentResult:
    runs = {seed: result_of(each, store, margin=plan.margin) for seed, each in records.items()}
    outcome = outcome_of(runs, metric=plan.metric, margin=plan.margin)
    return ExperimentResult(replace(outcome, needs=_needs(plan, next(iter(runs.values())))), runs)


def _needs(plan: ExperimentPlan, first: RunResult) -> Mapping[str, Needs]:
    record = first.record
    cells = [
        CellName(cell.model, cell.strategy, _rule(name, cell))
        for cell in record.cells
        for name in names_of(record, cell)
    ]
    baselines = [cell.name for cell in first.report.cells if cell.kind == "baseline"]
    return needs_of(next(iter(plan.prepared.values())), cells, baselines, plan.models)


def _rule(name: str, cell: RecordedCell) -> ScoreRule | None:
    return None if name == cell.name else ScoreRule.named(name.removeprefix(f"{cell.name}/"))
