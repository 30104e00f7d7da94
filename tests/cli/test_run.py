import filecmp
import json
from pathlib import Path

import pytest

from tests.cli.conftest import Gateway
from tests.support.encoders import write_encoder
from tests.support.grids import WORDS, shortest

FILES = ["predictions.jsonl", "report.html", "report.json", "report.md"]
GRID = (
    *("run", "-t", "mine", "-s", "scored,shown,constrained"),
    *("--data", "test.csv", "--train", "train.csv"),
)


def test_a_run_prints_a_table_and_writes_its_files(gateway: Gateway, fake: Path) -> None:
    done = gateway(*GRID, "--store", "s.sqlite", "--out", "out")
    assert done.code == 0, done.err
    assert "fake/scored/batch" in done.out
    assert "baseline:tfidf-logreg" in done.out
    assert "First here:" in done.out
    assert sorted(path.name for path in Path("out").iterdir()) == sorted(
        [*FILES, "timings.json", "timings.md"]
    )
    lines = [json.loads(x) for x in Path("out/predictions.jsonl").read_text().splitlines()]
    keys = [(line["cell"], line["item_id"]) for line in lines]
    assert keys == sorted(keys)
    assert len(keys) == 12 * 7


def test_two_runs_in_fresh_stores_write_the_same_bytes(gateway: Gateway, fake: Path) -> None:
    for name in "ab":
        done = gateway(*GRID, "--store", f"{name}.sqlite", "--out", name, "-q")
        assert done.code == 0, done.err
    assert filecmp.cmpfiles("a", "b", FILES, shallow=False) == (FILES, [], [])


def test_a_stored_run_is_reported_again_without_a_model(gateway: Gateway, fake: Path) -> None:
    gateway(*GRID, "--store", "s.sqlite", "--out", "a")
    run_id = json.loads(Path("a/report.json").read_text())["run_id"]
    Path("models.toml").unlink()
    done = gateway("report", run_id[:6], "--store", "s.sqlite", "--out", "b")
    assert done.code == 0, done.err
    assert filecmp.cmpfiles("a", "b", FILES, shallow=False) == (FILES, [], [])
    unknown = gateway("report", "ffffffffffff", "--store", "s.sqlite", "--out", "c")
    assert unknown.code != 0
    assert "0 runs begin with 'ffffffffffff'" in unknown.err


def test_scores_can_be_computed_again_from_the_files(gateway: Gateway, fake: Path) -> None:
    gateway(*GRID, "--store", "s.sqlite", "--out", "a")
    done = gateway("score", "a", "--json")
    assert done.code == 0, done.err
    want = {c["name"]: c["metrics"] for c in json.loads(Path("a/report.json").read_text())["cells"]}
    assert {c["name"]: c["metrics"] for c in json.loads(done.out)["cells"]} == want
    assert "fake/scored/sum" in gateway("score", "a").out


def test_two_cells_are_compared(gateway: Gateway, fake: Path) -> None:
    gateway(*GRID, "--store", "s.sqlite", "--out", "a")
    pair = ("compare", "a:fake/scored/sum", "fake/constrained")
    done = gateway(*pair)
    assert done.code == 0, done.err
    assert "Permutation test" in done.out
    found = json.loads(gateway(*pair, "--json").out)
    counts = found["contest"]["mcnemar"]
    assert sum(counts[k] for k in ("both_right", "only_a", "only_b", "both_wrong")) == 12
    assert len(found["flips"]) == counts["only_a"] + counts["only_b"]
    assert {item["item_id"] for item in found["items"]} == set(found["differing"])
    unknown = gateway("compare", "a:nope", "fake/constrained")
    assert (unknown.code, "no cell is called 'nope'" in unknown.err) == (2, True)
    assert gateway("compare", "absent", "a").code == 2


def test_runs_on_other_items_are_not_compared(gateway: Gateway, fake: Path) -> None:
    gateway(*GRID, "--store", "s.sqlite", "--out", "a")
    gateway(*GRID, "--store", "s.sqlite", "--out", "b", "--limit", "6")
    done = gateway("compare", "a:fake/constrained", "b:fake/constrained")
    assert done.code == 3
    assert "items" in done.err


def test_prompts_that_do_not_fit_are_counted_and_shown(gateway: Gateway, fake: Path) -> None:
    (fake / "prompts/mine/scored.j2").write_text(
        '{# mode = "constrained"\nmax_tokens = 5000 #}{% block user %}{{ text }}{% endblock %}'
    )
    done = gateway("run", "-t", "mine", "-s", "scored", "--data", "test.csv", "--store", "s")
    assert "truncated" in done.out
    assert done.code == 0, "a prompt that does not fit is a result, counted and shown"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--data", "absent.csv"), "absent.csv: no such file"),
        (("--data", "test.csv", "-t", "nope"), "no task is called 'nope'"),
        (("--data", "test.csv", "-s", "nope"), "no strategy 'nope'"),
        (("--data", "test.csv", "-s", ","), "no strategy is named"),
        (("--data", "test.csv", "-m", "nope"), "no model is called 'nope'"),
        (("--data", "test.csv", "--models-file", "nope.toml"), "nope.toml: no such file"),
        (("--data", "test.csv", "--limit", "0"), "--limit"),
        (("--data", "test.csv", "--column", "x"), "is not FIELD=NAME"),
        (("--data", "test.csv", "--column", "x=y"), "no field 'x'"),
        (("--data", "test.csv", "--column", "text=y"), "no column for 'text'"),
        (("--data", "test.csv", "--score-rule", "best"), "unknown score rule"),
        (("--data", "test.csv", "-s", "shown", "--exemplars", "best"), "cannot be chosen by"),
        (("--data", "test.csv", "-s", "shown"), "no such file, and fixed exemplars"),
        (("--data", "models.toml"), "unknown kind of file"),
        (("--data", "test.csv", "--nope"), "No such option"),
        ((), "Missing option"),
    ],
)
def test_wrong_usage_is_one_message_and_exit_2(
    gateway: Gateway, fake: Path, arguments: tuple[str, ...], said: str
) -> None:
    task = () if "-t" in arguments else ("-t", "mine")
    strategy = () if "-s" in arguments else ("-s", "scored")
    done = gateway("run", *task, *strategy, "--store", "s.sqlite", *arguments)
    assert done.code == 2
    assert said in done.err
    assert done.out == ""


def test_a_store_that_is_none_is_an_error(gateway: Gateway, fake: Path) -> None:
    Path("bad.sqlite").write_text("this is no database, but a text of some length" * 50)
    done = gateway(*GRID, "--store", "bad.sqlite")
    assert done.code == 1
    assert "bad.sqlite" in done.err


def test_an_output_folder_that_is_a_file_is_an_error(gateway: Gateway, fake: Path) -> None:
    Path("out").write_text("x")
    done = gateway(*GRID, "--store", "s.sqlite", "--out", "out")
    assert done.code == 2
    assert "out: a file is in the way" in done.err
    assert not Path("s.sqlite").exists(), "nothing was asked"


@pytest.mark.usefixtures("few")
def test_the_main_job_on_real_weights_gives_the_same_bytes_twice(
    gateway: Gateway, issue_reports: Path, tmp_path: Path
) -> None:
    data = shortest(issue_reports / "test.csv", tmp_path / "test.csv", 2)
    train = shortest(issue_reports / "train.csv", tmp_path / "train.csv", 30)
    for name in "ab":
        done = gateway(
            *("run", "-t", "issue-triage", "-s", "zero_shot,few_shot,cot"),
            *("--data", data, "--train", train),
            *("--dev", 1, "--store", tmp_path / f"{name}.sqlite", "--out", tmp_path / name),
        )
        assert done.code == 0, done.err
    assert filecmp.cmpfiles(tmp_path / "a", tmp_path / "b", FILES, shallow=False) == (FILES, [], [])
    found = json.loads((tmp_path / "a" / "report.json").read_text())
    assert [cell["name"] for cell in found["cells"]] == [
        *(
            f"smollm2-135m/{strategy}/{rule}"
            for strategy in ("zero_shot", "few_shot", "cot")
            for rule in ("sum", "batch")
        ),
        "baseline:majority",
        "baseline:tfidf-logreg",
    ]
    assert all(cell["statuses"]["ok"] == 2 for cell in found["cells"])


@pytest.mark.needs("torch", "transformers")
def test_an_encoder_is_a_baseline_where_there_is_one(
    gateway: Gateway, fake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_ENCODER", str(write_encoder(tmp_path / "encoder")))
    for name in "ab":
        done = gateway(*GRID, "--store", f"{name}.sqlite", "--out", name, "-q")
        assert done.code == 0, done.err
        assert "baseline:encoder-logreg" in done.out
    assert filecmp.cmpfiles("a", "b", FILES, shallow=False) == (FILES, [], [])
    report = json.loads(Path("a/report.json").read_text())
    (cell,) = [each for each in report["cells"] if each["name"] == "baseline:encoder-logreg"]
    low, high = (cell["metrics"]["macro_f1"][end] for end in ("low", "high"))
    assert low < high
    assert report["settings"]["encoder"]
    assert "baseline:encoder-logreg" in gateway("score", "a").out
    held = gateway("compare", "a:fake/scored/sum", "baseline:encoder-logreg")
    assert held.code == 0, held.err
    without = gateway(*GRID, "--store", "a.sqlite", "--no-encoder")
    assert "encoder" not in without.out


def test_an_encoder_without_training_data_is_refused(gateway: Gateway, fake: Path) -> None:
    done = gateway("run", "-t", "mine", "-s", "scored", "--data", "test.csv", "--encoder")
    assert done.code == 2
    assert "give --train FILE, or leave out --encoder" in done.err


GROUPED = (
    *("run", "-t", "mine", "-s", "scored", "--per", "size"),
    *("--data", "sized.csv", "--train", "learned.csv"),
)


def write_sized(path: Path, words: str) -> None:
    """Items of two groups."""
    rows = [
        f"{word},{'yes' if n % 2 else 'no'},{word} {word}ish,{'large' if n % 4 < 2 else 'small'}\n"
        for n, word in enumerate(words.split())
    ]
    path.write_text("id,label,text,size\n" + "".join(rows))


@pytest.fixture
def sized(fake: Path) -> None:
    write_sized(Path("sized.csv"), WORDS)
    write_sized(Path("learned.csv"), "moss nettle oak pine quartz reed sage thorn")


def test_cells_are_scored_by_group_and_baselines_learn_of_each(
    gateway: Gateway, sized: None
) -> None:
    done = gateway(*GROUPED, "--store", "s.sqlite", "--out", "a", "-q")
    assert done.code == 0, done.err
    assert "macro-F1 by size" in " ".join(done.out.split())
    report = json.loads(Path("a/report.json").read_text())
    by = report["groups"]
    sizes = {group: len(ids) for group, ids in by["members"].items()}
    assert (by["column"], sizes) == ("size", {"large": 6, "small": 6})
    cells = {cell["name"]: cell for cell in by["cells"]}
    assert "baseline:tfidf-logreg/per-size" in cells
    assert cells.keys() == {cell["name"] for cell in report["cells"]}
    again = json.loads(gateway("score", "a", "--json").out)["groups"]
    assert {cell["name"]: cell for cell in again["cells"]} == cells
    compared = gateway("compare", "a:fake/scored/sum", "baseline:majority/per-size", "--json")
    two = json.loads(compared.out)["groups"]["cells"]
    assert two == [cells["fake/scored/sum"], cells["baseline:majority/per-size"]]


def test_cells_are_compared_by_group_too(gateway: Gateway, sized: None) -> None:
    done = gateway(
        *("ab", "fake/scored", "fake/constrained", "-t", "mine", "--per", "size"),
        *("--data", "sized.csv", "--train", "learned.csv"),
        *("--store", "s.sqlite", "--out", "ab", "-q"),
    )
    assert done.code == 0, done.err
    assert "macro-F1 by size" in " ".join(done.out.split())
    assert "By size" in Path("ab/ab.md").read_text()
    assert 'id="groups"' in Path("ab/ab.html").read_text()
    groups = json.loads(Path("ab/ab.json").read_text())["report"]["groups"]
    names = {cell["name"] for cell in groups["cells"]}
    assert {"fake/constrained", "baseline:majority/per-size"} <= names
    assert groups["rare_classes"] == ["large", "small"]


def test_a_baseline_of_a_group_learned_from_that_group_alone(gateway: Gateway, sized: None) -> None:
    rows = ["id,label,text,size", "a,yes,w,large", "b,yes,v,large", "c,no,u,small", "d,no,t,small"]
    Path("learned.csv").write_text("\n".join(rows) + "\n")
    gateway(*GROUPED, "--store", "s.sqlite", "--out", "a", "-q")
    lines = [json.loads(x) for x in Path("a/predictions.jsonl").read_text().splitlines()]
    own = [line for line in lines if line["cell"] == "baseline:majority/per-size"]
    large = json.loads(Path("a/report.json").read_text())["groups"]["members"]["large"]
    assert {line["answer"] for line in own if line["item_id"] in large} == {"yes"}
    assert {line["answer"] for line in own if line["item_id"] not in large} == {"no"}


def test_groups_that_nothing_can_be_made_of_are_refused(gateway: Gateway, sized: None) -> None:
    done = gateway(*GROUPED[:5], "--per", "shape", *GROUPED[7:])
    assert done.code == 2
    assert "--per names a column of the data" in done.err
    Path("learned.csv").write_text("id,label,text,size\na,yes,w,large\nb,no,u,large\n")
    assert "the training data has no item of small" in gateway(*GROUPED).err
    Path("learned.csv").write_text("id,label,text,size\na,yes,w,\nb,no,u,large\n")
    assert "learned.csv:2" in gateway(*GROUPED).err
