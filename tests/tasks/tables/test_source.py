import bz2
import gzip
import io
import lzma
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.core.errors import DataError
from gateway.tasks.tables import read_table
from gateway.tasks.tables.source import standard_input

CSV = b"id,text\n1,a\n"


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    standard_input.cache_clear()
    yield
    standard_input.cache_clear()


def give(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))


@pytest.mark.parametrize(
    "data",
    [
        CSV,
        b"\xef\xbb\xbf" + CSV,
        CSV.replace(b",", b"\t"),
        b'{"id": "1", "text": "a"}\n',
        b' [{"id": "1", "text": "a"}]',
        gzip.compress(CSV, mtime=0),
    ],
)
def test_standard_input_is_what_its_content_says_and_can_be_read_twice(
    monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    give(monkeypatch, data)
    assert [dict(row.values) for row in read_table("-").rows] == [{"id": "1", "text": "a"}]
    assert read_table("-").rows


@pytest.mark.parametrize("name", ["d.csv.gz", "d.gz", "d.csv", "d.CSV.GZ"])
def test_what_is_compressed_is_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(gzip.compress(CSV, mtime=0))
    assert len(read_table(str(tmp_path / name)).rows) == 1


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("d.csv.gz", gzip.compress(CSV, mtime=0)[:-4], "d.csv.gz: no whole gzip file"),
        ("d.csv.gz", gzip.compress(b"\n", mtime=0), "d.csv.gz: the file is empty"),
        ("d.csv", b"PK\x03\x04...", "an Excel workbook"),
        ("d.csv", b"%PDF-1.7", "a PDF document"),
        ("d.csv.gz", gzip.compress(gzip.compress(CSV, mtime=0), mtime=0), "a gzip file within"),
        ("d.csv", bz2.compress(CSV), "a file packed by bzip2"),
        ("d.csv", lzma.compress(CSV), "a file packed by xz"),
        ("d.csv", b"version https://git-lfs.github.com/spec/v1\noid x\n", "a pointer of Git LFS"),
        ("d.json", b"\n<!DOCTYPE html>\n<html>", "a web page"),
        ("d.csv", b"\xef\xbb\xbf<?xml version='1.0'?>", "an XML document"),
        ("d.csv", b"ARROW1\0\0", "an Arrow or Feather file"),
        ("d.csv", b'{"id": 1, "text": "a"}\n', "d.csv:1: JSON, by how it begins"),
        ("d.csv", b'[\n  {"id": 1, "text": "a"}]', "d.csv:1: JSON, by how it begins"),
        (
            "d.tar.gz",
            gzip.compress(b"d.csv".ljust(257, b"\0") + b"ustar\x0000", mtime=0),
            "a tar archive",
        ),
        ("d.csv", b"\x80\x04\x95\x00", "a pickle of Python"),
        ("d.xlsx", b"PK\x03\x04...", "an Excel workbook"),
        ("d.xml", b"<!--\nRSS --><rss version='2.0'>", "an XML document"),
        ("d.csv", b"-- MySQL dump 10.13\n", "a dump of a database"),
        ("d.txt", CSV, "unknown kind of file '.txt'"),
    ],
)
def test_what_is_no_table_is_one_error(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError) as caught:
        read_table(str(tmp_path / name))
    assert said in caught.value.message


@pytest.mark.needs("pyarrow")
def test_a_parquet_file_is_known_by_its_bytes(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist([{"text": "a"}]), tmp_path / "d.csv")
    assert read_table(str(tmp_path / "d.csv")).rows[0].values == {"text": "a"}
