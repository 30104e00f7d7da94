"""A learning curve is the same training on nested samples, and is taken up where it ended."""

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.core.errors import ConfigError
from gateway.tuning.curve import learn, lessons, point
from gateway.tuning.tune import Lesson, tune
from tests.tuning.worlds import a_lesson, unwatched, write_world


@pytest.fixture
def lesson(tmp_path: Path) -> Lesson:
    made = a_lesson(write_world(tmp_path / "base"), tmp_path)
    return replace(made, recipe=replace(made.recipe, epochs=1))


def test_smaller_samples_are_parts_of_larger_ones_with_all_labels_in_them(lesson: Lesson) -> None:
    small, large = lessons(lesson, (16, 8))
    assert (len(small.items), len(large.items)) == (8, 16)
    ids = [{item.id for item in each.items} for each in (small, large, lesson)]
    assert ids[0] < ids[1] < ids[2]
    assert small.held_out == large.held_out == lesson.held_out
    assert {item.gold for item in small.items} == {"yes", "no"}
    assert [small.target.name, large.target.name] == ["learned-8", "learned-16"]


@pytest.mark.parametrize("size", [0, 3, 32, 1000])
def test_a_size_is_some_items_and_not_all(lesson: Lesson, size: int) -> None:
    assert len(lesson.items) == 32
    with pytest.raises(ConfigError, match=f"--curve {size}: a point has 4 items or more"):
        lessons(lesson, (8, size))


def test_what_was_trained_is_not_trained_again(
    lesson: Lesson, monkeypatch: pytest.MonkeyPatch
) -> None:
    part, _ = lessons(lesson, (8, 16))
    found = learn(part, unwatched)
    monkeypatch.setattr("gateway.tuning.curve.tune", lambda *a, **k: pytest.fail("trained again"))
    assert learn(part, unwatched) == found
    assert found.items == 8
    assert found.metrics["held_out_items"] == len(lesson.held_out)
    assert found.seconds is not None
    assert found.seconds >= 0


def test_another_adapter_of_that_name_is_no_point(lesson: Lesson) -> None:
    (part,) = lessons(lesson, (8,))
    tune(part, unwatched)
    other = replace(part, recipe=replace(part.recipe, rank=3))
    with pytest.raises(ConfigError, match="is there already"):
        point(other)
