"""A training: task, template, items learned and items held out, from what a person asks for."""

from dataclasses import dataclass
from pathlib import Path

from gateway.core.errors import ConfigError
from gateway.models.spec import ModelSpec
from gateway.tasks.dataset import load_dataset
from gateway.tasks.labels import unified
from gateway.tasks.prompts import PromptTemplate, load_template
from gateway.tasks.tables import Columns
from gateway.tasks.task import Item, Task, label_set, load_task
from gateway.tuning.checks.check import check
from gateway.tuning.checks.findings import Findings
from gateway.tuning.checks.parts import TEST, TRAIN, VALIDATION, part_of
from gateway.tuning.checks.split import split
from gateway.tuning.recipe import Recipe


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """What is to be learned, of whom and how."""

    spec: ModelSpec
    """Entry of the base; one of llama.cpp is taken too, its file is dequantized."""
    task: Task
    labels: tuple[str, ...]
    """Empty where answers are no labels."""
    template: PromptTemplate
    items: tuple[Item, ...]
    held_out: tuple[Item, ...]
    source: str
    """Of the items, for the card."""
    recipe: Recipe
    target: Path
    """The adapter's folder, which is not there yet."""
    threads: int = 0
    """0: all usable cores."""


@dataclass(frozen=True, slots=True)
class TuningOptions:
    """What a person asks for."""

    spec: ModelSpec
    task: str
    train: str
    strategy: str
    prompts: Path
    target: Path
    recipe: Recipe
    validation: str | None = None
    test: str | None = None
    """Items that must not be learned."""
    limit: int | None = None
    columns: Columns = None
    threads: int = 0


def job_of(options: TuningOptions) -> tuple[TrainingJob, Findings]:
    """Load, check and divide the data; what was found in it is answered too, if it is no error.

    Raises:
        ConfigError: task, template or entry are wrong.
        DataError: the data is, or a part of it is (nearly) in another.
    """
    if options.spec.adapter is not None:
        raise ConfigError(
            f"{options.spec.name} has an adapter already", hint="train on the entry without it"
        )
    if options.spec.can.on_a_server:
        raise ConfigError(
            f"{options.spec.name} is on a server, and training needs its weights here",
            hint="gateway models import-ollama makes an entry of the file",
        )
    task = load_task(options.task, options.prompts)
    template = load_template(task, options.strategy, options.prompts)
    train = load_dataset(
        options.train,
        task,
        columns=options.columns,
        limit=options.limit,
        sample_seed=options.recipe.seed,
    )
    validation = (
        load_dataset(options.validation, task, columns=options.columns)
        if options.validation
        else None
    )
    test = load_dataset(options.test, task, columns=options.columns) if options.test else None
    named = {TRAIN: train, VALIDATION: validation, TEST: test}
    read = {name: data for name, data in named.items() if data is not None}
    given = dict(zip(read, unified(task, list(read.values())), strict=True))
    train, validation = given[TRAIN], given.get(VALIDATION)
    parts = [part_of(name, data) for name, data in given.items()]
    findings = check(task, parts, share=options.recipe.held_out, seed=options.recipe.seed)
    findings.refuse_errors()
    if validation:
        learned, held_out = train.items, validation.items
    else:
        divided = split(train.items, options.recipe.held_out, options.recipe.seed)
        learned, held_out = divided.train, divided.validation
    job = TrainingJob(
        spec=options.spec,
        task=task,
        labels=label_set(task, train, validation),
        template=template,
        items=learned,
        held_out=held_out,
        source=train.path,
        recipe=options.recipe,
        target=options.target,
        threads=options.threads,
    )
    return job, findings
