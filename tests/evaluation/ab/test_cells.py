"""How cells are named."""

from pathlib import Path

import pytest

from gateway.backends.fake import FakeSpec
from gateway.core.errors import ConfigError
from gateway.evaluation.ab.cells import Defaults, model_in, read_cells
from gateway.models.file import Models
from gateway.models.spec import PathSource
from gateway.tasks.task import load_task
from tests.support.grids import write_task

MODELS = Models({n: FakeSpec(n, PathSource(Path())) for n in ("one", "two")}, "one")


def read(root: Path, *names: str, strategy: str = "scored") -> list[str]:
    prompts = write_task(root)
    task = load_task("mine", prompts)
    cells = read_cells(names, MODELS, task, prompts, Defaults(strategy, "mean"))
    return [cell.name for cell in cells]


def test_what_a_name_leaves_out_comes_from_the_defaults(tmp_path: Path) -> None:
    named = read(tmp_path, "one", "one/shown", "two/scored/per_byte", "two/written")
    assert named == ["one/scored/mean", "one/shown/mean", "two/scored/per_byte", "two/written"]


def test_few_shot_is_the_default_where_the_task_has_it(tmp_path: Path) -> None:
    prompts = write_task(tmp_path)
    for name in ("zero_shot", "few_shot"):
        (prompts / "mine" / f"{name}.j2").write_text((prompts / "mine/scored.j2").read_text())
        assert read(tmp_path, "one", "two", strategy="") == [
            f"{m}/{name}/mean" for m in ("one", "two")
        ]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("one",), "only one to compare"),
        (("one", "nope"), "no model is called 'nope'"),
        (("one", "nope/scored"), "no model is called 'nope'"),
        (("one", "two/nope"), "no strategy 'nope'"),
        (("one", "two/scored/nope"), "unknown score rule"),
        (("one", "two/scored/sum/more"), "is no cell"),
        (("one", "two/"), "is no cell"),
        (("one", "two/written/sum"), "writes its answer"),
        (("one", "two", "one/scored/mean"), "one/scored/mean is named twice"),
    ],
)
def test_what_is_no_cell_is_said(tmp_path: Path, names: tuple[str, ...], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read(tmp_path, *names)


def test_a_task_without_the_usual_strategies_wants_one_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no strategy few_shot or zero_shot"):
        read(tmp_path, "one", "two", strategy="")


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("ollama:llama3.2:1b", "ollama:llama3.2:1b"),
        ("ollama:hf.co/who/what:Q4_K_M", "ollama:hf.co/who/what:Q4_K_M"),
        ("ollama:hf.co/who/what:Q4_K_M/zero_shot", "ollama:hf.co/who/what:Q4_K_M"),
        ("ollama:hf.co/who/what/zero_shot/sum", "ollama:hf.co/who/what"),
        ("ollama:who/sum", "ollama:who/sum"),
        ("entry/zero_shot/sum", "entry"),
    ],
)
def test_the_model_of_a_cell_may_have_slashes_on_an_ollama_server(name: str, model: str) -> None:
    assert model_in(name, ["zero_shot", "few_shot"]) == model
