from dataclasses import replace
from pathlib import Path

import pytest

from gateway.models import choices
from gateway.models.choices import (
    SPLIT_FORM,
    USUAL,
    Choice,
    PlanTrial,
    Settings,
    Speed,
    Tried,
    choice_for,
    save_choice,
)
from gateway.models.environment import fastest_file

FASTEST = Settings("flash", repack=True)
MADE = Choice(
    model="m",
    file="f" * 64,
    kernels="decode",
    processor="here",
    build="llama-cpp-python 1",
    rows=128,
    adapter="",
    settings=FASTEST,
    digest="d" * 64,
    tried=(
        Tried(FASTEST, Speed(300.0, 100.0, 200.0), (PlanTrial("alone", 10, 0),)),
        Tried(USUAL, Speed(150.0, 80.0, 100.0), left="a faster one was kept"),
    ),
)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_DATA", str(tmp_path))
    monkeypatch.setattr(choices, "processor", lambda: "here")


def found(rows: int = 128, build: str = MADE.build) -> Choice | None:
    return choice_for(MADE.file, "decode", build, rows)


def test_a_choice_is_found_again_with_its_evidence() -> None:
    assert found() is None
    save_choice(MADE)
    assert found() == MADE
    assert MADE.gains == (2.0, 1.25, 2.0)


def test_a_choice_is_of_one_file_kernel_and_build() -> None:
    save_choice(MADE)
    assert choice_for("e" * 64, "decode", MADE.build, 128) is None
    assert choice_for(MADE.file, "prefill", MADE.build, 128) is None
    assert found(build="llama-cpp-python 2") is None


def test_a_choice_is_of_one_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    save_choice(MADE)
    monkeypatch.setattr(choices, "processor", lambda: "elsewhere")
    assert found() is None


def test_a_choice_does_not_hold_for_passes_that_were_not_tried() -> None:
    save_choice(MADE)
    assert found(rows=64) == MADE
    assert found(rows=129) is None


def test_other_choices_are_left_as_they_are() -> None:
    other = replace(MADE, file="e" * 64, settings=USUAL)
    save_choice(MADE)
    save_choice(other)
    assert found() == MADE
    assert choice_for(other.file, "decode", MADE.build, 1) == other


def test_a_choice_of_split_weights_is_of_one_form() -> None:
    split = replace(MADE, settings=Settings(split=True), split_form=SPLIT_FORM)
    save_choice(split)
    assert found() == split
    save_choice(replace(split, split_form=SPLIT_FORM - 1))
    assert found() is None, "bytes were others"
    save_choice(replace(MADE, split_form=SPLIT_FORM - 1))
    assert found() is not None, "it has no split weights"


def test_an_adapter_and_its_base_choose_each_for_itself() -> None:
    split = replace(MADE, settings=Settings(split=True), split_form=SPLIT_FORM)
    adapted = replace(MADE, adapter="a" * 64, settings=USUAL)

    def with_adapter() -> Choice | None:
        return choice_for(MADE.file, "decode", MADE.build, 128, adapted=True)

    save_choice(MADE)
    assert with_adapter() == MADE
    save_choice(adapted)
    save_choice(split)
    assert (found(), with_adapter()) == (split, adapted)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"x": 1}'])
def test_an_unreadable_file_chooses_nothing(text: str) -> None:
    fastest_file().write_text(text)
    assert found() is None
    save_choice(MADE)
    assert found() == MADE


def test_an_entry_of_another_form_chooses_nothing() -> None:
    fastest_file().write_text(f'{{"{MADE.key}": {{"settings": "flash"}}}}')
    assert found() is None


def test_settings_are_named_in_a_word() -> None:
    assert [each.name for each in (USUAL, Settings("flash"), Settings(repack=True), FASTEST)] == [
        *("plain", "flash", "repacked"),
        "repacked, flash",
    ]
    assert replace(FASTEST, split=True).name == "split, repacked, flash"
