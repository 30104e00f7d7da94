"""`gateway run FILE`: a run for each exemplar seed, and what they say together."""

from dataclasses import replace
from pathlib import Path

import typer

from gateway.cli.common import (
    check_store,
    keeping,
    note,
    open_store,
    reading,
    show,
    tell,
    wait,
)
from gateway.cli.outputs import check_folder
from gateway.core.errors import ConfigError

_BESIDE_A_FILE = frozenset({"file", "store", "prompts", "models_file", "quiet"})
"""Options that say where things are on this machine, not what is run."""


def check_alone(context: typer.Context, file: Path) -> None:
    """Refuse options that the file would have to say.

    Raises:
        ConfigError: one is given.
    """
    for parameter in context.command.params:
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        given = source is not None and source.name == "COMMANDLINE"
        if given and name not in _BESIDE_A_FILE:
            raise ConfigError(
                f"{parameter.opts[0]} is given beside {file}", hint="write it in the file"
            )


def run_file(
    file: Path, store: Path | None, prompts: Path | None, models_file: Path | None, *, quiet: bool
) -> bool:
    """Ask, print and write all of an experiment; True when items failed.

    Raises:
        ConfigError, DataError: before any model is loaded.
    """
    from gateway.backends.registry import load_models
    from gateway.cli.progress import watched
    from gateway.evaluation.experiment.file import load_experiment
    from gateway.evaluation.experiment.run import plan_experiment, run_experiment
    from gateway.models.environment import prompts_root
    from gateway.report.pages import experiment as page

    experiment = load_experiment(file, note)
    for folder, files in page.files_of(experiment.seeds).items():
        check_folder(experiment.out and experiment.out / folder, "out", files)
    check_store(store)
    models = load_models(models_file)

    def begin(seed: int) -> None:
        if len(experiment.seeds) > 1 and not quiet:
            note(f"exemplar seed {seed}")

    with keeping(), watched(quiet=quiet) as (watch, counting):
        experiment = replace(experiment, run=replace(experiment.run, counting=counting))
        plan = plan_experiment(experiment, models, prompts or prompts_root())
        with open_store(store) as opened:
            result = wait(run_experiment(plan, opened, watch, begin))()
    show(page.brief(result.outcome))
    if experiment.out is not None:
        with reading("writing the report"):
            page.write(result, experiment.out)
        tell(f"report: {experiment.out / 'experiment.html'}")
    return any(run.report.failed for run in result.runs.values())
