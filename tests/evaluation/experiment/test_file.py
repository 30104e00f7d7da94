"""Experiment files, as they are read."""

from pathlib import Path

import pytest

from gateway.core.errors import ConfigError
from gateway.evaluation.experiment.file import load_experiment
from gateway.tasks.tables import options_of

LEAST = 'task = "mine"\ndata = "test.csv"\nmodels = ["fake"]\nstrategies = ["shown"]\n'


def written(root: Path, text: str) -> Path:
    path = root / "experiment.toml"
    path.write_text(text)
    return path


def test_a_file_asks_for_a_run_for_each_exemplar_seed(tmp_path: Path) -> None:
    text = LEAST + 'train = "train.csv"\nexemplar_seeds = [3, 1]\nseed = 7\nlimit = 5\nout = "o"\n'
    found = load_experiment(written(tmp_path, text))
    assert found.seeds == (3, 1)
    assert (found.run.seed, found.run.limit) == (7, 5)
    assert found.run.data == str(tmp_path / "test.csv")
    assert found.run.train == str(tmp_path / "train.csv")
    assert found.out == tmp_path / "o"


def test_without_exemplar_seeds_there_is_one_run_with_the_seed(tmp_path: Path) -> None:
    assert load_experiment(written(tmp_path, LEAST + "seed = 4\n")).seeds == (4,)


def test_a_file_asks_for_every_level_and_adapter_of_every_model(tmp_path: Path) -> None:
    text = LEAST.replace('["fake"]', '["a", "b"]')
    text += 'quantizations = ["none", "Q4_0"]\nadapters = ["none", "x"]\n'
    found = load_experiment(written(tmp_path, text))
    assert found.run.models == ("a", "a+x", "a-q4_0", "a-q4_0+x", "b", "b+x", "b-q4_0", "b-q4_0+x")


def test_a_dataset_of_the_hub_is_no_path(tmp_path: Path) -> None:
    text = LEAST.replace("test.csv", "hf:some/data")
    assert load_experiment(written(tmp_path, text)).run.data == "hf:some/data"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LEAST + "modles = []\n", "unknown key 'modles'"),
        (LEAST.replace("models", "modles"), "unknown key 'modles'"),
        (LEAST.replace('"fake"', ""), "models: List should have at least 1 item"),
        ('task = "mine"\n', "data: Field required"),
        (LEAST + 'limit = "5"\n', "limit: Input should be a valid integer"),
        (LEAST + "limit = 0\n", "limit: Input should be greater than or equal to 1"),
        (LEAST + "margin = 0\n", "margin: Input should be greater than 0"),
        (LEAST + "exemplar_seeds = [1, 1]\n", "exemplar_seeds lists something twice"),
        (LEAST + "exemplar_seeds = [-1]\n", "exemplar_seeds.0"),
        (LEAST + 'quantizations = ["Q9_9"]\n', "'Q9_9' names no quantization level"),
        (LEAST + "adapters = []\n", "adapters: List should have at least 1 item"),
        (LEAST + 'adapters = ["x", "x"]\n', "adapters lists something twice"),
        (LEAST + 'quantizations = ["Q4_K", "q4_k_m"]\n', "come to 'fake-q4_k_m' twice"),
        ("task = ", "no valid TOML"),
    ],
)
def test_what_is_wrong_is_said_with_file_and_key(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_experiment(written(tmp_path, text))
    assert said in str(refused.value)
    assert "experiment.toml" in str(refused.value)


def test_an_absent_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nope\.toml: cannot be read"):
        load_experiment(tmp_path / "nope.toml")


def test_the_form_of_the_data_is_said_as_on_the_command_line(tmp_path: Path) -> None:
    text = LEAST + 'columns = { title = "Summary" }\ndelimiter = "tab"\nquoting = "none"\n'
    columns = options_of(load_experiment(written(tmp_path, text)).run.columns)
    assert (columns.columns, columns.delimiter) == ({"title": "Summary"}, "\t")
    assert columns.quoting == "none"
    with pytest.raises(ConfigError, match=r"experiment\.toml: --encoding 'nope'"):
        load_experiment(written(tmp_path, LEAST + 'encoding = "nope"\n'))
