"""A task: what is asked, which answers there are, and where both lie in the data.

prompts/<task>/task.toml        kind, labels, fields, columns, metric
prompts/<task>/<strategy>.j2    one template a strategy
prompts/<task>/exemplars.jsonl  the exemplars of `--exemplars fixed`
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.core.digests import digest_json
from gateway.core.errors import ConfigError, DataError
from gateway.core.names import check_name
from gateway.core.toml import read_toml
from gateway.core.types import Answer, Searching, TaskKind

METRICS: Mapping[TaskKind, tuple[str, ...]] = {
    "classification": (
        "macro_f1",
        "weighted_f1",
        "accuracy",
        "balanced_accuracy",
        "mcc",
        "quadratic_kappa",
        "roc_auc",
        "pr_auc",
        "cost",
    ),
    "number": ("mae", "median_ae", "within_one"),
    "extraction": ("exact_match",),
}
"""Metrics that may decide which cell is best, the default first."""
_OF_ONE_LABEL = re.compile(r"precision|recall|roc_auc|pr_auc|f\d+(\.\d+)?")
"""Metrics that are of one label, as recall:bug is."""
OF_ONE_LABEL = "precision, recall, f1, f2, f0.5, roc_auc and pr_auc of one label (recall:LABEL)"


_OF_A_TASK, _OF_A_RUBRIC = "task.toml", "rubric.toml"


@dataclass(frozen=True, slots=True)
class Label:
    """One answer of a classification, and what it means."""

    name: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class Task:
    """What is asked of every item."""

    name: str
    kind: TaskKind
    description: str
    fields: tuple[str, ...]
    """Names of the input fields; the last one is the long one."""
    columns: Mapping[str, tuple[str, ...]]
    """Field -> names that its column may have in the data; the first that is there counts."""
    answers: Mapping[str, tuple[str, ...]]
    """The same for the answer: one name, or one for each field of an extraction."""
    labels: tuple[Label, ...] = ()
    """Empty where the labels come from the data."""
    answer_values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Extraction: the values that each answer field may have."""
    minimum: float = 0.0
    maximum: float = 0.0
    """Number: the least and the greatest answer."""
    metric: str = ""
    costs: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Classification: gold label -> answer -> what that costs."""
    lists: tuple[str, ...] = ()
    """Input fields that hold examples shown beside the item; they are none of its own text."""
    rationale: tuple[str, ...] = ()
    """Names that the column of the answer's reason may have; it may be absent from the data."""
    label_search: Searching = "auto"
    """As in an entry of models.toml: "full" finishes all labels, however many there are."""

    @property
    def digest(self) -> str:
        """Of what may change an answer."""
        return digest_json(
            {
                "kind": self.kind,
                "description": self.description,
                "fields": self.fields,
                "labels": [[label.name, label.description] for label in self.labels],
                "values": {name: list(values) for name, values in self.answer_values.items()},
                "range": [self.minimum, self.maximum],
                **({"lists": self.lists} if self.lists else {}),
            }
        )

    def describe(self, label: str) -> str:
        """The description of a label; empty where there is none."""
        return next((known.description for known in self.labels if known.name == label), "")


@dataclass(frozen=True, slots=True)
class Item:
    """One row of the data."""

    id: str
    fields: Mapping[str, str]
    gold: Answer | None
    """None where the data has no labels."""
    line: int | None
    """Where it stands in its file."""
    digest: str
    """Of the fields: what the model is asked about."""
    rationale: str = ""
    """Why the gold value is the answer, where the data says so."""
    lists: tuple[str, ...] = ()
    """Those of the fields that are no text of the item's own; see `Task.lists`."""
    cluster: str = ""
    """What it has in common with others, such as its author; empty: nothing is known."""
    group: str = ""
    """That it is scored by, such as its repository; empty: there are no groups."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """The items of one file, in the file's order."""

    path: str
    items: tuple[Item, ...]
    digest: str
    """Of ids, fields and gold values."""
    labels: tuple[str, ...]
    """The labels found in the whole file, sorted, whatever the limit."""
    notes: tuple[str, ...] = ()
    """What was decided while reading: how a file was read that did not say it, which labels were
    normalised. Empty for clean data."""


def dataset_of(
    path: str, items: Sequence[Item], labels: Iterable[str], notes: Sequence[str] = ()
) -> Dataset:
    """A dataset with its digest."""
    digest = digest_json([[i.id, i.digest, i.gold, *filter(None, [i.rationale])] for i in items])
    return Dataset(path, tuple(items), digest, tuple(sorted(set(labels))), tuple(notes))


def is_metric(name: str, kind: TaskKind) -> bool:
    """Whether cells of such a task can be ranked by it; of one label as recall:bug."""
    family, _, label = name.partition(":")
    if label:
        return kind == "classification" and bool(_OF_ONE_LABEL.fullmatch(family))
    return name in METRICS[kind]


def metric_of(task: Task, labels: Sequence[str], metric: str, positive: str) -> str:
    """The metric that is asked for, by its whole name; the task's own where none is.

    Args:
        metric: empty: the task's own.
        positive: the label that it is of; empty: of all, or of the one behind its colon.

    Raises:
        ConfigError: there is none of that name, or no such label.
    """
    name = metric or task.metric
    if positive:
        if _OF_ONE_LABEL.fullmatch(name.partition(":")[0]) is None:
            raise ConfigError(
                f"--positive {positive}: {name} is not of one label",
                hint=f"--metric with one of {OF_ONE_LABEL.removesuffix(' (recall:LABEL)')}",
            )
        name = f"{name.partition(':')[0]}:{positive}"
    if name.startswith("field:"):
        return name
    family, _, label = name.partition(":")
    if not is_metric(name, task.kind):
        if _OF_ONE_LABEL.fullmatch(family) and task.kind == "classification":
            raise ConfigError(f"{name} is of one label", hint="say which with --positive LABEL")
        raise ConfigError(
            f"no metric of {task.name} is called {name!r}",
            hint=f"known: {', '.join(METRICS[task.kind])}"
            + (f"; {OF_ONE_LABEL}" if task.kind == "classification" else ""),
        )
    if label and label not in labels:
        raise ConfigError(
            f"{label!r} is none of the labels", hint=f"labels: {', '.join(labels[:20])}"
        )
    if family == "cost" and not task.costs:
        raise ConfigError(
            f"{task.name} has no costs", hint="[costs.GOLD] with ANSWER = number in task.toml"
        )
    return name


def load_task(name: str, root: Path) -> Task:
    """The task in a folder of the root.

    Raises:
        ConfigError: there is no such task, or its task.toml is wrong.
    """
    path = root / check_name(name, "task") / _OF_A_TASK
    if not path.is_file():
        check_root(root)
        raise ConfigError(
            f"no task is called {name!r} in {root}",
            hint=f"known: {', '.join(list_tasks(root)) or 'none'}",
        )
    parsed = read_toml(path, _File)
    return Task(
        name=name,
        kind=parsed.kind,
        description=parsed.description,
        fields=tuple(parsed.fields),
        columns={key: tuple(names) for key, names in parsed.fields.items()},
        answers={key: tuple(names) for key, names in parsed.answer.items()},
        labels=tuple(Label(label.name, label.description) for label in parsed.labels),
        answer_values={key: tuple(values) for key, values in parsed.values.items()},
        minimum=parsed.minimum,
        maximum=parsed.maximum,
        metric=parsed.metric or METRICS[parsed.kind][0],
        costs=parsed.costs,
        lists=tuple(parsed.lists),
        rationale=tuple(parsed.rationale),
        label_search=parsed.label_search,
    )


def list_tasks(root: Path) -> list[str]:
    """Names of the folders that hold a task.toml, sorted."""
    return sorted(path.parent.name for path in root.glob(f"*/{_OF_A_TASK}"))


def check_root(root: Path) -> None:
    """Raise ConfigError for what is no folder of tasks: it is absent, or is a task itself."""
    if not root.is_dir():
        raise ConfigError(f"{root}: no such folder", hint="--prompts names a folder of tasks")
    if any((root / name).is_file() for name in (_OF_A_TASK, _OF_A_RUBRIC)):
        raise ConfigError(
            f"{root} is a task itself, and no folder of tasks",
            hint=f"--prompts {root.absolute().parent}",
        )


_Columns = Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)]
_Identifier = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]


class _Label(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    name: str = Field(min_length=1, max_length=200)
    description: str = ""


class _File(BaseModel):
    """task.toml as it is written; keys that are not known are an error."""

    model_config = ConfigDict(extra="forbid", strict=True)
    kind: TaskKind
    description: str = ""
    metric: str = ""
    costs: dict[str, dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]]] = {}
    lists: list[str] = []
    rationale: list[Annotated[str, Field(min_length=1)]] = []
    label_search: Searching = "auto"
    fields: dict[_Identifier, _Columns] = Field(min_length=1)
    answer: dict[_Identifier, _Columns] = Field(min_length=1)
    labels: list[_Label] = []
    values: dict[_Identifier, list[str]] = {}
    minimum: float = 0.0
    maximum: float = 0.0

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        if self.metric and not is_metric(self.metric, self.kind):
            more = f", or {OF_ONE_LABEL}" if self.kind == "classification" else ""
            raise ValueError(
                f"metric of a {self.kind}: one of {', '.join(METRICS[self.kind])}{more}"
            )
        if self.label_search != "auto" and self.kind != "classification":
            raise ValueError("label_search is of a classification")
        if self.metric == "cost" and not self.costs:
            raise ValueError("the metric cost needs a table: [costs.GOLD] with ANSWER = number")
        if self.kind != "extraction" and len(self.answer) != 1:
            raise ValueError(f"[answer] of a {self.kind} has one key")
        if self.kind == "extraction" and set(self.values) != set(self.answer):
            raise ValueError("[values] lists the allowed values of each key of [answer]")
        if self.kind == "number" and not self.minimum < self.maximum:
            raise ValueError("a number needs minimum and maximum, the one below the other")
        names = [label.name for label in self.labels]
        costed = {*self.costs, *(a for row in self.costs.values() for a in row)}
        if self.kind != "classification" and self.costs:
            raise ValueError("[costs] are of a classification")
        if names and (strange := costed - set(names)):
            raise ValueError(f"[costs] names {min(strange)}, which is no label")
        if len(set(names)) != len(names) or len(names) == 1:
            raise ValueError("labels: two or more, each of another name, or none at all")
        if both := set(self.fields) & set(self.answer):
            raise ValueError(f"{min(both)} is both an input field and an answer")
        if strange := set(self.lists) - set(self.fields):
            raise ValueError(f"lists: {min(strange)} is no input field")
        if set(self.lists) == set(self.fields):
            raise ValueError("lists: an item needs a field of its own")
        return self


def label_set(task: Task, data: Dataset, train: Dataset | None) -> tuple[str, ...]:
    """The task's labels in its own order, or those of all the data, sorted."""
    if task.kind != "classification":
        return ()
    if task.labels:
        return tuple(label.name for label in task.labels)
    found = sorted({*data.labels, *(train.labels if train else ())})
    if len(found) < 2:
        raise DataError(
            f"{data.path}: the data holds {len(found)} labels; a classification needs two or more"
        )
    return tuple(found)
