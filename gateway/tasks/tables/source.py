"""A source -> its kind and its bytes: a file, a compressed one, or standard input."""

import functools
import gzip
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path

from gateway.core.errors import DataError

HUB_PREFIX = "hf:"
STANDARD_INPUT = "-"
DELIMITERS = {".csv": ",", ".tsv": "\t"}
JSON_LINES = (".jsonl", ".ndjson")
JSON = ".json"
PARQUET = ".parquet"
WRITTEN = (*DELIMITERS, *JSON_LINES)
"""Suffixes of what `write_table` writes."""
SUFFIXES = (*WRITTEN, JSON, PARQUET)
_COMPRESSED = ".gz"
_GZIP = b"\x1f\x8b"
_PARQUET = b"PAR1"
_TAR, _TAR_AT = b"ustar", 257
_AS_CSV = "export it as CSV, in UTF-8"
_UNPACKED = "unpack it, or pack it as .gz"
_NO_TABLES = {
    b"PK\x03\x04": ("an Excel workbook or another zip archive", _AS_CSV),
    b"\xd0\xcf\x11\xe0": ("an old Excel workbook", _AS_CSV),
    **{b"\x80%c" % version: ("a pickle of Python", _AS_CSV) for version in range(2, 6)},
    b"\x93NUMPY": ("an array of NumPy", _AS_CSV),
    b"\x89HDF": ("an HDF5 file", _AS_CSV),
    b"%PDF": ("a PDF document", _AS_CSV),
    b"SQLite format 3\0": ("an SQLite database", _AS_CSV),
    b"ARROW1": ("an Arrow or Feather file", "save it as Parquet"),
    b"PARE": ("an encrypted Parquet file", "save it without encryption"),
    b"ORC": ("an ORC file", "save it as Parquet"),
    b"Obj\x01": ("an Avro file", "save it as Parquet"),
    b"BZh9": ("a file packed by bzip2", _UNPACKED),
    b"\xfd7zXZ": ("a file packed by xz", _UNPACKED),
    b"\x28\xb5\x2f\xfd": ("a file packed by zstd", _UNPACKED),
    b"7z\xbc\xaf": ("a 7z archive", _UNPACKED),
    b"Rar!": ("a RAR archive", _UNPACKED),
    _GZIP: ("a gzip file within a gzip file", "unpack it once"),
    b"version https://git-lfs.github.com/spec": ("a pointer of Git LFS", "git lfs pull"),
    b"<!doctype html": ("a web page", "was a login needed to download it?"),
    b"<html": ("a web page", "was a login needed to download it?"),
    b"<table": ("a web page", _AS_CSV),
    b"<?xml": ("an XML document", _AS_CSV),
    b"<!--": ("an XML document", _AS_CSV),
    b"<rss": ("an XML document", _AS_CSV),
    b"INSERT INTO": ("a dump of a database", _AS_CSV),
    b"CREATE TABLE": ("a dump of a database", _AS_CSV),
    b"-- MySQL dump": ("a dump of a database", _AS_CSV),
    b"--\n-- PostgreSQL": ("a dump of a database", _AS_CSV),
}
"""How what is no table begins -> what it is, and what to do."""


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of a source, uncompressed."""

    suffix: str
    """One of `SUFFIXES`, by the name of the file or, where it has none, by what is in it."""
    data: bytes


def suffix_of(source: str) -> str:
    """The suffix that says what is in a file: of `a.csv.gz` it is `.csv`."""
    path = Path(source)
    if path.suffix.lower() == _COMPRESSED:
        path = path.with_suffix("")
    return path.suffix.lower()


def read_source(source: str) -> Content:
    """The kind and the bytes of a source.

    Raises:
        DataError: it is absent, cannot be read, is empty, or is no table.
    """
    suffix = suffix_of(source)
    data = standard_input() if source == STANDARD_INPUT else _file(source, suffix)
    if data.startswith(_GZIP):
        data = _uncompressed(source, data)
    if not data.strip():
        raise DataError(f"{source}: the file is empty")
    _check_table(source, data)
    if data.startswith(_PARQUET):
        suffix = PARQUET
    return Content(suffix if suffix in SUFFIXES else _suffix_by_content(data), data)


def _check_table(source: str, data: bytes) -> None:
    if data[_TAR_AT : _TAR_AT + len(_TAR)] == _TAR:
        raise DataError(f"{source}: a tar archive, and no table", hint="unpack it: tar -xf")
    begins = data[:64].removeprefix(b"\xef\xbb\xbf").lstrip()
    for start, (what, cure) in _NO_TABLES.items():
        if data.startswith(start) or (start[:1] == b"<" and begins.lower().startswith(start)):
            raise DataError(f"{source}: {what}, and no table", hint=cure)


@functools.cache
def standard_input() -> bytes:
    """All of standard input: it can be read once, and a command may read its data twice."""
    return sys.stdin.buffer.read()


def _file(source: str, suffix: str) -> bytes:
    path = Path(source)
    if not path.is_file():
        raise DataError(f"{source}: no such file")
    if suffix not in SUFFIXES and path.suffix.lower() != _COMPRESSED:
        _check_table(source, _head_of(path))
        raise DataError(
            f"{source}: unknown kind of file {suffix or '(no suffix)'!r}",
            hint=f"known: {', '.join(SUFFIXES)}, each also as .gz, or {HUB_PREFIX}NAME for a "
            f"Hugging Face dataset; what {STANDARD_INPUT} reads is known by its content",
        )
    return bytes_of(path)


def _head_of(path: Path) -> bytes:
    """How a file begins; nothing where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(_TAR_AT + len(_TAR))
    except OSError:
        return b""


def bytes_of(path: Path) -> bytes:
    """The bytes of a file. Raises DataError where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as exc:
        raise DataError(f"{path}: cannot be read: {exc.strerror}") from exc


def _uncompressed(source: str, data: bytes) -> bytes:
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as exc:
        raise DataError(f"{source}: no whole gzip file: {exc}") from exc


def _suffix_by_content(data: bytes) -> str:
    """JSON where it begins like that, else CSV, whose delimiter is seen in its header."""
    first = data.lstrip(b"\xef\xbb\xbf").lstrip()[:1]
    return JSON if first in (b"{", b"[") else ".csv"
