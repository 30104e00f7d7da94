"""The text of an importance matrix may be a table, which is read as every other one."""

import gzip
from pathlib import Path

import pytest

from gateway.core.errors import DataError
from gateway.quantization.importance import text_of
from gateway.tasks.tables import ReadOptions


def test_a_table_is_read_by_the_options_of_tables(tmp_path: Path) -> None:
    file = tmp_path / "d.csv"
    file.write_bytes("id;text\n1;It’s a café\n2;two\n".encode("windows-1252"))
    with pytest.raises(DataError, match="is no UTF-8"):
        text_of(file, ReadOptions())
    told: list[str] = []
    assert text_of(file, ReadOptions(encoding="windows-1252", tell=told.append)) == (
        "1\n\nIt’s a café\n\n2\n\ntwo"
    )
    assert 'the fields are separated by ";"' in told[0]


def test_a_compressed_table_is_a_table_and_another_file_a_text(tmp_path: Path) -> None:
    (tmp_path / "d.csv.gz").write_bytes(gzip.compress(b"text\none\n"))
    (tmp_path / "d.txt").write_text("text\none\n")
    assert text_of(tmp_path / "d.csv.gz", ReadOptions()) == "one"
    assert text_of(tmp_path / "d.txt", ReadOptions()) == "text\none"
