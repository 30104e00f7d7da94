"""A learning curve is the same training on nested samples, and is taken up where it ended."""

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.core.errors import ConfigError
from gateway.tuning.curve import point, smaller_jobs, train_one
from gateway.tuning.job import TrainingJob
from gateway.tuning.tune import tune
from tests.tuning.worlds import a_job, unwatched, write_world


@pytest.fixture
def job(tmp_path: Path) -> TrainingJob:
    made = a_job(write_world(tmp_path / "base"), tmp_path)
    return replace(made, recipe=replace(made.recipe, epochs=1))


def test_smaller_samples_are_parts_of_larger_ones_with_all_labels_in_them(job: TrainingJob) -> None:
    small, large = smaller_jobs(job, (16, 8))
    assert (len(small.items), len(large.items)) == (8, 16)
    ids = [{item.id for item in each.items} for each in (small, large, job)]
    assert ids[0] < ids[1] < ids[2]
    assert small.held_out == large.held_out == job.held_out
    assert {item.gold for item in small.items} == {"yes", "no"}
    assert [small.target.name, large.target.name] == ["learned-8", "learned-16"]


@pytest.mark.parametrize("size", [0, 3, 32, 1000])
def test_a_size_is_some_items_and_not_all(job: TrainingJob, size: int) -> None:
    assert len(job.items) == 32
    with pytest.raises(ConfigError, match=f"--curve {size}: a point has 4 items or more"):
        smaller_jobs(job, (8, size))


def test_what_was_trained_is_not_trained_again(
    job: TrainingJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    part, _ = smaller_jobs(job, (8, 16))
    found = train_one(part, unwatched)
    monkeypatch.setattr("gateway.tuning.curve.tune", lambda *a, **k: pytest.fail("trained again"))
    assert train_one(part, unwatched) == found
    assert found.items == 8
    assert found.metrics["held_out_items"] == len(job.held_out)
    assert found.seconds is not None
    assert found.seconds >= 0


def test_another_adapter_of_that_name_is_no_point(job: TrainingJob) -> None:
    (part,) = smaller_jobs(job, (8,))
    tune(part, unwatched)
    other = replace(part, recipe=replace(part.recipe, rank=3))
    with pytest.raises(ConfigError, match="is there already"):
        point(other)
