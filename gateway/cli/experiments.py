"""`gateway run FILE`: a run for each exemplar seed, and what they say together."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from gateway.cli.asking import ask
from gateway.cli.common import check_store, keeping_answers, note, open_store, reading, show, tell
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
    from gateway.backends.base import load_models
    from gateway.evaluation.ab.question import Question, check_question
    from gateway.evaluation.experiment.file import load_experiment
    from gateway.evaluation.experiment.grid import check_levels
    from gateway.evaluation.experiment.spread import require_variation
    from gateway.evaluation.plan import prepare
    from gateway.models.environment import prompts_root
    from gateway.tasks.task import load_task

    experiment = load_experiment(file)
    _check_outputs(experiment.out, experiment.seeds)
    check_store(store)
    known = load_models(models_file)
    check_levels(experiment.entries, known)
    models = known.serving(experiment.models)
    for name in experiment.models:
        models.get(name)
    root = prompts or prompts_root()
    task = load_task(experiment.task, root)
    metric = experiment.metric or task.metric
    check_question(Question((), metric, experiment.margin), task)
    with reading():
        prepared = {seed: prepare(wanted) for seed, wanted in experiment.wanted(root)}
    require_variation(prepared)
    with keeping_answers(), open_store(store) as opened:
        records = {}
        for seed, each in prepared.items():
            if len(prepared) > 1 and not quiet:
                note(f"exemplar seed {seed}")
            records[seed] = asyncio.run(ask(each, models, opened, quiet=quiet))
        return _finish(records, opened, experiment, metric)


def _check_outputs(out: Path | None, seeds: Sequence[int]) -> None:
    from gateway.evaluation.predictions import PREDICTIONS
    from gateway.report.pages.experiment import FILES as SUMMARY
    from gateway.report.pages.run import FILES

    check_folder(out, "out", SUMMARY)
    for seed in seeds:
        check_folder(out and _of_seed(out, seed), "out", (*FILES, PREDICTIONS))


def _of_seed(out: Path, seed: int) -> Path:
    return out / f"seed-{seed}"


def _finish(records: Any, store: Any, experiment: Any, metric: str) -> bool:
    from gateway.core.files import write_atomically
    from gateway.evaluation.experiment.outcome import outcome_of
    from gateway.evaluation.predictions import (
        PREDICTIONS,
        answers_of,
        predictions_jsonl,
        predictions_of,
    )
    from gateway.evaluation.summary import evaluate, timings_of
    from gateway.report.pages import experiment as whole
    from gateway.report.pages import run as single

    predictions, reports = {}, {}
    for seed, record in records.items():
        predictions[seed] = predictions_of(record, store)
        answers = answers_of(record, store)
        reports[seed] = evaluate(record, predictions[seed], answers)
    first = predictions[experiment.seeds[0]]
    outcome = outcome_of(records, reports, first, metric=metric, margin=experiment.margin)
    show(whole.brief(outcome))
    if experiment.out is not None:
        for seed, record in records.items():
            seconds = timings_of(record, store, predictions[seed])
            lines = predictions_jsonl(record, predictions[seed])
            folder = _of_seed(experiment.out, seed)
            single.write(reports[seed], seconds, folder)
            write_atomically(folder / PREDICTIONS, lines)
        whole.write(outcome, experiment.out)
        page = experiment.out / "experiment.html"
        tell(f"report: {page}")
    return any(cell.statuses.get("failed", 0) for each in reports.values() for cell in each.cells)
