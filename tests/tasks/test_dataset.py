"""Every way in which a data file can be wrong is one error with file, line and expectation."""

import contextlib
import json
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import ConfigError, DataError, GatewayError
from gateway.models.environment import shipped
from gateway.tasks.dataset import load_dataset, scan_dataset
from gateway.tasks.tables import ReadOptions
from gateway.tasks.task import Dataset, Task, load_task
from tests.conftest import real_data

SHIPPED = shipped("prompts")
TRIAGE = load_task("issue-triage", SHIPPED)
POINTS = load_task("story-points", SHIPPED)
RECORD = load_task("issue-record", SHIPPED)
ESTIMATE = load_task("story-estimate", SHIPPED)
FIELDS = load_task("issue-fields", SHIPPED)
INTENT = load_task("intent", SHIPPED)

HEADER = "id,label,title,body\n"
GOOD = HEADER + 'a,bug,Crash,"It, crashes"\nb,question,How,"Line one\nline two"\nc,feature,Add,x\n'


def load(tmp_path: Path, content: str | bytes, name: str = "d.csv", task: Task = TRIAGE) -> Dataset:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return load_dataset(str(path), task)


def test_a_csv_becomes_items_with_the_line_each_begins_in(tmp_path: Path) -> None:
    data = load(tmp_path, GOOD)
    assert [(i.id, i.gold, i.line) for i in data.items] == [
        ("a", "bug", 2),
        ("b", "question", 3),
        ("c", "feature", 5),
    ]
    assert data.items[1].fields == {"title": "How", "body": "Line one\nline two"}
    assert data.labels == ("bug", "feature", "question")


def test_without_an_id_column_the_line_is_the_id(tmp_path: Path) -> None:
    data = load(tmp_path, "label,title,body\nbug,x,y\n\nbug,z,w\n")
    assert [item.id for item in data.items] == ["line-2", "line-4"]


def test_line_ends_say_nothing(tmp_path: Path) -> None:
    unix = load(tmp_path, GOOD)
    windows = load(tmp_path, GOOD.replace("\n", "\r\n"), "w.csv")
    marked = load(tmp_path, b"\xef\xbb\xbf" + GOOD.encode(), "m.csv")
    assert [i.digest for i in unix.items] == [i.digest for i in windows.items]
    assert unix.digest == windows.digest == marked.digest


def test_other_line_separators_are_text(tmp_path: Path) -> None:
    data = load(tmp_path, HEADER + "a,bug,x\u2028y,b\x0bc\n")
    assert data.items[0].fields == {"title": "x\u2028y", "body": "b\x0bc"}


@pytest.mark.parametrize("suffix", ["jsonl", "parquet", "tsv"])
def test_every_format_gives_the_same_items(tmp_path: Path, suffix: str) -> None:
    want = load(tmp_path, GOOD)
    rows = [{"id": i.id, "label": i.gold, **i.fields} for i in want.items]
    path = tmp_path / f"d.{suffix}"
    if suffix == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif suffix == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        path.write_text(GOOD.replace('"It, crashes"', "It; crashes").replace(",", "\t"))
    data = load_dataset(str(path), TRIAGE)
    assert [(i.id, i.gold) for i in data.items] == [(i.id, i.gold) for i in want.items]
    if suffix != "tsv":
        assert data.digest == want.digest


def test_a_hugging_face_dataset_is_read_by_the_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "train.csv").write_text(GOOD)
    (folder / "test.csv").write_text(GOOD.replace("Crash", "Crashed"))
    data = load_dataset(f"hf:{folder}@test", TRIAGE)
    assert data.items[0].fields["title"] == "Crashed"
    with pytest.raises(DataError, match="name one of its splits: train, test"):
        load_dataset(f"hf:{folder}", TRIAGE)
    with pytest.raises(DataError, match="cannot be loaded"):
        load_dataset(f"hf:{tmp_path / 'absent'}", TRIAGE)


def test_numbers_and_fields_are_gold_too(tmp_path: Path) -> None:
    points = load(tmp_path, "title,description,storypoint\na,b,3\nc,d,0.5\n", task=POINTS)
    assert [item.gold for item in points.items] == [3.0, 0.5]
    rows = "title,body,type,priority,component\na,b,bug,low,ui\n"
    fields = load(tmp_path, rows, task=FIELDS)
    assert fields.items[0].gold == {"type": "bug", "priority": "low", "component": "ui"}


def test_labels_may_come_from_the_data(tmp_path: Path) -> None:
    data = load(tmp_path, "text,category\nx,lost card\ny,top up\n", task=INTENT)
    assert data.labels == ("lost card", "top up")


def test_a_column_may_be_named(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text("nr,kind,subject,text\n1,bug,a,b\n")
    names = {"id": "nr", "label": "kind", "title": "subject"}
    data = load_dataset(str(path), TRIAGE, columns=names)
    assert (data.items[0].id, data.items[0].fields["title"]) == ("1", "a")
    with pytest.raises(ConfigError, match="no field 'titel'"):
        load_dataset(str(path), TRIAGE, columns={"titel": "subject"})


def test_unlabelled_data_needs_no_answer(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text("title,body\na,b\n")
    data = load_dataset(str(path), TRIAGE, labelled=False)
    assert data.items[0].gold is None


def row(label: str = "bug", body: str = "x") -> str:
    return f"{HEADER}a,{label},t,{body}\n"


@pytest.mark.parametrize(
    ("content", "said", "hint"),
    [
        ("", "d.csv: the file is empty", ""),
        ("\n \n", "d.csv: the file is empty", ""),
        (HEADER, "d.csv: no rows", "header line"),
        ("id,kind,title,body\na,bug,t,b\n", "no column for 'label'; expected label or", "--column"),
        (row(label="Bug"), "d.csv:2: 'label' is 'Bug'; expected one of bug,", "did you mean 'bug'"),
        (row(label="zzz"), "d.csv:2: 'label' is 'zzz'", ""),
        (row(label=""), "d.csv:2: 'label' is empty", ""),
        (row().encode() + b"b,bug,t,caf\xe9\n", "d.csv:3: byte 0xe9 at offset", "windows-1252"),
        (GOOD + "a,bug,again,x\n", "d.csv:6: the id 'a' is also in line 2", ""),
        (HEADER + ",bug,t,b\n", "d.csv:2: the id is empty", ""),
        (GOOD + "d,bug\n", "d.csv:6: 2 fields where the header has 4", "quotes"),
        (HEADER + 'a,bug,t,"never closed\n', "d.csv:2: no valid CSV", "twice"),
        (HEADER + 'a,bug,t,"x"y\n', "d.csv:2: no valid CSV", "twice"),
        (row(body="a\0b"), "d.csv:2: a NUL character", ""),
        ("id,id,label,title,body\n1,1,bug,t,b\n", "2 columns are called 'id'", "--column id=id[0]"),
        ("\xff".encode("latin1"), "d.csv:1: byte 0xff at offset 0", "windows-1252"),
        ("\xff\xfe".encode("latin1"), "d.csv: the file is empty", ""),
    ],
)
def test_a_wrong_csv_is_one_error(
    tmp_path: Path, content: str | bytes, said: str, hint: str
) -> None:
    with pytest.raises(DataError) as caught:
        load(tmp_path, content)
    assert said in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"title": "a"}\nnot json\n', "d.jsonl:2: no JSON"),
        ("[1]\n", "d.jsonl:1: a list where an object is expected"),
        ("[" * 100_000, "d.jsonl:1: no JSON"),
        ('{"label": "bug", "title": "a"}\n', "no column for 'body'"),
        (
            '{"label":"bug","title":"a","body":"b"}\n{"label":"bug","title":"a"}\n',
            "d.jsonl:2: no 'body', which other rows have",
        ),
        ('{"label":"bug","title":["a"],"body":"b"}\n', "d.jsonl:1: 'title' is a list"),
        ('{"label":"bug","title":{"x":1},"body":"b"}\n', "d.jsonl:1: 'title' is an object"),
        ('{"label":"bug","title":"\\ud800","body":"b"}\n', "d.jsonl:1: 'title' holds half a"),
        ('{"label":"bug","title":"a\\u0000","body":"b"}\n', "d.jsonl:1: 'title' holds a NUL"),
        ('{"label":null,"title":"a","body":"b"}\n', "d.jsonl:1: 'label' is empty"),
    ],
)
def test_a_wrong_jsonl_is_one_error(tmp_path: Path, content: str, said: str) -> None:
    with pytest.raises(DataError) as caught:
        load(tmp_path, content, "d.jsonl")
    assert said in caught.value.message


@pytest.mark.parametrize(
    "number", ["many", "", "nan", "inf", "-1", "1e9", "0x10", "1,5", "1_0", "٣", "1 0", "½"]
)
def test_a_wrong_number_is_one_error(tmp_path: Path, number: str) -> None:
    with pytest.raises(DataError, match="expected a number from 0 to 100") as caught:
        load(tmp_path, f'title,description,storypoint\na,b,"{number}"\n', task=POINTS)
    assert "d.csv:2:" in caught.value.message


@pytest.mark.parametrize(
    ("number", "want"), [(".5", 0.5), ("5.", 5.0), ("+5", 5.0), ("1e1", 10.0), (" 5\u00a0", 5.0)]
)
def test_a_number_is_read_as_it_is_written(tmp_path: Path, number: str, want: float) -> None:
    data = load(tmp_path, f"title,description,storypoint\na,b,{number}\n", task=POINTS)
    assert data.items[0].gold == want


def test_a_decimal_comma_is_refused_and_shown(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        load(tmp_path, 'title,description,storypoint\na,b,"1,5"\n', task=POINTS)
    assert caught.value.hint == "1.5, if that is a decimal comma"


def test_a_decimal_is_a_number_and_nan_is_no_class(tmp_path: Path) -> None:
    rows = [{"title": "a", "description": Decimal("1.50"), "storypoint": Decimal("3.0")}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "p.parquet")
    (item,) = load_dataset(str(tmp_path / "p.parquet"), POINTS).items
    assert (item.fields["description"], item.gold) == ("1.50", 3.0)
    pq.write_table(pa.table({"text": ["a"], "label": [float("nan")]}), tmp_path / "n.parquet")
    with pytest.raises(DataError, match="'label' is empty"):
        load_dataset(str(tmp_path / "n.parquet"), INTENT)


def test_labels_have_one_spelling_and_what_changes_is_told(tmp_path: Path) -> None:
    rows = "text,label\nx,lost\u00a0card\ny,lost card\nz, lost card\nv,cafe\u0301\n"
    told: list[str] = []
    path = tmp_path / "d.csv"
    path.write_text(rows)
    data = load_dataset(str(path), INTENT, columns=ReadOptions(tell=told.append))
    assert data.labels == ("café", "lost card")
    assert told == list(data.notes)
    assert "'label' was normalised in 3 rows" in told[0]


def test_labels_of_a_set_are_found_under_their_clean_spelling(tmp_path: Path) -> None:
    data = load(tmp_path, HEADER + "a,\u200bbug,t,b\n")
    assert (data.items[0].gold, len(data.notes)) == ("bug", 1)


def told_of(path: Path, rows: object) -> list[str]:
    told: list[str] = []
    path.write_text(json.dumps(rows))
    load_dataset(str(path), INTENT, columns=ReadOptions(tell=told.append))
    return told


@pytest.mark.parametrize(
    ("marked", "program"),
    [
        ({"answer": "reject", "_input_hash": 1}, "Prodigy"),
        ({"status": "discarded", "responses": []}, "Argilla"),
        ({"annotations": [{"was_cancelled": True}], "data": {}}, "Label Studio"),
    ],
)
def test_rows_that_a_program_marks_as_no_labels_are_told(
    tmp_path: Path, marked: dict[str, object], program: str
) -> None:
    rows = [{"text": "a", "label": "x"}, {"text": "b", "label": "y", **marked}]
    (said,) = told_of(tmp_path / "d.json", rows)
    assert f"d.json:2: {program} marks 1 row as not labelled so" in said
    others = dict.fromkeys(marked, "x") | {"text": "c", "label": "y"}
    assert told_of(tmp_path / "d.json", [rows[0], others]) == []


def test_items_without_any_text_are_told(tmp_path: Path) -> None:
    (said,) = told_of(
        tmp_path / "d.json", [{"text": "", "label": "x"}, {"text": "b", "label": "y"}]
    )
    assert "d.json:1: 1 item with no text at all" in said


def test_an_infinite_value_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        load(tmp_path, '{"id": 1e400, "text": "a", "label": "x"}\n', "d.jsonl", INTENT)
    assert "d.jsonl:1: 'id' is infinite, or too large a number" in caught.value.message


def test_the_line_may_be_the_id(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text(GOOD + "a,bug,again,x\n")
    data = load_dataset(str(path), TRIAGE, columns={"id": ""})
    assert [item.id for item in data.items] == ["line-2", "line-3", "line-5", "line-6"]


def test_columns_that_no_field_reads_may_repeat(tmp_path: Path) -> None:
    data = load(tmp_path, "label,title,body,Comment,Comment,,\nbug,a,b,c,d,,\n")
    assert data.items[0].fields == {"title": "a", "body": "b"}


def test_a_file_that_is_no_table_is_one_error(tmp_path: Path) -> None:
    for name, said in [("absent.csv", "no such file"), (".", "no such file")]:
        with pytest.raises(DataError, match=said):
            load_dataset(str(tmp_path / name), TRIAGE)
    with pytest.raises(DataError, match="unknown kind of file"):
        load(tmp_path, "x", "d.txt")
    with pytest.raises(DataError, match="no readable Parquet"):
        load(tmp_path, "x", "d.parquet")


@given(st.binary(max_size=300))
def test_no_bytes_at_all_raise_anything_else(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    folder = tmp_path_factory.mktemp("any")
    for name in ("d.csv", "d.jsonl", "d.parquet"):
        path = folder / name
        path.write_bytes(b"label,title,body\n" + content if name == "d.csv" else content)
        with contextlib.suppress(GatewayError):
            data = load_dataset(str(path), TRIAGE)
            assert {item.gold for item in data.items} <= {"bug", "feature", "question"}


def test_a_limit_keeps_shares_order_and_the_labels_of_the_whole_file(tmp_path: Path) -> None:
    rows = [f"{n},{'bug' if n % 3 else 'question'},t{n},b" for n in range(90)]
    path = tmp_path / "d.csv"
    path.write_text(HEADER + "\n".join(rows) + "\n")
    small = load_dataset(str(path), TRIAGE, limit=30)
    large = load_dataset(str(path), TRIAGE, limit=60)
    golds = [item.gold for item in small.items]
    assert (golds.count("bug"), golds.count("question")) == (20, 10)
    assert {i.id for i in small.items} < {i.id for i in large.items}
    lines = [item.line or 0 for item in small.items]
    assert lines == sorted(lines)
    other = load_dataset(str(path), TRIAGE, limit=30, sample_seed=1)
    assert {i.id for i in other.items} != {i.id for i in small.items}


def test_the_real_sets_load(issue_reports: Path) -> None:
    data = load_dataset(str(issue_reports / "test.csv"), TRIAGE)
    assert len(data.items) == 900
    assert data.labels == ("bug", "feature", "question")
    intents = load_dataset(str(real_data("banking77") / "test.csv"), INTENT)
    assert (len(intents.items), len(intents.labels)) == (1540, 77)
    points = load_dataset(str(real_data("story-points") / "bamboo.csv"), POINTS)
    assert len(points.items) == 521


def test_an_issue_of_one_text_has_type_priority_and_component(tmp_path: Path) -> None:
    line = '{"issue": "It crashes", "type": "bug", "priority": "high", "component": "ui"}\n'
    (item,) = load(tmp_path, line, "d.jsonl", RECORD).items
    assert item.fields == {"issue": "It crashes"}
    assert item.gold == {"type": "bug", "priority": "high", "component": "ui"}


def test_an_estimate_has_examples_and_a_rationale(tmp_path: Path) -> None:
    examples = '[{"issue": "Sort\\r\\nit", "story_points": 2}, "Rename it: 1"]'
    row = (
        f'{{"issue": "Print it", "examples": {examples}, "story_points": 3, "rationale": " New. "}}'
    )
    (item,) = load(tmp_path, row, "d.jsonl", ESTIMATE).items
    assert item.fields["examples"] == "issue: Sort\nit\nstory_points: 2\n\nRename it: 1"
    assert (item.gold, item.rationale, item.lists) == (3.0, "New.", ("examples",))
    none = row.replace(examples, "[]").replace(', "rationale": " New. "', "")
    (bare,) = load(tmp_path, none, "e.jsonl", ESTIMATE).items
    assert (bare.fields["examples"], bare.rationale) == ("", "")
    with pytest.raises(DataError, match=r"d.jsonl:1: 'examples 2' is a list"):
        load(tmp_path, row.replace('"Rename it: 1"', "[1]"), "d.jsonl", ESTIMATE)


def test_a_scan_names_every_row_that_is_no_item(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text(HEADER + "a,Bug,t,b\nb,bug,t,b\nb,bug,t,b\n,bug,t,b\n")
    scan = scan_dataset(str(path), TRIAGE)
    assert [item.id for item in scan.items] == ["b"]
    assert [(p.line, p.part) for p in scan.problems] == [(2, "answer"), (4, "id"), (5, "id")]
    with pytest.raises(DataError, match=r"d.csv:2: 'label' is 'Bug'"):
        load_dataset(str(path), TRIAGE)
