"""The adapter that ships is of the weights, the task and the prompt that ship."""

from pathlib import Path

import pytest

import gateway
from gateway.core.errors import ConfigError
from gateway.models.adapters.card import read_card
from gateway.models.adapters.names import folder_of, shipped_beside
from gateway.models.adapters.probe import read_probe
from gateway.models.environment import shipped
from gateway.tasks.prompts import load_template
from gateway.tasks.task import load_task
from tests.conftest import spec_and_path

NAME = "issue-triage"


def test_it_is_found_behind_the_users_own(tmp_path: Path) -> None:
    assert NAME in shipped_beside(tmp_path)
    assert folder_of(tmp_path, NAME) == shipped("adapters") / NAME
    own = tmp_path / NAME
    own.mkdir()
    assert NAME not in shipped_beside(tmp_path)
    assert folder_of(tmp_path, NAME) == own


def test_an_unknown_name_says_what_ships(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        folder_of(tmp_path, "issue-triag")
    assert NAME in caught.value.hint


def test_its_prompt_is_the_one_that_ships() -> None:
    card = read_card(shipped("adapters") / NAME)
    assert card is not None
    assert card.prompt is not None
    assert card.data is not None
    assert card.data.digest
    assert card.data.licence
    task = load_task(card.prompt.task, shipped("prompts"))
    template = load_template(task, card.prompt.strategy, shipped("prompts"))
    assert template.digest == card.prompt.digest
    assert set(read_probe(shipped("adapters") / NAME).labels) == {x.name for x in task.labels}


def test_it_sorts_issues_on_the_default_model() -> None:
    spec_and_path("smollm2-135m")
    texts = {
        "The app crashes with a segmentation fault when I open a file.": "bug",
        "It would be great to have a dark theme. Please add an option for it.": "feature",
        "How can I use this with Python 3.11? What am I doing wrong?": "question",
    }
    found = gateway.classify(list(texts), model=f"smollm2-135m+{NAME}")
    assert [each.answer for each in found.answers] == list(texts.values())
