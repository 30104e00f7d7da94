"""Running an experiment: a run for each exemplar seed, and what they say together."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from gateway.backends.pool import ModelPool
from gateway.evaluation.ab.margin import check_margin
from gateway.evaluation.experiment.file import Experiment
from gateway.evaluation.experiment.grid import check_levels
from gateway.evaluation.experiment.outcome import ExperimentOutcome, outcome_of
from gateway.evaluation.experiment.spread import require_variation
from gateway.evaluation.plan import Prepared, prepare, record
from gateway.evaluation.record import RunRecord
from gateway.evaluation.run import OnProgress, Plan, run
from gateway.evaluation.store import Store
from gateway.evaluation.summary import RunResult, result_of
from gateway.models.file import Models
from gateway.tasks.task import load_task

Watch = Callable[[int, Plan], AbstractContextManager[OnProgress]]
"""Told of the exemplar seed and what is asked; gives a block, and what hears of every answer."""


@dataclass(frozen=True, slots=True)
class ExperimentPlan:
    """An experiment of which all is known and nothing is asked yet."""

    experiment: Experiment
    models: Models
    metric: str
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
    models = models.serving(experiment.models)
    for name in experiment.models:
        models.get(name)
    task = load_task(experiment.task, prompts)
    metric = experiment.metric or task.metric
    check_margin(metric, experiment.margin, task)
    prepared = {seed: prepare(wanted) for seed, wanted in experiment.wanted(prompts)}
    require_variation(prepared)
    return ExperimentPlan(experiment, models, metric, prepared)


async def run_experiment(plan: ExperimentPlan, store: Store, watch: Watch) -> ExperimentResult:
    """Ask what the store does not know yet, put the runs there, and say what they come to.

    Raises:
        ConfigError, BackendError, StoreError: as `gateway.evaluation.run.run`.
    """
    margin = plan.experiment.margin
    records = {
        seed: await _ask(prepared, plan.models, store, watch, seed)
        for seed, prepared in plan.prepared.items()
    }
    runs = {seed: result_of(each, store, margin=margin) for seed, each in records.items()}
    first = next(iter(runs.values()))
    reports = {seed: each.report for seed, each in runs.items()}
    outcome = outcome_of(records, reports, first.predictions, metric=plan.metric, margin=margin)
    return ExperimentResult(outcome, runs)


async def _ask(
    prepared: Prepared, models: Models, store: Store, watch: Watch, seed: int
) -> RunRecord:
    pool = ModelPool(models)
    try:
        with watch(seed, prepared.plan) as on_progress:
            cells = await run(prepared.plan, pool, store, on_progress)
    finally:
        await pool.close()
    made = record(prepared, cells)
    store.put_run(made.run_id, made.task, made.to_json())
    return made
