"""A rubric: on what an answer is graded, and what each grade from 1 to 5 means.

prompts/<rubric>/rubric.toml    description, fields and their columns, what each grade means
prompts/<rubric>/grade.j2       how the judge is asked

To all that asks and stores, a rubric is a classification whose labels are the five grades.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from gateway.core.digests import digest_json
from gateway.core.errors import ConfigError
from gateway.core.names import check_name
from gateway.core.toml import read_toml
from gateway.tasks.dataset import load_dataset
from gateway.tasks.prompts import PromptTemplate, load_template
from gateway.tasks.tables import Columns, options_of
from gateway.tasks.task import Dataset, Label, Task, check_root

GRADES = ("1", "2", "3", "4", "5")
HUMAN = "human"
"""What the column of human grades is called where it is not named."""

_STRATEGY = "grade"


@dataclass(frozen=True, slots=True)
class Rubric:
    """A rubric with the template that asks for a grade."""

    task: Task
    template: PromptTemplate

    @property
    def name(self) -> str:
        return self.task.name

    @property
    def digest(self) -> str:
        """Of what may change a grade: the rubric's texts and its template."""
        return digest_json({"rubric": self.task.digest, "template": self.template.digest})


def load_rubric(name: str, root: Path) -> Rubric:
    """The rubric in a folder of the root.

    Raises:
        ConfigError: there is no such rubric, or its rubric.toml or template is wrong.
    """
    path = root / check_name(name, "rubric") / "rubric.toml"
    if not path.is_file():
        check_root(root)
        raise ConfigError(
            f"no rubric is called {name!r} in {root}",
            hint=f"known: {', '.join(list_rubrics(root)) or 'none'}",
        )
    task = _task(name, read_toml(path, _File))
    template = load_template(task, _STRATEGY, root)
    if template.mode != "score" or template.exemplars:
        raise ConfigError(
            f"{path.parent / _STRATEGY}.j2: a judge's grades are scored, without exemplars",
            hint='mode = "score", and no exemplars',
        )
    return Rubric(task, template)


def list_rubrics(root: Path) -> list[str]:
    """Names of the folders that hold a rubric.toml, sorted."""
    return sorted(path.parent.name for path in root.glob("*/rubric.toml"))


def load_answers(
    source: str,
    rubric: Rubric,
    *,
    columns: Columns,
    human: str | None = None,
    limit: int | None = None,
    seed: int = 0,
) -> Dataset:
    """The answers to be graded; an item's gold value is its human grade.

    Args:
        columns: field -> name of its column; with `HUMAN` in it, that of the human grades.
        human: name of the column of human grades, instead; None and no `HUMAN`: none is read.
        limit: a seeded sample of so many, stratified by human grade.

    Raises:
        ConfigError: `columns` names no field of the rubric, or the human column is named twice.
        DataError: the first thing wrong with the data, with file and line; so is a human grade
            that is none of `GRADES`, written as an integer.
    """
    options = options_of(columns)
    if human is not None:
        if HUMAN in options.columns:
            raise ConfigError(f"--human and --column {HUMAN}=... name the same column")
        options = options.with_column(HUMAN, human)
    return load_dataset(
        source,
        rubric.task,
        labelled=HUMAN in options.columns,
        columns=options,
        limit=limit,
        sample_seed=seed,
    )


_Columns = Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)]
_Identifier = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
_Text = Annotated[str, Field(min_length=1)]


class _File(BaseModel):
    """rubric.toml as it is written; keys that are not known are an error."""

    model_config = ConfigDict(extra="forbid", strict=True)
    description: _Text
    fields: dict[_Identifier, _Columns] = Field(min_length=1)
    grades: dict[str, _Text]

    @field_validator("grades")
    @classmethod
    def _all_five(cls, grades: dict[str, str]) -> dict[str, str]:
        if sorted(grades) != list(GRADES):
            raise ValueError(f"[grades] says what each of {', '.join(GRADES)} means")
        return grades

    @field_validator("fields")
    @classmethod
    def _no_human(cls, fields: dict[str, list[str]]) -> dict[str, list[str]]:
        if HUMAN in fields:
            raise ValueError(f"{HUMAN!r} are the human grades, which no judge is shown")
        return fields


def _task(name: str, parsed: _File) -> Task:
    return Task(
        name=name,
        kind="classification",
        description=parsed.description,
        fields=tuple(parsed.fields),
        columns={key: tuple(names) for key, names in parsed.fields.items()},
        answers={HUMAN: (HUMAN,)},
        labels=tuple(Label(grade, parsed.grades[grade]) for grade in GRADES),
    )
