"""`gateway tune`: from what a person asks for to an adapter, and to the curve of its data."""

from dataclasses import dataclass

from gateway.backends.registry import load_models
from gateway.core.concurrency import taking
from gateway.models.adapters.names import new_folder
from gateway.tuning.curve import Point, point, smaller_jobs, train_one
from gateway.tuning.job import TuningOptions, job_of
from gateway.tuning.tune import Tuned, check_target
from gateway.tuning.tune import tune as train


@dataclass(frozen=True, slots=True)
class TuningResult:
    """An adapter, and what it took."""

    model: str
    """What the base with the adapter is called in every command."""
    needs: str
    """The command without which it cannot be run, its backend reading another file; empty: none."""
    tuned: Tuned
    curve: tuple[Point, ...]
    """The score by how much was learned, the adapter itself last; empty where not asked for."""


@taking(TuningOptions)
def tune(options: TuningOptions) -> TuningResult:
    """Train an adapter on labelled data. Called again after a kill, it goes on from its checkpoint.

    Raises:
        ConfigError, DataError: of what is asked, before anything trains.
        MissingExtra, BackendError, StoreError: as `gateway.tuning.tune.tune`.
    """
    models = load_models(options.models_file).serving([options.model] if options.model else [])
    entry = options.model or models.default
    target = new_folder(options.adapters, options.name)
    check_target(target)
    job, findings = job_of(options, models.get(entry), target)
    options.on_findings(findings)
    points = []
    for part in smaller_jobs(job, options.curve):
        with options.watch(part, job) as begin:
            points.append(train_one(part, begin, restart=options.restart))
    with options.watch(job, job) as begin:
        tuned = train(job, begin, restart=options.restart)
    whole = [point(job)] if points else []
    needs = f"gateway adapters export {options.name} --base {entry}"
    as_gguf = job.spec.can.adapters == "gguf"
    return TuningResult(
        f"{entry}+{options.name}", needs if as_gguf else "", tuned, (*points, *whole)
    )
