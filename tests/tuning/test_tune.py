"""Training from its data to a saved adapter: what it learns, repeats, goes on from and refuses."""

import asyncio
import csv
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from gateway.backends.transformers.backend import TransformersBackend
from gateway.backends.transformers.spec import TransformersSpec
from gateway.core.errors import BackendError, ConfigError, DataError, StoreError
from gateway.core.types import GenerationRequest
from gateway.models.adapters.base import read_base
from gateway.models.adapters.card import read_card
from gateway.models.adapters.check import why_not
from gateway.models.adapters.timings import TIMINGS
from gateway.models.spec import PathSource
from gateway.tuning import training
from gateway.tuning.checkpoint import Logged
from gateway.tuning.job import TrainingJob
from gateway.tuning.training import Watching
from gateway.tuning.tune import Estimate, Tuned, tune
from tests.support.chat_folder import rewrite_json
from tests.tuning.worlds import RECIPE, a_job, unwatched, write_items, write_world


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def job(base: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingJob:
    return a_job(base, tmp_path_factory.mktemp("job"))


@pytest.fixture(scope="module")
def learned(job: TrainingJob) -> Tuned:
    return tune(job, unwatched)


def files(folder: Path) -> dict[str, bytes]:
    """All but the clock's."""
    kept = (path for path in sorted(folder.iterdir()) if path.name != TIMINGS)
    return {path.name: path.read_bytes() for path in kept}


def test_what_the_data_says_is_learned(learned: Tuned) -> None:
    first, *_, last = learned.state.epochs
    assert last.loss < first.loss
    best = next(e for e in learned.state.epochs if e.epoch == learned.state.best)
    assert best.macro_f1 is not None
    assert best.macro_f1 > 0.9


def test_the_adapter_is_one_that_the_gateway_runs_on_that_base(
    learned: Tuned, job: TrainingJob, base: Path
) -> None:
    assert why_not(learned.folder, read_base(job.spec, base)) == ()
    asked = GenerationRequest("tiny", prompt="cedar rain dune\n\nAnswer:\n")

    async def score(adapter: Path | None) -> tuple[float, ...]:
        backend = TransformersBackend(TransformersSpec.like(job.spec, adapter=adapter), base)
        try:
            return (await backend.score_labels(asked, ("yes", "no"))).logprobs
        finally:
            await backend.close()

    yes, no = asyncio.run(score(learned.folder))
    assert no > yes
    assert asyncio.run(score(None)) != (yes, no)


def test_the_card_says_how_it_was_made(learned: Tuned, job: TrainingJob, base: Path) -> None:
    card = read_card(learned.folder)
    assert card is not None
    assert card.base.digest == read_base(job.spec, base).digest
    assert card.data is not None
    assert (card.data.items, card.seed) == (len(job.items), 0)
    assert card.prompt is not None
    assert card.prompt.digest == job.template.digest
    assert card.hyperparameters["rank"] == 16
    assert card.metrics["best_epoch"] == learned.state.best
    assert {"torch", "peft", "transformers"} <= card.versions.keys()


def test_every_step_is_in_the_log(learned: Tuned) -> None:
    with (learned.folder / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == list(range(1, len(learned.state.log) + 1))
    rates = [float(row["learning_rate"]) for row in rows]
    assert max(rates) == RECIPE.learning_rate
    assert rates[-1] < rates[len(rates) // 2]


def test_the_same_command_gives_the_same_bytes(learned: Tuned, job: TrainingJob) -> None:
    again = tune(replace(job, target=job.target.with_name("again")), unwatched)
    assert files(again.folder) == files(learned.folder)


@pytest.mark.parametrize(
    "changes", [{"seed": 1}, {"dropout": 0.3}, {"rank": 8}, {"targets": "query-value"}]
)
def test_another_recipe_gives_another_adapter(
    learned: Tuned, job: TrainingJob, tmp_path: Path, changes: dict[str, object]
) -> None:
    recipe = replace(job.recipe, epochs=1, **changes)  # type: ignore[arg-type]
    one = replace(job, target=tmp_path / "one", recipe=replace(job.recipe, epochs=1))
    other = replace(job, target=tmp_path / "other", recipe=recipe)
    name = "adapter_model.safetensors"
    assert files(tune(one, unwatched).folder)[name] != files(tune(other, unwatched).folder)[name]


class _Killed(Exception):
    pass


def killed_after(steps: int, job: TrainingJob) -> None:
    """Train until so many steps are done, as a kill would end it: without a word."""

    def begin(_: Estimate, __: int) -> Watching:
        def step(logged: Logged) -> None:
            if logged.step == steps:
                raise _Killed

        return Watching(step, lambda: None, lambda _: None)

    with pytest.raises(_Killed):
        tune(job, begin)


@pytest.mark.parametrize("steps", [1, 2, 8, 9, 20])
def test_a_killed_training_goes_on_to_the_same_bytes(
    learned: Tuned,
    job: TrainingJob,
    monkeypatch: pytest.MonkeyPatch,
    steps: int,
) -> None:
    monkeypatch.setattr(training, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    again = replace(job, target=job.target.with_name(f"killed-{steps}"))
    killed_after(steps, again)
    assert not again.target.exists()
    taken: list[int] = []

    def begin(estimate: Estimate, held_out: int) -> Watching:
        taken.append(estimate.from_step)
        return unwatched(estimate, held_out)

    found = tune(again, begin)
    assert taken == [steps - 1], "what was not saved is learned again"
    assert files(found.folder) == files(learned.folder)
    left = [path.name for path in again.target.parent.iterdir() if path.name.startswith(".")]
    assert left == []


def test_a_checkpoint_of_other_settings_is_not_gone_on_from(
    job: TrainingJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    one = replace(job, target=tmp_path / "one", recipe=replace(job.recipe, epochs=1))
    killed_after(2, one)
    other = replace(one, recipe=replace(one.recipe, seed=5))
    with pytest.raises(StoreError, match="other settings"):
        tune(other, unwatched)
    assert tune(other, unwatched, restart=True).folder.is_dir()


@pytest.mark.parametrize(
    ("name", "changes"),
    [("generation_config.json", {"eos_token_id": [2, 4]}), ("config.json", {"rope_theta": 5e4})],
)
def test_nor_is_one_of_a_base_of_which_a_small_file_changed(
    job: TrainingJob,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    changes: dict[str, object],
) -> None:
    monkeypatch.setattr(training, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    assert isinstance(job.spec.source, PathSource)
    base = shutil.copytree(job.spec.source.path, tmp_path / "base")
    spec = replace(job.spec, source=PathSource(base))
    killed = replace(job, spec=spec, target=tmp_path / "one")
    killed_after(2, killed)
    rewrite_json(base / name, **changes)
    with pytest.raises(StoreError, match="other settings, data or weights"):
        tune(killed, unwatched)


def test_only_top_layers_are_trained_when_asked(job: TrainingJob, tmp_path: Path) -> None:
    from safetensors import safe_open

    recipe = replace(job.recipe, top_layers=1)
    found = tune(replace(job, target=tmp_path / "top", recipe=recipe), unwatched)
    with safe_open(found.folder / "adapter_model.safetensors", "pt") as held:
        assert {name.split(".layers.")[1][0] for name in held.keys()}  # noqa: SIM118 == {"1"}
    assert found.state.epochs[-1].loss < found.state.epochs[0].loss


def test_training_stops_when_the_held_out_score_no_longer_grows(
    job: TrainingJob, tmp_path: Path
) -> None:
    recipe = replace(job.recipe, epochs=60, patience=2)
    found = tune(replace(job, target=tmp_path / "long", recipe=recipe), unwatched)
    assert len(found.state.epochs) < 60
    assert found.state.best == found.state.epochs[-1].epoch - 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"targets": "no_such_layer"}, "no linear layers called no_such_layer"),
        ({"top_layers": 2}, "--top-layers 2: the model has 2"),
    ],
)
def test_a_recipe_that_the_model_can_not_follow_is_refused(
    job: TrainingJob, tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    recipe = replace(job.recipe, **changes)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=said):
        tune(replace(job, target=tmp_path / "x", recipe=recipe), unwatched)
    assert not (tmp_path / "x").exists()


def test_a_folder_that_is_there_is_left_alone(learned: Tuned, job: TrainingJob) -> None:
    before = files(learned.folder)
    with pytest.raises(ConfigError, match="is there already"):
        tune(job, unwatched)
    assert files(learned.folder) == before


def test_a_template_with_exemplars_is_refused(base: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="shows exemplars"):
        tune(a_job(base, tmp_path, strategy="shown"), unwatched)


def test_an_example_that_is_too_long_is_an_error_and_never_cut(base: Path, tmp_path: Path) -> None:
    job = a_job(base, tmp_path, recipe=replace(RECIPE, max_tokens=8))
    with pytest.raises(DataError, match="8 are allowed"):
        tune(job, unwatched)


def test_learning_what_is_tested_is_refused(base: Path, tmp_path: Path) -> None:
    test = write_items(tmp_path / "test.csv", 3)
    with pytest.raises(DataError, match="also in test"):
        a_job(base, tmp_path, test=str(test))


def test_answers_that_are_no_labels_are_learned_by_their_loss(base: Path, tmp_path: Path) -> None:
    job = a_job(base, tmp_path, strategy="written")
    found = tune(job, unwatched)
    assert {epoch.macro_f1 for epoch in found.state.epochs} == {None}
    shutil.rmtree(found.folder)


def test_a_base_whose_numbers_are_not_finite_is_one_error(tmp_path: Path) -> None:
    file = write_world(tmp_path / "base") / "model.safetensors"
    tensors = load_file(file)
    tensors["model.norm.weight"] *= float("nan")
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(BackendError, match="the loss is nan"):
        tune(a_job(tmp_path / "base", tmp_path / "job"), unwatched)
