"""Files of the kinds that programs really export and that once gave a wrong number or a traceback,
each through the command that a person would type."""

import csv
import io
import json
from decimal import Decimal
from pathlib import Path

import pytest

from gateway.models.environment import shipped
from tests.cli.conftest import FAKE, Done, Gateway
from tests.tasks import exports

TRIAGE = ("run", "-t", "issue-triage", "-s", "zero_shot", "--store", "s.sqlite", "-q")
INTENT = ("run", "-t", "intent", "-s", "zero_shot", "--store", "s.sqlite", "-q")
POINTS = ("run", "-t", "story-points", "-s", "zero_shot", "--store", "s.sqlite", "-q")
ISSUES = "id,label,title,body\na,bug,It’s broken,café “quoted”\nb,question,How?,plain\n"


@pytest.fixture(autouse=True)
def _fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models.toml").write_text(FAKE)
    monkeypatch.setenv("GATEWAY_MODELS", str(tmp_path / "models.toml"))
    monkeypatch.setenv("GATEWAY_PROMPTS", str(shipped("prompts")))
    monkeypatch.chdir(tmp_path)


def golds(done: Done) -> list[str]:
    """The gold labels of a run with `--out out`, an item each."""
    assert done.code == 0, done.err
    lines = [json.loads(x) for x in Path("out/predictions.jsonl").read_text().splitlines()]
    return [str(line["gold"]) for line in lines if line["cell"] == lines[0]["cell"]]


def parquet(name: str, **columns: object) -> str:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table(columns), name)
    return name


def test_01_utf_16_is_read_and_told(gateway: Gateway) -> None:
    Path("d.csv").write_bytes(ISSUES.encode("utf-16"))
    done = gateway(*TRIAGE, "--data", "d.csv", "--out", "out")
    assert golds(done) == ["bug", "question"]
    assert "d.csv: read as UTF-16, as its first bytes say" in done.err


def test_02_windows_1252_is_named_with_what_it_would_read(gateway: Gateway) -> None:
    Path("d.csv").write_bytes(ISSUES.encode("windows-1252"))
    done = gateway(*TRIAGE, "--data", "d.csv")
    assert done.code == 2
    assert "d.csv:2: byte 0x92 at offset" in done.err
    assert "--encoding windows-1252, if 'a,bug,It’s broken" in done.err
    done = gateway(*TRIAGE, "--data", "d.csv", "--encoding", "windows-1252", "--out", "out")
    assert golds(done) == ["bug", "question"]


def test_03_semicolons_are_seen_and_told(gateway: Gateway) -> None:
    Path("d.csv").write_text(ISSUES.replace(",", ";"))
    done = gateway(*TRIAGE, "--data", "d.csv", "--out", "out")
    assert golds(done) == ["bug", "question"]
    assert 'd.csv: the fields are separated by ";"' in done.err


def test_05_columns_that_repeat_and_that_no_field_reads_do_not_matter(gateway: Gateway) -> None:
    Path("jira.csv").write_bytes(exports.jira_csv())
    done = gateway(
        *(*POINTS, "--data", "jira.csv", "--out", "out", "--column", "title=Summary"),
        *("--column", "description=Description"),
        *("--column", "storypoint=Custom field (Story Points)"),
    )
    assert sorted(golds(done)) == sorted(f"{point}.0" for point in exports.POINTS)


@pytest.mark.needs("datasets", "pyarrow")
def test_07_a_class_of_minus_one_is_no_label_and_one_error(
    gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    exports.write_hub(tmp_path)
    done = gateway(*INTENT, "--data", f"hf:{exports.HUB}@unlabelled")
    assert done.code == 2
    assert "'label' is -1, which means that there is no label" in done.err


@pytest.mark.needs("pyarrow")
def test_09_nan_is_an_empty_label_as_null_is(gateway: Gateway) -> None:
    for label in ([1.0, float("nan")], [1.0, None]):
        done = gateway(*INTENT, "--data", parquet("d.parquet", text=["a", "b"], label=label))
        assert done.code == 2
        assert "d.parquet:2: 'label' is empty; a label is expected" in done.err


@pytest.mark.needs("pyarrow")
def test_10_equal_numbers_of_two_files_are_one_label_and_that_is_told(gateway: Gateway) -> None:
    rows = [f"train {n} {'abcdefghij'[n]}{n},{n % 2}\n" for n in range(10)]
    Path("train.csv").write_text("text,label\n" + "".join(rows))
    test = parquet("test.parquet", text=["train one", "b b"], label=[0.0, 1.0])
    done = gateway(*INTENT, "--data", test, "--train", "train.csv", "--out", "out")
    assert golds(done) == ["0", "1"]
    assert "equal ones are one label: 0.0 is 0, 1.0 is 1" in done.err
    report = json.loads(Path("out/report.json").read_text())
    assert report["labels"] == ["0", "1"]
    majority = next(cell for cell in report["cells"] if cell["name"] == "baseline:majority")
    assert majority["metrics"]["accuracy"]["value"] == 0.5


def test_11_labels_have_one_spelling_and_those_that_look_alike_are_warned_of(
    gateway: Gateway,
) -> None:
    Path("train.csv").write_text("text,label\n" + "".join(f"t{n} u{n},spam\n" for n in range(6)))
    labels = ["Spam", "ham\u00a0", "ham\u200b", "lost\u00a0card", "lost card", "cafe\u0301", "café"]
    rows = [f"v{n} w{n},{label}\n" for n, label in enumerate(labels)]
    Path("test.csv").write_text("text,label\n" + "".join(rows))
    done = gateway(*INTENT, "--data", "test.csv", "--train", "train.csv", "--out", "out")
    assert golds(done) == ["Spam", "ham", "ham", "lost card", "lost card", "café", "café"]
    assert "'label' was normalised in 4 rows" in done.err
    said = " ".join((done.out + done.err).split())
    assert "labels look alike and are different answers: 'Spam', 'spam'" in said
    assert "labels of the test data that no training item has: 'Spam'" in said
    assert "labels of the training data that no test item has: 'spam'" in said


def test_12_a_lone_quote_does_not_swallow_the_next_row(gateway: Gateway) -> None:
    rows = ['1\t"one\tspam\n', '2\ttwo"\tham\n', "3\tthree\tspam\n", "4\tfour\tham\n"]
    Path("d.tsv").write_text("id\ttext\tlabel\n" + "".join(rows))
    done = gateway(*INTENT, "--data", "d.tsv")
    assert done.code == 2
    assert "d.tsv:2: a quote opens here and closes in line 3" in done.err
    done = gateway(*INTENT, "--data", "d.tsv", "--quoting", "none", "--out", "out")
    assert golds(done) == ["spam", "ham", "spam", "ham"]


CLASSIFY = ("classify", "-t", "issue-triage", "-s", "zero_shot", "--store", "s.sqlite", "-q")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("d.tsv", "id\ttitle\tbody\n1\tCrash\tx\n2\tHow\ty\n"),
        ("d.jsonl", '{"id": 1, "title": "Crash", "body": "x"}\n{"id": 2, "title": "How"}\n'),
    ],
)
def test_13_classify_reads_every_row(gateway: Gateway, name: str, content: str) -> None:
    Path(name).write_text(content.replace('"How"}', '"How", "body": "y"}'))
    done = gateway(*CLASSIFY, "--file", name)
    assert done.code == 0, done.err
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert [(row["title"], row["gateway_status"]) for row in rows] == [
        ("Crash", "ok"),
        ("How", "ok"),
    ]


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{% for m in messages %}{{ m }}{% endfor %}" * 99, "a template, where the path of one"),
        ("latin.jinja", "latin.jinja: byte 0xe9 at offset 3 is no UTF-8"),
        ("x" * 5000 + ".jinja", "no such file"),
    ],
)
def test_15_a_wrong_chat_template_is_one_error_of_every_command(
    gateway: Gateway, template: str, said: str
) -> None:
    Path("latin.jinja").write_bytes(b"caf\xe9 {{ messages }}")
    entry = f'[models.mine]\nsource = {{ path = "x.gguf" }}\nchat_template = "{template}"\n'
    Path("mine.toml").write_text(entry)
    done = gateway("models", "list", "--models-file", "mine.toml")
    assert done.code == 2
    assert "mine.toml: models.mine: chat_template" in done.err
    assert said in done.err
    assert len(done.err) < 600


@pytest.mark.needs("pyarrow")
def test_19_a_decimal_is_a_number(gateway: Gateway) -> None:
    points = [Decimal("3.00"), Decimal("0.50")]
    data = parquet("d.parquet", title=["a", "b"], description=["x", "y"], storypoint=points)
    assert golds(gateway(*POINTS, "--data", data, "--out", "out")) == ["3.0", "0.5"]


def test_21_classify_reads_its_own_output_and_writes_it_again(gateway: Gateway) -> None:
    Path("d.csv").write_text('title,body\nCrash,"x, y"\nHow,"line 1\nline 2"\n')
    made = [Path("once.csv"), Path("twice.csv")]
    for source, output in (("d.csv", made[0]), (made[0], made[1])):
        done = gateway(*CLASSIFY, "--file", source, "--output", output)
        assert done.code == 0, done.err
    assert made[0].read_bytes() == made[1].read_bytes()
    assert made[0].read_text().splitlines()[0].count("gateway_answer") == 1


def test_22_one_label_of_a_list_is_named_by_a_path_that_the_error_says(gateway: Gateway) -> None:
    issue = {"number": 1, "title": "Crash", "body": None, "labels": [{"id": 1, "name": "bug"}]}
    Path("issues.jsonl").write_text(json.dumps(issue) + "\n")
    done = gateway(*TRIAGE, "--data", "issues.jsonl")
    assert done.code == 2
    assert "issues.jsonl:1: 'labels' is a list" in done.err
    assert "--column label=labels[0].name" in done.err
    done = gateway(
        *(*TRIAGE, "--data", "issues.jsonl", "--column", "label=labels[0].name", "--out", "out")
    )
    assert golds(done) == ["bug"]


@pytest.mark.needs("pyarrow")
def test_what_classify_cannot_write_is_refused_before_a_model_is_asked(gateway: Gateway) -> None:
    data = parquet("d.parquet", title=["a"], body=["b"], image=[b"\xff\xd8"])
    done = gateway(*CLASSIFY, "--file", data, "--output", "out.csv")
    assert done.code == 2
    assert "d.parquet:1: 'image' has no place in CSV" in done.err
    assert not Path("s.sqlite").exists()


@pytest.mark.needs("pyarrow")
def test_24_a_split_writes_what_it_has_read_of_times_and_of_the_year_10000(
    gateway: Gateway,
) -> None:
    import pyarrow as pa

    words = [f"{chr(97 + n) * 3} {chr(97 + n) * 5} word{n}" for n in range(20)]
    times = pa.array([0, 253_402_300_800_000_000] * 10, pa.timestamp("us"))
    data = parquet("d.parquet", text=words, label=["x", "y"] * 10, when=times)
    done = gateway("data", "split", "-t", "intent", "--data", data, "--out", "s")
    assert done.code == 0, done.err
    text = Path("s/train.jsonl").read_text() + Path("s/validation.jsonl").read_text()
    assert text.count("1970-01-01T00:00:00") == text.count("10000-01-01") == 10


def test_a_repeated_id_is_cured_by_the_option_that_the_error_names(gateway: Gateway) -> None:
    rows = [f"1,{chr(97 + n) * 3} {chr(97 + n) * 5} word{n},{'xy'[n % 2]}\n" for n in range(20)]
    Path("d.csv").write_text("id,text,label\n" + "".join(rows))
    split = ("data", "split", "-t", "intent", "--data", "d.csv", "--out", "s")
    done = gateway(*split)
    assert done.code == 2
    assert "--column id= the number of the line" in done.err
    assert gateway(*split, "--column", "id=").code == 0
