import json
import statistics
from pathlib import Path

import pytest

from tests.cli.conftest import Gateway
from tests.report.test_html import Page

FILE = """
task = "mine"
data = "test.csv"
train = "train.csv"
models = ["fake"]
strategies = ["scored", "shown"]
exemplar_seeds = [0, 1, 2]
score_rules = ["sum"]
out = "out"
"""
FILES = ["experiment.html", "experiment.json", "experiment.md", "seed-1/report.html"]


@pytest.fixture
def experiment(fake: Path) -> Path:
    path = fake / "experiment.toml"
    path.write_text(FILE)
    return path


def test_the_spread_over_exemplar_seeds_is_that_of_the_single_runs(
    gateway: Gateway, experiment: Path
) -> None:
    done = gateway("run", experiment, "--store", "s.sqlite")
    assert done.code == 0, done.err
    assert "fake/shown/sum" in done.out
    assert "baseline:majority" in done.out
    found = json.loads(Path("out/experiment.json").read_text())
    values = {each["cell"]: each["values"] for each in found["spreads"]}
    assert list(values["fake/scored/sum"]) == ["0"], "it shows no exemplars"
    for seed in "012":
        alone = json.loads(Path(f"out/seed-{seed}/report.json").read_text())
        (cell,) = [cell for cell in alone["cells"] if cell["name"] == "fake/shown/sum"]
        assert values["fake/shown/sum"][seed] == cell["metrics"]["macro_f1"]["value"]
    deviation = statistics.stdev(values["fake/shown/sum"].values())
    assert f"standard deviation {deviation:.3f}" in " ".join(done.out.split())


def test_its_metric_may_be_one_that_a_run_has_only_where_it_is_asked_for(
    gateway: Gateway, experiment: Path
) -> None:
    only = FILE.replace("out =", 'metric = "recall:yes"\nout =').replace("[0, 1, 2]", "[0]")
    experiment.write_text(only)
    assert gateway("run", experiment, "--store", "s.sqlite", "-q").code == 0
    found = json.loads(Path("out/experiment.json").read_text())
    assert all("0" in each["values"] for each in found["spreads"])
    experiment.write_text(only.replace("recall:yes", "recall:none"))
    assert "'none' is none of the labels" in gateway("run", experiment).err


def test_every_document_has_one_answer_for_the_same_two_cells(
    gateway: Gateway, experiment: Path
) -> None:
    experiment.write_text(FILE.replace('"shown"]', '"constrained"]').replace("[0, 1, 2]", "[0]"))
    where = ("--store", "s.sqlite", "-q")
    data = ("-t", "mine", "--data", "test.csv", "--train", "train.csv")
    assert gateway("run", experiment, *where).code == 0
    run = (*data, "-m", "fake", "-s", "scored,constrained", "--score-rule", "sum")
    assert gateway("run", *run, *where, "--out", "run").code == 0
    (first,) = json.loads(Path("out/experiment.json").read_text())["pairs"]
    a, b = first["contest"]["a"], first["contest"]["b"]
    assert {a, b} == {"fake/scored/sum", "fake/constrained"}
    assert gateway("ab", b, a, *data, *where, "--out", "ab").code == 0
    compared = gateway("compare", f"run:{a}", b, "--json")
    assert compared.code == 0, compared.err
    (in_run,) = json.loads(Path("run/report.json").read_text())["comparisons"]
    (in_seed,) = json.loads(Path("out/seed-0/report.json").read_text())["comparisons"]
    (in_ab,) = json.loads(Path("ab/ab.json").read_text())["pairs"]
    assert in_seed == in_ab == first
    by_command = json.loads(compared.out)
    for key in ("contest", "claim", "permutation_p", "mcnemar_p", "reach", "flips", "differing"):
        assert by_command[key] == in_run[key]
    # A run has no margin, which an experiment and ab have.
    for what in ("a", "b", "n", "difference", "permutation", "mcnemar", "power"):
        assert in_run["contest"][what] == first["contest"][what]
    assert in_run["permutation_p"] == first["permutation_p"]
    assert in_run["mcnemar_p"] == first["mcnemar_p"]


def test_an_experiment_goes_on_where_it_was_and_gives_the_same_bytes(
    gateway: Gateway, experiment: Path
) -> None:
    run = ("run", experiment, "--store", "s.sqlite", "-q")
    assert gateway(*run).code == 0
    first = {name: Path("out", name).read_bytes() for name in [*FILES, "seed-2/timings.json"]}
    assert gateway(*run).code == 0
    assert {name: Path("out", name).read_bytes() for name in first} == first
    assert gateway("run", experiment, "--store", "other.sqlite", "-q").code == 0
    assert all(Path("out", name).read_bytes() == first[name] for name in FILES)


def test_the_page_holds_every_pair(gateway: Gateway, experiment: Path) -> None:
    assert gateway("run", experiment, "--store", "s.sqlite").code == 0
    page = Page(Path("out/experiment.html").read_text())
    assert not page.tags.keys() & {"script", "link", "img"}
    assert {x.removeprefix("#") for x in page.values("href")} <= set(page.values("id"))
    assert "Every pair" in page.text


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("models =", "modles =", "experiment.toml: unknown key 'modles'"),
        ('["fake"]', '["nope"]', "no model is called 'nope'"),
        ('"shown"]', '"nope"]', "no strategy 'nope'"),
        ('["scored", "shown"]', '["scored"]', "every seed shows the same exemplars"),
        ("out =", 'quantizations = ["Q4_0"]\nout =', "gateway quantize fake --to Q4_0"),
        ("out =", 'metric = "mae"\nout =', "not compared by 'mae'"),
    ],
)
def test_a_file_that_can_not_be_run_is_one_message_and_exit_2(
    gateway: Gateway, experiment: Path, old: str, new: str, said: str
) -> None:
    experiment.write_text(FILE.replace(old, new))
    done = gateway("run", experiment, "--store", "s.sqlite")
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert not Path("s.sqlite").exists(), "nothing was asked"


def test_options_beside_a_file_are_refused(gateway: Gateway, experiment: Path) -> None:
    done = gateway("run", experiment, "--limit", 5, "--store", "s.sqlite")
    assert done.code == 2
    assert "--limit is given beside" in done.err
