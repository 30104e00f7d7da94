"""From what a person asks for to a `Lesson`: task, template, items learned and items held out."""

from dataclasses import dataclass
from pathlib import Path

from gateway.core.errors import ConfigError
from gateway.models.spec import ModelSpec
from gateway.tasks.dataset import load_dataset
from gateway.tasks.labels import unified
from gateway.tasks.prompts import load_template
from gateway.tasks.tables import Columns
from gateway.tasks.task import label_set, load_task
from gateway.tuning.checks.check import check
from gateway.tuning.checks.findings import Findings
from gateway.tuning.checks.parts import TEST, TRAIN, VALIDATION, part_of
from gateway.tuning.checks.split import split
from gateway.tuning.recipe import Recipe
from gateway.tuning.tune import Lesson


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for."""

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


def lesson_of(asked: Asked) -> tuple[Lesson, Findings]:
    """Load, check and divide the data; what was found in it is answered too, if it is no error.

    Raises:
        ConfigError: task, template or entry are wrong.
        DataError: the data is, or a part of it is (nearly) in another.
    """
    if asked.spec.adapter is not None:
        raise ConfigError(
            f"{asked.spec.name} has an adapter already", hint="train on the entry without it"
        )
    if asked.spec.backend == "ollama":
        raise ConfigError(
            f"{asked.spec.name} is on a server, and training needs its weights here",
            hint="gateway models import-ollama makes an entry of the file",
        )
    task = load_task(asked.task, asked.prompts)
    template = load_template(task, asked.strategy, asked.prompts)
    train = load_dataset(
        asked.train,
        task,
        columns=asked.columns,
        limit=asked.limit,
        sample_seed=asked.recipe.seed,
    )
    validation = (
        load_dataset(asked.validation, task, columns=asked.columns) if asked.validation else None
    )
    test = load_dataset(asked.test, task, columns=asked.columns) if asked.test else None
    named = {TRAIN: train, VALIDATION: validation, TEST: test}
    read = {name: data for name, data in named.items() if data is not None}
    given = dict(zip(read, unified(task, list(read.values())), strict=True))
    train, validation = given[TRAIN], given.get(VALIDATION)
    parts = [part_of(name, data) for name, data in given.items()]
    findings = check(task, parts, share=asked.recipe.held_out, seed=asked.recipe.seed)
    findings.refuse_errors()
    if validation:
        learned, held_out = train.items, validation.items
    else:
        divided = split(train.items, asked.recipe.held_out, asked.recipe.seed)
        learned, held_out = divided.train, divided.validation
    lesson = Lesson(
        spec=asked.spec,
        task=task,
        labels=label_set(task, train, validation),
        template=template,
        items=learned,
        held_out=held_out,
        source=train.path,
        recipe=asked.recipe,
        target=asked.target,
        threads=asked.threads,
    )
    return lesson, findings
