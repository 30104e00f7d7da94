"""The form of a file is damaged: it is told, or the numbers are the same. Nothing is silent."""

import random
import tempfile
from functools import cache
from operator import ne
from pathlib import Path

import pytest

from gateway.core.errors import DataError
from gateway.tasks.dataset import load_dataset
from gateway.tasks.tables import ReadOptions
from gateway.tasks.task import Dataset, Task
from tests.tasks.damage import DAMAGES, FILES

OPEN = Task(
    name="open",
    kind="classification",
    description="",
    fields=("text",),
    columns={"text": ("text",)},
    answers={"label": ("label",)},
)
NUMBER = Task(
    name="number",
    kind="number",
    description="",
    fields=("text",),
    columns=OPEN.columns,
    answers={"storypoint": ("storypoint",)},
    minimum=0,
    maximum=100,
)
TASKS = {"open labels": OPEN, "numbers": NUMBER}
FILE_MARKS = {"rows.parquet": [pytest.mark.needs("pyarrow")]}


@cache
def sound(name: str) -> bytes:
    return FILES[name]()


def read(path: Path, task: Task) -> tuple[Dataset, list[str]]:
    told: list[str] = []
    return load_dataset(str(path), task, columns=ReadOptions(tell=told.append)), told


@cache
def undamaged(name: str, task: str) -> tuple[Dataset, frozenset[str]]:
    """The table that it was, and what was told of it, without the folder."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(sound(name))
        data, told = read(path, TASKS[task])
        return data, frozenset(note.replace(str(path), name) for note in told)


def damaged(path: Path, task: str) -> tuple[Dataset | None, list[str]]:
    """As `read`; none where the file is refused, and the error by its name."""
    try:
        return read(path, TASKS[task])
    except DataError as error:
        said = error.message
    assert said.startswith(str(path))
    return None, [said]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=FILE_MARKS.get(name, [])) for name in FILES]
)
def test_a_sound_file_is_read_without_a_word(tmp_path: Path, name: str, task: str) -> None:
    (tmp_path / name).write_bytes(sound(name))
    data, told = read(tmp_path / name, TASKS[task])
    assert len(data.items) == 1_000
    assert not data.notes or name == "semicolons.csv"
    assert told == list(data.notes)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=FILE_MARKS.get(name, [])) for name in FILES]
)
def test_damage_is_told_or_changes_nothing(
    tmp_path: Path, pytestconfig: pytest.Config, name: str, damage: str
) -> None:
    """At one place, and at more with a larger --fuzz."""
    path = tmp_path / name
    for seed in range(1 + pytestconfig.getoption("--fuzz") // 10_000):
        draw = random.Random(f"{name} {damage} {seed}")  # noqa: S311
        path.write_bytes(DAMAGES[damage](sound(name), draw))
        for task in TASKS:
            before, said = undamaged(name, task)
            after, told = damaged(path, task)
            if after is None:
                continue
            known = {note.replace(str(path), name) for note in told} - said
            assert known or same_numbers(before, after), f"seed {seed}, {task}: silent"


def same_numbers(before: Dataset, after: Dataset) -> bool:
    """The same answers to the same items; within one text a character may differ, which no reader
    can know."""
    answers = [[(item.id, item.gold) for item in data.items] for data in (before, after)]
    texts = [[item.fields for item in data.items] for data in (before, after)]
    return answers[0] == answers[1] and sum(map(ne, *texts)) <= 1
