from pathlib import Path

import pytest

from gateway.core.errors import DataError
from gateway.models.environment import shipped
from gateway.tasks.dataset import load_dataset
from gateway.tasks.tables import read_table
from gateway.tasks.task import load_task

datasets = pytest.importorskip("datasets")
pytestmark = pytest.mark.needs("datasets", "pyarrow")
INTENT = load_task("intent", shipped("prompts"))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def saved(folder: Path, rows: dict[str, list[object]], **features: object) -> str:
    """A folder as `push_to_hub` writes it: one Parquet file a split, features in its metadata."""
    made = datasets.Dataset.from_dict(rows, features=datasets.Features(features))
    (folder / "data").mkdir(parents=True)
    made.to_parquet(str(folder / "data" / "test-00000-of-00001.parquet"))
    return f"hf:{folder}@test"


def test_numbers_of_classes_become_names_in_lists_too(tmp_path: Path) -> None:
    classes = datasets.ClassLabel(names=["ham", "spam"])
    text = datasets.Value("string")
    source = saved(
        tmp_path / "mine",
        {"text": ["a", "b"], "label": [1, 0], "all": [[0, 1], []]},
        text=text,
        label=classes,
        all=datasets.Sequence(classes),
    )
    rows = [row.values for row in read_table(source).rows]
    assert [row["label"] for row in rows] == ["spam", "ham"]
    assert rows[0]["all"] == ["ham", "spam"]


def test_minus_one_is_no_label_and_one_error(tmp_path: Path) -> None:
    source = saved(
        tmp_path / "mine",
        {"text": ["a", "b"], "label": [1, -1], "unread": [-1, -1]},
        text=datasets.Value("string"),
        label=datasets.ClassLabel(names=["ham", "spam"]),
        unread=datasets.ClassLabel(names=["x", "y"]),
    )
    with pytest.raises(DataError) as caught:
        load_dataset(source, INTENT)
    assert f"{source}:2: 'label' is -1, which means that there is no label" in str(caught.value)
    assert len(load_dataset(source, INTENT, labelled=False).items) == 2


def test_na_is_text_as_in_a_csv_and_an_empty_cell_is_empty(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "test.csv").write_text("text,label\na,NA\nb,null\n,None\n")
    by_hub = load_dataset(f"hf:{folder}@test", INTENT)
    by_file = load_dataset(str(folder / "test.csv"), INTENT)
    assert [i.gold for i in by_hub.items] == [i.gold for i in by_file.items]
    assert [i.fields for i in by_hub.items] == [i.fields for i in by_file.items]


def test_a_folder_that_cannot_be_read_is_one_error(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "test.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match="cannot be loaded") as caught:
        load_dataset(f"hf:{folder}@test", INTENT)
    assert "\n" not in caught.value.message
