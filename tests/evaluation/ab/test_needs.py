"""What cells needed before they answered, as the run and the adapters' folders say."""

from datetime import date
from pathlib import Path

import pytest

from gateway.backends.fake import FakeSpec
from gateway.backends.llama_cpp.spec import LlamaCppProbeSpec
from gateway.backends.transformers.spec import TransformersSpec
from gateway.evaluation.ab.cells import CellName
from gateway.evaluation.ab.needs import Needs, needs_of, with_perplexity
from gateway.evaluation.plan import Prepared, RunOptions, prepare
from gateway.models.adapters.card import Card, RecordedBase, RecordedData, write_card
from gateway.models.adapters.names import PROBE
from gateway.models.adapters.timings import TIMINGS, Took, timings_csv, took_of
from gateway.models.file import Models
from gateway.models.spec import ModelSpec, PathSource
from gateway.scoring.rules import ScoreRule
from tests.support.grids import write_data, write_task

TRAIN = " ".join(f"known{n}" for n in range(20))


@pytest.fixture
def prepared(tmp_path: Path) -> Prepared:
    return prepare(
        RunOptions(
            task="mine",
            data=write_data(tmp_path / "test.csv"),
            train=write_data(tmp_path / "train.csv", TRAIN),
            strategies=("scored", "shown"),
            prompts=write_task(tmp_path),
            encoder=False,
        )
    )


def an_adapter(folder: Path, items: int | None, took: Took | None) -> Path:
    folder.mkdir()
    data = None if items is None else RecordedData("train.csv", items=items)
    base = RecordedBase("m", "0" * 64, "llama", 64)
    write_card(folder, Card(base, data, created=date(2026, 11, 27)))
    if took:
        (folder / TIMINGS).write_text(timings_csv(took))
    return folder


def found(prepared: Prepared, *specs: ModelSpec, strategy: str = "scored") -> dict[str, Needs]:
    models = Models({spec.name: spec for spec in specs}, specs[0].name)
    cells = [CellName(spec.name, strategy, ScoreRule.SUM) for spec in specs]
    return needs_of(prepared, cells, ["baseline:majority", "baseline:tfidf-logreg"], models)


def test_a_probe_needs_its_labels_and_forgets_nothing(prepared: Prepared, tmp_path: Path) -> None:
    folder = an_adapter(tmp_path / "quick", 745, Took(0, 0, 9_000, 575.2, kept=3))
    (folder / PROBE).write_text("")
    base = FakeSpec("m", PathSource(Path()))
    probe = LlamaCppProbeSpec("m+quick", PathSource(Path()), probe=folder)
    assert found(prepared, base, probe) == {
        "m/scored/sum": Needs("prompt", 0, 0.0),
        "m+quick/scored/sum": Needs("probe", 745, 575.2, 3, 1.0),
        "baseline:majority": Needs("constant", 20, None),
        "baseline:tfidf-logreg": Needs("words", 20, None),
    }


def test_what_an_adapter_s_folder_does_not_say_is_unknown(
    prepared: Prepared, tmp_path: Path
) -> None:
    folder = an_adapter(tmp_path / "mine", None, None)
    tuned = TransformersSpec("m+mine", PathSource(Path()), adapter=folder)
    of = found(prepared, tuned)
    assert of["m+mine/scored/sum"] == Needs("adapter", None, None, 0, None)
    known = with_perplexity(of, "m+mine/scored/sum", 2.3)
    assert known["m+mine/scored/sum"].perplexity == 2.3


def test_exemplars_are_labels_too(prepared: Prepared, tmp_path: Path) -> None:
    folder = an_adapter(tmp_path / "mine", 10, Took(1, 1, 1, 5.0))
    specs = (
        FakeSpec("m", PathSource(Path())),
        TransformersSpec("m+mine", PathSource(Path()), adapter=folder),
    )
    of = found(prepared, *specs, strategy="shown")
    assert of["m/shown/sum"] == Needs("few-shot", 2, 0.0)
    assert of["m+mine/shown/sum"].labels == 12


def test_where_nothing_was_tuned_there_is_no_table(prepared: Prepared) -> None:
    assert found(prepared, FakeSpec("m", PathSource(Path()))) == {}


def test_timings_of_before_there_were_kept_states_are_read(tmp_path: Path) -> None:
    (tmp_path / TIMINGS).write_text("epochs,steps,tokens,seconds\n5,100,60000,3000.0\n")
    assert took_of(tmp_path) == Took(5, 100, 60_000, 3000.0)


@pytest.mark.parametrize(
    ("one", "other", "less"),
    [
        (Needs("prompt", 0, 0.0), Needs("probe", 745, 9.0), True),
        (Needs("probe", 745, 9.0), Needs("prompt", 0, 0.0), False),
        (Needs("probe", 745, 9.0), Needs("adapter", 745, 99.0), True),
        (Needs("probe", 745, None), Needs("adapter", 745, 99.0), False),
        (Needs("probe", 745, 9.0, kept=745), Needs("adapter", 745, 99.0), False),
        (Needs("probe", None, 9.0), Needs("adapter", 745, 99.0), False),
    ],
)
def test_less_is_fewer_labels_and_then_less_training(one: Needs, other: Needs, less: bool) -> None:
    assert one.less_than(other) is less
