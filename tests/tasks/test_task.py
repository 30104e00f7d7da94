from pathlib import Path

import pytest

from gateway.core.errors import ConfigError
from gateway.models.environment import shipped
from gateway.tasks.task import Task, list_tasks, load_task

SHIPPED = shipped("prompts")

CLASSIFICATION = """
kind = "classification"
[fields]
text = ["text"]
[answer]
label = ["label"]
"""


def load(root: Path, text: str) -> Task:
    folder = root / "mine"
    folder.mkdir(parents=True)
    (folder / "task.toml").write_text(text)
    return load_task("mine", root)


def test_the_shipped_tasks_load() -> None:
    kinds = {name: load_task(name, SHIPPED).kind for name in list_tasks(SHIPPED)}
    assert kinds == {
        "intent": "classification",
        "issue-fields": "extraction",
        "issue-record": "extraction",
        "issue-triage": "classification",
        "story-estimate": "number",
        "story-points": "number",
    }


def test_labels_have_descriptions() -> None:
    task = load_task("issue-triage", SHIPPED)
    assert [label.name for label in task.labels] == ["bug", "feature", "question"]
    assert all(task.describe(label.name) for label in task.labels)
    assert task.describe("unheard of") == ""


def test_an_unknown_task_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no task is called 'nope'") as caught:
        load_task("nope", SHIPPED)
    assert "issue-triage" in caught.value.hint


def test_a_name_can_not_leave_the_root() -> None:
    with pytest.raises(ConfigError, match="no name of a task"):
        load_task("../prompts/intent", SHIPPED)


def test_the_digest_changes_with_what_may_change_an_answer(tmp_path: Path) -> None:
    plain = load(tmp_path / "a", CLASSIFICATION)
    described = load(tmp_path / "b", 'description = "x"' + CLASSIFICATION)
    renamed = load(tmp_path / "c", CLASSIFICATION.replace('["label"]', '["kind"]'))
    assert described.digest != plain.digest
    assert renamed.digest == plain.digest, "a column's name changes no answer"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind = ", "no valid TOML"),
        ("kind = 'poem'\n[fields]\nt=['t']\n[answer]\nl=['l']", "kind"),
        (CLASSIFICATION + "[more]\nx = 1", "more"),
        (CLASSIFICATION + "[[labels]]\nname = 'only'", "two or more"),
        (CLASSIFICATION + "[[labels]]\nname = 'a'\n[[labels]]\nname = 'a'", "another name"),
        (CLASSIFICATION.replace("label =", "text ="), "both an input field and an answer"),
        ("metric = 'mae'" + CLASSIFICATION, "metric of a classification"),
        (CLASSIFICATION.replace("classification", "number"), "minimum and maximum"),
        (CLASSIFICATION.replace("classification", "extraction"), "allowed values"),
        (CLASSIFICATION + "second = ['x']", "has one key"),
        (CLASSIFICATION.replace('["text"]', "[]"), "fields.text"),
    ],
)
def test_a_wrong_task_file_is_one_error_that_names_it(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        load(tmp_path, text)
    assert "task.toml" in caught.value.message
