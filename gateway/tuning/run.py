"""`gateway tune`: from what a person asks for to an adapter, and to the curve of its data."""

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from gateway.backends.registry import load_models
from gateway.core.concurrency import taking
from gateway.core.errors import ConfigError
from gateway.core.extras import require_extra
from gateway.models.adapters.names import new_folder
from gateway.tuning.curve import Point, point, smaller_jobs, train_one
from gateway.tuning.job import TrainingJob, TuningOptions, job_of
from gateway.tuning.recipe import Recipe
from gateway.tuning.tune import Tuned, check_target
from gateway.tuning.tune import tune as train

if TYPE_CHECKING:
    from gateway.tuning.probe.numbers import ProbedNumbers
    from gateway.tuning.probe.train import Probed


@dataclass(frozen=True, slots=True)
class TuningResult:
    """An adapter, and what it took."""

    model: str
    """What the base with the adapter is called in every command."""
    needs: str
    """The command without which it cannot be run, its backend reading another file; empty: none."""
    tuned: "Tuned | Probed | ProbedNumbers"
    curve: tuple[Point, ...]
    """The score by how much was learned, the adapter itself last; empty where not asked for."""


@taking(TuningOptions)
def tune(options: TuningOptions) -> TuningResult:
    """Train an adapter on labelled data. Called again after a kill, it goes on from its checkpoint.

    Raises:
        ConfigError, DataError: of what is asked, before anything trains.
        MissingExtra, BackendError, StoreError: as `gateway.tuning.tune.tune`.
    """
    require_extra("llama-cpp" if options.method == "probe" else "transformers")
    models = load_models(options.models_file).serving([options.model] if options.model else [])
    entry = options.model or models.default
    target = new_folder(options.adapters, options.name)
    check_target(target)
    if options.probe.per and options.method != "probe":
        raise ConfigError(
            "--per: an adapter has no heads by group", hint="--method probe, or leave it out"
        )
    job, findings = job_of(options, models.get(entry), target)
    options.on_findings(findings)
    name = f"{entry}+{options.name}"
    if options.method == "probe":
        return TuningResult(name, "", _probed(options, job), ())
    points = []
    for part in smaller_jobs(job, options.curve):
        with options.watch(part, job) as begin:
            points.append(train_one(part, begin, restart=options.restart))
    with options.watch(job, job) as begin:
        tuned = train(job, begin, restart=options.restart)
    whole = [point(job)] if points else []
    needs = f"gateway adapters export {options.name} --base {entry}"
    as_gguf = job.spec.can.adapters == "gguf"
    return TuningResult(name, needs if as_gguf else "", tuned, (*points, *whole))


def _probed(options: TuningOptions, job: TrainingJob) -> "Probed | ProbedNumbers":
    """Make a probe; raises ConfigError for what is asked of an adapter's training alone."""
    usual = asdict(replace(Recipe(), seed=options.recipe.seed))
    given = {key for key, value in asdict(options.recipe).items() if value != usual[key]}
    given |= {key for key in ("validation", "curve") if getattr(options, key)}
    if given:
        named = ", ".join(f"--{key.replace('_', '-')}" for key in sorted(given))
        join = "; its items may stand in --train too" if "validation" in given else ""
        raise ConfigError(
            f"{named}: of an adapter's training; a probe is chosen by cross-validation",
            hint=f"--method lora, or leave it out{join}",
        )
    if job.task.kind == "extraction":
        raise ConfigError(
            f"the task {job.task.name} has fields, and a probe tells labels or one number",
            hint="--method lora learns fields",
        )
    # Adapters are trained without llama.cpp, and probes without torch.
    if job.task.kind == "number":
        if options.probe.per:
            raise ConfigError(
                "--per: heads by group are of a task with labels, and this one asks for a number",
                hint="leave it out; one probe a group learns from a table of its own",
            )
        from gateway.tuning.probe.numbers import train as of_numbers

        return of_numbers(job, options.probe, options.on_stage)
    from gateway.tuning.probe.train import train as of_labels

    return of_labels(job, options.probe, options.on_stage)
