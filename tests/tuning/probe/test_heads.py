"""Heads of a probe, where what a word means in one group is the opposite of it in another."""

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import gateway
from gateway.backends.llama_cpp.spec import LlamaCppSpec
from gateway.core.errors import ConfigError, ModelLoadError
from gateway.core.json import request_from_json, request_to_json
from gateway.core.types import GenerationRequest
from gateway.evaluation.summary import RunResult
from gateway.models.adapters.card import read_card
from gateway.models.adapters.heads import HEADS, read_heads, whole_digest
from gateway.models.adapters.probe import probe_digest, read_probe
from gateway.models.spec import PathSource
from gateway.report.pages.adapters import probe_details
from gateway.report.pages.tuning import tuned_lines
from gateway.tuning.job import TuningOptions, job_of
from gateway.tuning.probe.recipe import ProbeRecipe
from gateway.tuning.probe.train import Probed, train
from tests.support.grids import write_task
from tests.support.tiny_gguf import write_gguf
from tests.tuning.worlds import write_items

NOBODY = lambda _, __: lambda: None  # noqa: E731


def write_grouped(path: Path, count: int, *, groups: tuple[str, ...] = ("north", "south")) -> Path:
    """Items whose word says the label, in the south the other one."""
    with write_items(path, count).open() as file:
        rows = list(csv.DictReader(file))
    for number, row in enumerate(rows):
        row["place"] = groups[number // 4 % len(groups)]
        if row["place"] == "south":
            row["label"] = {"yes": "no", "no": "yes"}[row["label"]]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["id", "label", "text", "place"])
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A model of two layers, and a probe of it with heads."""
    root = tmp_path_factory.mktemp("heads")
    (path,) = write_gguf(root / "tiny.gguf")
    spec = LlamaCppSpec("tiny", PathSource(path), context_length=512, threads=1)
    table = write_grouped(root / "train.csv", 124, groups=("north", "south"))
    rows = table.read_text().splitlines()
    table.write_text("\n".join(row.replace("south", "east") if i in {5, 6, 7} else row
                               for i, row in enumerate(rows)) + "\n")  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gateway.tuning.probe.train.data_root", lambda: root / "data")
        patch.setenv("GATEWAY_ADAPTERS", str(root / "adapters"))
        options = TuningOptions(
            name="mine",
            task="mine",
            train=str(table),
            strategy="scored",
            prompts=write_task(root),
            method="probe",
            probe=ProbeRecipe(folds=3, per="place"),
            threads=1,
        )
        job, _ = job_of(options, spec, root / "adapters" / "mine")
        made = train(job, options.probe, NOBODY)
        (root / "models.toml").write_text(
            f'[models.tiny]\nbackend = "llama_cpp"\nsource = {{ path = "{path}" }}\n'
            "context_length = 512\nthreads = 1\n"
        )
        yield SimpleNamespace(root=root, spec=spec, made=made, options=options)


@pytest.fixture(scope="module")
def made(world: SimpleNamespace) -> Probed:
    found = world.made
    assert isinstance(found, Probed)
    return found


def asked(world: SimpleNamespace, name: str, groups: tuple[str, ...], per: str) -> RunResult:
    test = write_grouped(world.root / f"{name}.csv", 16, groups=groups)
    return gateway.run(
        task="mine",
        data=str(test),
        models=("tiny+mine",),
        strategies=("scored",),
        rules=("sum",),
        per=per,
        store=world.root / "runs.sqlite",
        models_file=world.root / "models.toml",
        prompts=world.root / "prompts",
    )


def accuracy(found: RunResult) -> float:
    return found.report.cells[0].metrics["accuracy"].value


def test_each_group_is_answered_by_what_it_taught(made: Probed) -> None:
    of = {each.group: each for each in made.groups}
    assert of["north"].answered > 0.9 > of["north"].pooled
    assert of["south"].answered > 0.9
    assert made.mean("answered") > made.mean("pooled")


def test_a_group_of_few_items_has_no_head_and_is_counted(made: Probed) -> None:
    (east,) = (each for each in made.groups if each.group == "east")
    assert east.why == "3 items, and a head needs 30"
    assert east.answered == east.pooled
    said = "\n".join(tuned_lines(made))
    assert "the probe of all answers 1 of 3 groups (3 items)" in said
    assert "was chosen on these same items, which flatters heads" in said


def test_the_card_and_the_page_name_the_heads(made: Probed) -> None:
    card = read_card(made.folder)
    assert card is not None
    assert card.hyperparameters["per"] == "place"
    assert card.metrics["cross_validated_mean_over_groups"] == pytest.approx(made.mean("answered"))
    assert "head of south" in str(probe_details(made.folder))


def test_a_run_by_group_asks_the_heads_and_one_without_asks_the_probe_of_all(
    world: SimpleNamespace,
) -> None:
    groups = ("north", "south")
    assert accuracy(asked(world, "both", groups, "place")) > 0.9
    plain = asked(world, "both", groups, "")
    assert accuracy(plain) < 0.9
    assert "tiny+mine: it has heads by place, and nobody says the place (--per place)" in (
        plain.report.warnings
    )


def test_a_text_and_the_rows_of_a_table_are_classified_by_their_group(
    world: SimpleNamespace, tmp_path: Path
) -> None:
    classify = partial(
        gateway.classify,
        task="mine",
        model="tiny+mine",
        models_file=world.root / "models.toml",
        prompts=world.root / "prompts",
    )
    text = "elm birch sun fjord moss"
    found = [classify(text, group=group).answers[0].answer for group in ("north", "south")]
    assert found == ["yes", "no"]
    table = tmp_path / "table.csv"
    table.write_text(f"id,text,place\na,{text},north\nb,{text},south\n")
    assert [each.answer for each in classify(file=table, per="place").answers] == ["yes", "no"]
    with pytest.raises(ConfigError, match="--per names a column, and a text has none"):
        classify(text, per="place")
    with pytest.raises(ConfigError, match="--group is of a text"):
        classify(file=table, group="north")


def test_items_of_unseen_groups_are_counted(world: SimpleNamespace) -> None:
    found = asked(world, "west", ("north", "west"), "place")
    (said,) = (each for each in found.report.warnings if "head" in each)
    assert said == (
        "tiny+mine: 8 of 16 items are of no place that it has a head for (west); the probe of all "
        "answers them"
    )


def test_one_text_of_two_groups_has_two_answers(world: SimpleNamespace) -> None:
    test = world.root / "twice.csv"
    text = "elm birch sun fjord moss"
    test.write_text(f"id,label,text,place\na,yes,{text},north\nb,no,{text},south\n")
    found = gateway.run(
        task="mine",
        data=str(test),
        models=("tiny+mine",),
        strategies=("scored",),
        rules=("sum",),
        per="place",
        store=world.root / "runs.sqlite",
        models_file=world.root / "models.toml",
        prompts=world.root / "prompts",
    )
    (cell,) = found.predictions.values()
    assert [each.answer for each in cell] == ["yes", "no"]
    assert len(found.timings) == 1


def test_heads_are_a_part_of_what_identifies_it(made: Probed, tmp_path: Path) -> None:
    assert whole_digest(made.folder) != probe_digest(made.folder)
    heads = read_heads(made.folder, read_probe(made.folder))
    assert heads.column == "place"
    assert set(heads.by_group) == {"north", "south"}


@pytest.mark.parametrize("damage", ["{", '{"form": 2, "column": "place", "heads": []}'])
def test_damaged_heads_are_told(made: Probed, tmp_path: Path, damage: str) -> None:
    (tmp_path / HEADS).write_text(damage)
    with pytest.raises(ConfigError, match="no heads that this version reads"):
        read_heads(tmp_path, read_probe(made.folder))


def test_a_head_that_is_missing_or_of_other_labels_is_told(made: Probed, tmp_path: Path) -> None:
    probe = read_probe(made.folder)
    (tmp_path / HEADS).write_text((made.folder / HEADS).read_text())
    with pytest.raises(ModelLoadError, match="no readable probe"):
        read_heads(tmp_path, probe)
    with pytest.raises(ModelLoadError, match="does not go with the probe"):
        read_heads(made.folder, replace(probe, labels=("a", "b")))


def test_a_column_that_is_not_there_is_told(world: SimpleNamespace) -> None:
    options = replace(world.options, probe=ProbeRecipe(per="region"))
    with pytest.raises(gateway.errors.DataError, match="region"):
        job_of(options, world.spec, world.root / "adapters" / "other")


def test_heads_of_an_adapter_are_refused(world: SimpleNamespace) -> None:
    with pytest.raises(ConfigError, match="an adapter has no heads by group"):
        gateway.tune(
            "other",
            "mine",
            world.options.train,
            model="tiny",
            strategy="scored",
            probe=ProbeRecipe(per="place"),
            models_file=world.root / "models.toml",
            prompts=world.root / "prompts",
        )


def test_a_request_without_a_group_has_the_text_that_it_always_had() -> None:
    plain = GenerationRequest("m", prompt="x")
    assert "group" not in json.loads(request_to_json(plain))
    grouped = replace(plain, group="north")
    assert request_from_json(request_to_json(grouped)) == grouped
    assert request_from_json(request_to_json(plain)) == plain


def test_a_mix_of_two_is_between_them() -> None:
    from gateway.models.adapters.heads import mixed

    own, pooled = np.log([0.9, 0.1]), np.log([0.5, 0.5])
    assert np.exp(mixed(own, pooled, 0.5)) == pytest.approx([0.75, 0.25])
    assert mixed(own, pooled, 0.0) == pytest.approx(own)
