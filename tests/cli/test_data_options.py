"""One reader for all commands: their options, what they tell, and what they read and write."""

import csv
import datetime
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest
import typer

from gateway.cli.app import app
from tests.cli.conftest import Gateway

FORM = {"--column", "--delimiter", "--encoding", "--quoting"}
TASK = ("-t", "intent")


def text(number: int) -> str:
    """One that is no copy of another."""
    return " ".join(chr(97 + number) * length for length in (3, 4, 5))


def commands(group: Any, *path: str) -> dict[str, Any]:
    """Every command by its words."""
    if not hasattr(group, "commands"):
        return {" ".join(path): group}
    found: dict[str, Any] = {}
    for name, command in group.commands.items():
        found |= commands(command, *path, name)
    return found


COMMANDS = commands(typer.main.get_command(app))
READ_DATA = {
    *("run", "ab", "judge", "tune", "classify", "parity", "plan", "prompts render"),
    *("adapters compare", "data check", "data split", "data export"),
}


def test_every_command_that_reads_data_has_the_same_options() -> None:
    for name, command in COMMANDS.items():
        options = {option for parameter in command.params for option in parameter.opts}
        assert (options & FORM == FORM) is (name in READ_DATA), name


@pytest.mark.parametrize(
    ("option", "value"),
    [("--delimiter", ";;"), ("--encoding", "nope"), ("--quoting", "nope"), ("--column", "text=")],
)
def test_an_option_that_says_nothing_is_refused(
    gateway: Gateway, fake: Path, option: str, value: str
) -> None:
    done = gateway("run", "-t", "mine", "-s", "scored", "--data", "test.csv", option, value)
    assert done.code == 2
    assert option in done.err


ROWS = [{"id": "1", "text": "moss"}, {"id": "2", "text": "nettle, too"}]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("d.csv", 'id,text\n1,moss\n2,"nettle, too"\n'),
        ("d.tsv", "id\ttext\n1\tmoss\n2\tnettle, too\n"),
        ("d.jsonl", "".join(json.dumps(row) + "\n" for row in ROWS)),
        ("d.json", json.dumps(ROWS)),
    ],
)
def test_classify_reads_every_row_of_every_table_and_its_own_output(
    gateway: Gateway, fake: Path, name: str, content: str
) -> None:
    Path(name).write_text(content)
    options = ("classify", "-t", "mine", "-s", "scored", "-q", "--store", "s.sqlite")
    done = gateway(*options, "--file", name, "--output", "once.csv")
    assert done.code == 0, done.err
    once = list(csv.DictReader(io.StringIO(Path("once.csv").read_text())))
    assert [(row["id"], row["text"]) for row in once] == [(r["id"], r["text"]) for r in ROWS]
    assert {row["gateway_status"] for row in once} == {"ok"}
    done = gateway(*options, "--file", "once.csv", "--output", "twice.csv")
    assert done.code == 0, done.err
    assert Path("twice.csv").read_bytes() == Path("once.csv").read_bytes()


def test_a_split_of_a_gzip_is_csv(gateway: Gateway, tmp_path: Path) -> None:
    lines = [f"{text(n)},{'xy'[n % 2]},a\n" for n in range(20)]
    data = tmp_path / "d.csv.gz"
    data.write_bytes(gzip.compress(("text,label,more\n" + "".join(lines)).encode()))
    done = gateway("data", "split", *TASK, "--data", data, "--out", tmp_path / "s")
    assert done.code == 0, done.err
    assert (tmp_path / "s" / "train.csv").is_file()


@pytest.mark.needs("pyarrow")
def test_a_split_writes_times(gateway: Gateway, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [
        {
            "text": text(n),
            "label": "xy"[n % 2],
            "when": datetime.datetime(2024, 1, 1 + n, tzinfo=datetime.UTC),
        }
        for n in range(20)
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "d.parquet")
    done = gateway(
        *("data", "split", *TASK, "--data", tmp_path / "d.parquet", "--out", tmp_path / "s")
    )
    assert done.code == 0, done.err
    written = [json.loads(x) for x in (tmp_path / "s" / "train.jsonl").read_text().splitlines()]
    assert all(row["when"].startswith("2024-01-") for row in written)


def test_two_spellings_of_numbers_are_two_labels_in_both_files_and_told(
    gateway: Gateway, tmp_path: Path
) -> None:
    for name, form in (("train", "d"), ("test", ".1f")):
        lines = [f"{name} word{n} thing{n},{format(n % 2, form)}\n" for n in range(12)]
        (tmp_path / f"{name}.csv").write_text("text,label\n" + "".join(lines))
    done = gateway(
        *("data", "check", *TASK, "--train", tmp_path / "train.csv"),
        *("--test", tmp_path / "test.csv", "--json"),
    )
    found = json.loads(done.out)["findings"]
    assert "0.0 is 0, 1.0 is 1" in next(f["what"] for f in found if f["code"] == "read-as")
    assert "2 values of label" in next(f["what"] for f in found if f["code"] == "balance")
    assert not {f["code"] for f in found} & {"label-never-trained", "label-never-tested"}


def test_labels_that_look_alike_are_warned_of(gateway: Gateway, tmp_path: Path) -> None:
    for name, labels in (("train", ("ham", "spam")), ("test", ("ham\u00a0", "Spam"))):
        lines = [f"{name} word{n} thing{n},{labels[n % 2]}\n" for n in range(12)]
        (tmp_path / f"{name}.csv").write_text("text,label\n" + "".join(lines))
    done = gateway(
        *("data", "check", *TASK, "--train", tmp_path / "train.csv"),
        *("--test", tmp_path / "test.csv", "--json"),
    )
    found = {f["code"]: f["what"] for f in json.loads(done.out)["findings"]}
    assert "'Spam', 'spam'" in found["labels-alike"]
    assert "'label' was normalised in 6 rows" in found["read-as"]
    assert "spam" in found["label-never-tested"]
    assert "Spam" in found["label-never-trained"]


def test_lone_quotes_are_cured_by_the_option_that_the_error_names(
    gateway: Gateway, tmp_path: Path
) -> None:
    lines = [f"{n}\ttext {text(n)}\t{'xy'[n % 2]}\n" for n in range(20)]
    lines[3] = lines[3].replace("\ttext", '\t"text')
    lines[4] = lines[4].replace("eeeee\t", 'eeeee"\t')
    (tmp_path / "d.tsv").write_text("id\ttext\tlabel\n" + "".join(lines))
    options = ("data", "split", *TASK, "--data", tmp_path / "d.tsv", "--out", tmp_path / "s")
    done = gateway(*options)
    assert done.code == 2
    assert "d.tsv:5: a quote opens here and closes in line 6" in done.err
    assert "--quoting none" in done.err
    done = gateway(*options, "--quoting", "none")
    assert done.code == 0, done.err
    parts = [(tmp_path / "s" / f"{part}.tsv").read_text() for part in ("train", "validation")]
    assert sum(part.count("text ") for part in parts) == 20
