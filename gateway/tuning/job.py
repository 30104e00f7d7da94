"""A training: task, template, items learned and items held out, from what a person asks for."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.core.errors import ConfigError
from gateway.models.environment import adapters_root, prompts_root
from gateway.models.spec import ModelSpec
from gateway.tasks.dataset import load_dataset
from gateway.tasks.labels import unified
from gateway.tasks.prompts import PromptTemplate, load_template
from gateway.tasks.tables import Columns, options_of
from gateway.tasks.task import Item, Task, label_set, load_task
from gateway.tuning.checks.check import check
from gateway.tuning.checks.findings import Findings
from gateway.tuning.checks.parts import TEST, TRAIN, VALIDATION, part_of
from gateway.tuning.checks.split import split
from gateway.tuning.probe.recipe import ProbeRecipe
from gateway.tuning.recipe import Method, Recipe

if TYPE_CHECKING:
    from gateway.tuning.tune import Begin


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


Stage = Callable[[str, int], Callable[[], None]]
"""Told of a stage and how many there are in it; answers what is called after each one."""

Watch = Callable[[TrainingJob, TrainingJob], "AbstractContextManager[Begin]"]
"""Who watches a training: a block that gives what it begins with. Told of the training, and of that
of all the items, which is the same or a larger one."""


def unwatched(_: TrainingJob, __: TrainingJob) -> "AbstractContextManager[Begin]":
    """Nobody does."""
    from gateway.tuning.training import Watching

    nothing = Watching(lambda _: None, lambda: None, lambda _: None)
    return nullcontext(lambda _estimate, _held_out: nothing)


@dataclass(frozen=True, slots=True)
class TuningOptions:
    """What an adapter is to learn, and from what."""

    name: str
    """Of the adapter: of its folder."""
    task: str
    """A folder of `prompts`."""
    train: str
    """Labelled items to learn from: a CSV, JSONL or Parquet file, or hf:NAME."""
    model: str = ""
    """Entry of the base; empty: the default one. It is run on torch in training."""
    strategy: str = "zero_shot"
    """Template that makes the texts, here and when the adapter is used."""
    method: Method = "lora"
    """"lora": an adapter, trained on torch. "probe": linear models on the frozen model's hidden
    states, which llama.cpp reads."""
    probe: ProbeRecipe = field(default_factory=ProbeRecipe)
    """How a probe is made."""
    on_stage: Stage = field(default=lambda _, __: lambda: None, repr=False, compare=False)
    """Told of a probe's stages as they begin."""
    recipe: Recipe = field(default_factory=Recipe)
    """How an adapter is trained; of a probe the seed alone."""
    validation: str | None = None
    """Labelled items that decide when to stop; None: a part of `train`."""
    test: str | None = None
    """Items that must not be learned."""
    limit: int | None = None
    """Learn from a seeded sample of so many."""
    curve: Sequence[int] = ()
    """Train on samples of these sizes too, as NAME-SIZE."""
    columns: Columns = None
    """Field -> name of its column, where the data calls it otherwise."""
    threads: int = 0
    """0: all usable cores."""
    restart: bool = False
    """Forget an unfinished training of this name."""
    adapters: Path = field(default_factory=adapters_root)
    """Folder of all adapters."""
    prompts: Path = field(default_factory=prompts_root)
    models_file: Path | None = None
    on_findings: Callable[[Findings], None] = field(
        default=lambda _: None, repr=False, compare=False
    )
    """Told what was found in the data, before anything trains."""
    watch: Watch = field(default=unwatched, repr=False, compare=False)


def job_of(options: TuningOptions, spec: ModelSpec, target: Path) -> tuple[TrainingJob, Findings]:
    """Load, check and divide the data; what was found in it is answered too, if it is no error.

    Args:
        spec: entry of the base.
        target: the adapter's folder.

    Raises:
        ConfigError: task, template or entry are wrong.
        DataError: the data is, or a part of it is (nearly) in another.
    """
    if spec.adapter is not None:
        raise ConfigError(
            f"{spec.name} has an adapter already", hint="train on the entry without it"
        )
    if spec.can.on_a_server:
        raise ConfigError(
            f"{spec.name} is on a server, and training needs its weights here",
            hint="gateway models import-ollama makes an entry of the file",
        )
    task = load_task(options.task, options.prompts)
    template = load_template(task, options.strategy, options.prompts)
    of_train = replace(options_of(options.columns), group=options.probe.per)
    train = load_dataset(
        options.train,
        task,
        columns=of_train,
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
        spec=spec,
        task=task,
        labels=label_set(task, train, validation),
        template=template,
        items=learned,
        held_out=held_out,
        source=train.path,
        recipe=options.recipe,
        target=target,
        threads=options.threads,
    )
    return job, findings
