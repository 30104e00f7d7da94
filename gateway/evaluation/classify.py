"""`gateway classify`: texts, or the rows of a CSV, asked as a run asks its items."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from gateway.backends.registry import load_models
from gateway.core.concurrency import Work, blocking, taking
from gateway.core.digests import canonical_json, digest_json
from gateway.core.errors import ConfigError, DataError
from gateway.core.types import Answer
from gateway.evaluation.plan import RunOptions, plan_of
from gateway.evaluation.predictions import fitted, read_all
from gateway.evaluation.run import Cell, Plan, Watch, ask, dev_of, free_of, unwatched
from gateway.evaluation.store import IN_MEMORY, Observation, Store
from gateway.models.adapters.card import learned_strategy
from gateway.models.environment import prompts_root
from gateway.models.file import Models
from gateway.scoring.results import Status
from gateway.scoring.rules import Calibrator
from gateway.tasks.dataset import load_dataset
from gateway.tasks.labels import together
from gateway.tasks.tables import Columns, Table, options_of, read_table, with_columns
from gateway.tasks.task import Dataset, Item, Task, label_set, load_task


@dataclass(frozen=True, slots=True)
class ClassifyOptions:
    """What is classified, and how."""

    texts: Sequence[str] = ()
    """Each is the task's last field, which is the long one; the others are empty."""
    file: Path | None = None
    """A table whose rows are classified instead."""
    task: str = "issue-triage"
    labels: Sequence[str] = ()
    """For a task that leaves them open."""
    model: str = ""
    """Entry; empty: the default one."""
    strategy: str = ""
    """Empty: zero_shot, or the one that the model's adapter has learned."""
    train: str | None = None
    """Training data for exemplars and batch calibration."""
    rule: str = ""
    """How label scores become answers. Empty: batch where there is training data, else sum."""
    label_search: str = "auto"
    """Which of many labels are finished: see `ModelSpec.label_search`."""
    columns: Columns = None
    """Field -> name of its column, where the table calls it otherwise."""
    per: str = ""
    """Column of the table that says of which group a row is, for a model with heads by group."""
    group: str = ""
    """Of which the texts are."""
    store: Path = IN_MEMORY
    """Where answers are kept as they come, so that the same call goes on where it was."""
    prompts: Path = field(default_factory=prompts_root)
    models_file: Path | None = None
    watch: Watch = field(default=unwatched, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Classified:
    """The answer to one text."""

    status: Status
    answer: Answer | None
    probabilities: Mapping[str, float]
    text: str
    reason: str
    exact: bool
    """False: a probability rests on a bound or an approximation."""
    model: str
    fingerprint: str
    off_by: float = 0.0
    """By how much a probability may be off at most, where not every label was finished."""

    def columns(self, labels: Sequence[str]) -> list[str]:
        """Status, answer, whether it is exact, and the labels' probabilities, as a CSV has them."""
        given = [f"{self.probabilities[x]:.6f}" if self.probabilities else "" for x in labels]
        return [self.status.value, shown(self.answer), "yes" if self.exact else "no", *given]


@dataclass(frozen=True, slots=True)
class Classification:
    """The answers to texts, or to the rows of a table."""

    answers: tuple[Classified, ...]
    """In the order of what was asked."""
    labels: tuple[str, ...]
    """In the order in which the model is shown them; empty for tasks without."""
    table: Table | None = None
    """That was classified; None: texts were."""
    warnings: tuple[str, ...] = ()
    """What the model is warned of, in one sentence each."""

    def csv(self) -> str:
        """The table with columns for status, answer and the labels' probabilities, in the place of
        those that an earlier classification added."""
        assert self.table is not None
        shares = [f"gateway_p_{label}" for label in self.labels]
        added = ["gateway_status", "gateway_answer", "gateway_exact", *shares]
        answers = [found.columns(self.labels) for found in self.answers]
        return with_columns(self.table, added, answers)


@blocking
@taking(ClassifyOptions)
def classify(options: ClassifyOptions) -> Work[Classification]:
    """What a model answers to texts or to the rows of a table.

    Raises:
        DataError: a text is empty, or the table is wrong.
        ConfigError: no such task, strategy, rule or model; labels are missing.
        BackendError: the model failed.
    """
    models = load_models(options.models_file).serving([options.model] if options.model else [])
    _check_groups(options)
    table = read_table(str(options.file), options_of(options.columns)) if options.file else None
    if table is not None:
        with_columns(table, [], [[]] * len(table.rows))  # What cannot be written is told first.
    return _ask(_plan(options, models), models, table, options)


def _check_groups(options: ClassifyOptions) -> None:
    if options.per and options.file is None:
        raise ConfigError(
            "--per names a column, and a text has none", hint="--group NAME says the text's group"
        )
    if options.group and options.file is not None:
        raise ConfigError(
            "--group is of a text, and a table's rows have their own", hint="--per COLUMN"
        )


def shown(found: Answer | None) -> str:
    """An answer as text; empty where there is none."""
    if found is None:
        return ""
    return found if isinstance(found, str) else canonical_json(found)


async def _ask(
    plan: Plan, models: Models, table: Table | None, options: ClassifyOptions
) -> Classification:
    with Store(options.store) as store:
        (cell,) = await ask(plan, models, store, options.watch)
        answers = store.answers(cell.digest, cell.calibration)
    calibrator = _calibrator(plan, cell, answers) if cell.mode == "score" else None
    found = _classified([answers[cell.key(item)] for item in plan.items], calibrator, cell)
    said = tuple(each for each in cell.warnings if each.startswith(f"{cell.model}: "))
    return Classification(tuple(found), plan.labels, table, said)


def _classified(
    observed: Sequence[Observation], calibrator: Calibrator | None, cell: Cell
) -> Iterator[Classified]:
    found = read_all(observed, calibrator)
    for at, (seen, exact) in enumerate(zip(observed, found.exact(observed), strict=True)):
        yield Classified(
            status=found.status[at],
            answer=found.answer[at],
            probabilities=found.probabilities[at] or {},
            text=seen.text,
            reason=found.reason[at],
            exact=exact,
            off_by=found.off_by[at],
            model=cell.model,
            fingerprint=seen.fingerprint,
        )


def _calibrator(plan: Plan, cell: Cell, answers: Mapping[str, Observation]) -> Calibrator:
    free, dev = free_of(plan), dev_of(plan, cell)
    return fitted(plan.rules[0], plan.labels, answers, free=free, dev=dev)


def _plan(options: ClassifyOptions, models: Models) -> Plan:
    task = load_task(options.task, options.prompts)
    data = _data(options, task)
    train = load_dataset(options.train, task, columns=options.columns) if options.train else None
    data, train = together(task, data, train, options.columns)
    labels = _labels(options, task, data, train)
    return plan_of(_as_run(options, models, train), task, labels, data, train)


def _data(options: ClassifyOptions, task: Task) -> Dataset:
    if options.file is not None:
        columns = replace(options_of(options.columns), group=options.per)
        return load_dataset(str(options.file), task, labelled=False, columns=columns)
    texts = [options.texts] if isinstance(options.texts, str) else options.texts
    if not all(text.strip() for text in texts):
        raise DataError("there is no text to classify", hint='gateway classify "some text"')
    items = tuple(_item(task, n, text, options.group) for n, text in enumerate(texts))
    return Dataset("text", items, digest_json([item.digest for item in items]), ())


def _item(task: Task, number: int, text: str, group: str) -> Item:
    fields = {**dict.fromkeys(task.fields, ""), task.fields[-1]: text}
    return Item(f"text-{number}", fields, None, None, digest_json(fields), group=group)


def _as_run(options: ClassifyOptions, models: Models, train: Dataset | None) -> RunOptions:
    return RunOptions(
        task=options.task,
        data=str(options.file or "text"),
        models=(options.model or models.default,),
        strategies=(options.strategy or _usual(options, models),),
        prompts=options.prompts,
        train=options.train,
        rules=(options.rule or ("batch" if train else "sum"),),
        label_search=options.label_search,
        columns=options.columns,
    )


def _usual(options: ClassifyOptions, models: Models) -> str:
    """The strategy where none is named."""
    learned_in = models.get(options.model or models.default).learned_in
    learned = learned_strategy(learned_in, options.task) if learned_in else ""
    return learned or "zero_shot"


def _labels(
    options: ClassifyOptions, task: Task, data: Dataset, train: Dataset | None
) -> tuple[str, ...]:
    if task.kind != "classification":
        return ()
    if options.labels and task.labels:
        raise ConfigError(f"the task {task.name} has labels of its own", hint="leave out --labels")
    if len(options.labels or task.labels or (train.labels if train else ())) < 2:
        raise ConfigError(
            f"the task {task.name} takes its labels from the data",
            hint="give --labels a,b,c or --train FILE",
        )
    return tuple(options.labels) or label_set(task, data, train)
