"""`gateway classify` on real weights: a text, a file, standard input, a CSV."""

import csv
import io
import json
from pathlib import Path

import pytest

from gateway.tasks.tables import read_table
from tests.cli.conftest import Gateway

LABELS = {"bug", "feature", "question"}
TEXT = "The page crashes when I scroll down quickly"


pytestmark = pytest.mark.usefixtures("few")


def test_a_text_gets_a_label_and_probabilities(gateway: Gateway) -> None:
    done = gateway("classify", TEXT)
    assert done.code == 0, done.err
    lines = done.out.split()
    assert lines[0] in LABELS
    assert set(lines[1:]) >= LABELS


def test_a_text_a_file_and_standard_input_are_one(
    gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "issue.txt"
    file.write_text(TEXT)
    found = [gateway("classify", "--json", TEXT), gateway("classify", "--json", "--file", file)]
    for arguments in (("--json", "-"), ("--json",)):
        monkeypatch.setattr("sys.stdin", io.StringIO(TEXT))
        found.append(gateway("classify", *arguments))
    assert {done.code for done in found} == {0}
    assert len({done.out for done in found}) == 1
    answer = json.loads(found[0].out)
    assert answer["answer"] in LABELS
    assert sum(answer["probabilities"].values()) == pytest.approx(1)
    assert answer["answer"] == max(answer["probabilities"], key=answer["probabilities"].get)


def test_a_csv_comes_back_with_labels_and_says_what_a_run_says(
    gateway: Gateway, tmp_path: Path, issue_reports: Path
) -> None:
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    with (issue_reports / "test.csv").open(newline="") as file:
        rows = [row for row, _ in zip(csv.reader(file), range(4), strict=False)]
    # Longer than the csv module takes by default.
    rows[3][4] += "x" * 200_000
    with source.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    done = gateway("classify", "--file", source, "--output", target)
    assert done.code == 0, done.err
    assert gateway("classify", "--file", source).out.encode() == target.read_bytes()
    back = [row.values for row in read_table(str(target)).rows]
    assert [row["title"] for row in back] == [row[3] for row in rows[1:]]
    assert {row["gateway_status"] for row in back} == {"ok"}
    assert {row["gateway_answer"] for row in back} <= LABELS
    run = gateway(
        *("run", "-t", "issue-triage", "-s", "zero_shot", "--data", source),
        *("--store", tmp_path / "s.sqlite", "--out", tmp_path / "out"),
    )
    assert run.code == 0, run.err
    said = [json.loads(x) for x in (tmp_path / "out/predictions.jsonl").read_text().splitlines()]
    by_id = {line["item_id"]: line for line in said}
    assert [row["gateway_answer"] for row in back] == [
        by_id[f"line-{n}"]["answer"] for n in sorted(int(i.split("-")[1]) for i in by_id)
    ]


def test_labels_can_be_given_where_the_task_has_none(gateway: Gateway) -> None:
    done = gateway("classify", "-t", "intent", "--labels", "lost card,top up", "I lost it")
    assert done.code == 0, done.err
    assert done.out.startswith(("lost card", "top up"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("",), "no text to classify"),
        (("--file", "absent.txt"), "absent.txt: cannot be read"),
        (("--file", "absent.csv"), "absent.csv: no such file"),
        (("-t", "intent", "x"), "takes its labels from the data"),
        (("--labels", "a,b", "x"), "has labels of its own"),
        (("--score-rule", "best", "x"), "unknown score rule"),
        (("--score-rule", "batch", "x"), "training data"),
        (("--strategy", "nope", "x"), "no strategy 'nope'"),
    ],
)
def test_wrong_usage_is_one_message_and_exit_2(
    gateway: Gateway, arguments: tuple[str, ...], said: str
) -> None:
    done = gateway("classify", *arguments)
    assert done.code == 2
    assert said in done.err
    assert done.out == ""
