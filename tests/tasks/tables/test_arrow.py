import datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gateway.core.errors import DataError
from gateway.tasks.tables import Unreadable, read_table, write_table
from gateway.tasks.tables.values import as_text

YEAR_10000 = 253_402_300_800_000_000


def written(tmp_path: Path, table: pa.Table) -> str:
    pq.write_table(table, tmp_path / "d.parquet")
    return str(tmp_path / "d.parquet")


def test_a_value_that_python_does_not_have_is_an_error_only_where_it_is_read(
    tmp_path: Path,
) -> None:
    times = pa.array([0, YEAR_10000], pa.timestamp("us"))
    source = written(tmp_path, pa.table({"text": ["a", "b"], "when": times}))
    table = read_table(source)
    assert table.rows[0].values["when"] == datetime.datetime(1970, 1, 1)  # noqa: DTZ001
    beyond = table.rows[1].values["when"]
    assert isinstance(beyond, Unreadable)
    write_table(table, table.rows, tmp_path / "again.jsonl")
    assert "10000-01-01 00:00:00" in (tmp_path / "again.jsonl").read_text()


def test_columns_of_one_name_are_both_there(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["x", "x"])
    assert read_table(written(tmp_path, table)).rows[0].values == {"x[0]": "a", "x[1]": "b"}


def test_text_that_is_no_utf_8_is_an_error_only_where_it_is_read(tmp_path: Path) -> None:
    text = pa.array([b"caf\xe9", b"b"], pa.binary()).view(pa.string())
    table = read_table(written(tmp_path, pa.table({"text": text, "label": ["a", "b"]})))
    assert isinstance(table.rows[0].values["text"], Unreadable)
    assert table.rows[1].values["text"] == "b"


def test_times_and_decimals_are_written_as_they_are_read(tmp_path: Path) -> None:
    when = datetime.datetime(2024, 5, 6, 7, 8, 9, tzinfo=datetime.UTC)
    rows = [{"text": "a", "when": when, "points": Decimal("2.50"), "none": float("nan")}]
    table = read_table(written(tmp_path, pa.Table.from_pylist(rows)))
    write_table(table, table.rows, tmp_path / "again.jsonl")
    again = read_table(str(tmp_path / "again.jsonl")).rows[0].values
    assert (again["when"], again["points"]) == ("2024-05-06T07:08:09+00:00", "2.50")
    write_table(table, table.rows, tmp_path / "again.csv")
    assert read_table(str(tmp_path / "again.csv")).rows[0].values == {
        **again,
        "none": "",
    }


def test_a_value_without_a_place_in_a_file_is_named(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, pa.table({"text": ["a"], "picture": [b"\xff\xd8"]})))
    for name in ("again.jsonl", "again.csv"):
        with pytest.raises(DataError, match="'picture' has no place"):
            write_table(table, table.rows, tmp_path / name)


@pytest.mark.parametrize("data", [b"PAR1", b"PAR1" * 4, b"x", b"PAR1" + b"\xff" * 60 + b"PAR1"])
def test_a_broken_file_is_one_line(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "d.parquet").write_bytes(data)
    with pytest.raises(DataError, match=r"d.parquet: no readable Parquet file") as caught:
        read_table(str(tmp_path / "d.parquet"))
    assert "\n" not in caught.value.message


def test_a_map_is_an_object_wherever_it_stands(tmp_path: Path) -> None:
    pairs = pa.map_(pa.string(), pa.list_(pa.map_(pa.int32(), pa.string())))
    column = pa.array([[("a", [[(1, "x")]])], None, [("a", []), ("a", [])]], pairs)
    table = read_table(written(tmp_path, pa.table({"m": column, "n": ["a", "b", "c"]})))
    first, second, third = (row.values["m"] for row in table.rows)
    assert (first, second) == ({"a": [{"1": "x"}]}, None)
    assert isinstance(third, Unreadable)
    assert third.reason == "a map that has a key twice"


def test_times_finer_than_pythons_stay_apart(tmp_path: Path) -> None:
    fine = pa.array([1, 2, None], pa.time64("ns"))
    whole = pa.array([1_000, 2_000, None], pa.time64("ns"))
    table = read_table(written(tmp_path, pa.table({"fine": fine, "whole": whole})))
    assert len({row.values["fine"] for row in table.rows}) == 3
    assert table.rows[0].values["whole"] == datetime.time(0, 0, 0, 1)


def test_numbers_of_half_the_size_are_what_was_written(tmp_path: Path) -> None:
    column = pa.array([0.1, None, 2.5], pa.float32())
    table = read_table(written(tmp_path, pa.table({"x": column})))
    assert [row.values["x"] for row in table.rows] == [0.1, None, 2.5]


def test_text_that_is_stored_as_bytes_and_truth_values_are_read(tmp_path: Path) -> None:
    source = written(tmp_path, pa.table({"a": [b"caf\xc3\xa9", b"\xff"], "b": [True, False]}))
    first, second = read_table(source).rows
    assert as_text(first.values["a"]) == "café"
    assert [as_text(row.values["b"]) for row in (first, second)] == ["true", "false"]
    with pytest.raises(DataError, match="no text in UTF-8"):
        as_text(second.values["a"])


def test_what_is_stored_as_bytes_is_written_as_the_text_it_is(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, pa.table({"a": [b"caf\xc3\xa9"], "b": [True]})))
    for name, text in (("d.csv", "a,b\ncafé,true\n"), ("d.jsonl", '{"a": "café", "b": true}\n')):
        write_table(table, table.rows, tmp_path / name)
        assert (tmp_path / name).read_text() == text
    table = read_table(written(tmp_path, pa.table({"a": [b"\xff"]})))
    with pytest.raises(DataError, match="'a' has no place in CSV: it is 1 bytes that are no text"):
        write_table(table, table.rows, tmp_path / "d.csv")
