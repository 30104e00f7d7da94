"""From what a person asks for to a `Lesson`: task, template, items learned and items held out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.config import ModelSpec
from gateway.data import load_dataset
from gateway.draws import stratified_sample
from gateway.errors import ConfigError, DataError
from gateway.exemplars import without_near_duplicates
from gateway.planning import label_set
from gateway.prompts import load_template
from gateway.tasks import Dataset, Item, load_task
from gateway.tuning.recipe import Recipe
from gateway.tuning.tune import Lesson

HELD_OUT = "held-out"


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
    columns: Mapping[str, str] | None = None
    threads: int = 0


def lesson_of(asked: Asked) -> Lesson:
    """Load and divide the data.

    Raises:
        ConfigError: task, template or entry are wrong.
        DataError: the data is, or too few items are left on a side.
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
    given = (
        load_dataset(asked.validation, task, columns=asked.columns) if asked.validation else None
    )
    learned, held_out = divide(train, given, asked.recipe)
    if asked.test:
        refuse_leaks(train, load_dataset(asked.test, task, columns=asked.columns))
    return Lesson(
        spec=asked.spec,
        task=task,
        labels=label_set(task, train, given),
        template=template,
        items=learned,
        held_out=held_out,
        source=train.path,
        recipe=asked.recipe,
        target=asked.target,
        threads=asked.threads,
    )


def divide(
    train: Dataset, validation: Dataset | None, recipe: Recipe
) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
    """Items to learn from and items held out: those that are given, or a stratified sample.

    Raises:
        DataError: a side is empty.
    """
    if validation is not None:
        return _some(train.items, train), _some(validation.items, validation)
    count = max(1, round(len(train.items) * recipe.held_out))
    held_out = stratified_sample(train.items, count, recipe.seed, HELD_OUT)
    ids = {item.id for item in held_out}
    learned = tuple(item for item in train.items if item.id not in ids)
    return _some(learned, train), tuple(held_out)


def _some(items: Sequence[Item], of: Dataset) -> tuple[Item, ...]:
    if not items:
        raise DataError(f"{of.path}: no item is left to learn from")
    return tuple(items)


def refuse_leaks(train: Dataset, test: Dataset) -> None:
    """Raise DataError where a training item is (nearly) a test item: the test would be no test."""
    _, leaks = without_near_duplicates(train.items, test.items)
    if leaks:
        raise DataError(
            f"{len(leaks)} items of {train.path} are (nearly) in {test.path}, the first in line "
            f"{leaks[0].line}",
            hint="gateway data check lists them; leave them out of the training data",
        )
