"""CSV, TSV, JSONL, Parquet and Hugging Face datasets -> rows with their line numbers.

A table is read whole and refused whole: the first thing wrong with it is one `DataError` that says
which file, which line, and what was expected.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.core import bars
from gateway.core.errors import DataError
from gateway.core.extras import require
from gateway.core.files import write_atomically

HUB_PREFIX = "hf:"
_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_JSON_LINES = (".jsonl", ".ndjson")
WRITTEN = (*_DELIMITERS, *_JSON_LINES)
"""Suffixes of what `write_table` writes."""
_PARQUET = ".parquet"
SUFFIXES = (*WRITTEN, _PARQUET)
_FIELD_LIMIT = 1 << 24
"""Characters of one CSV field; the csv module's own default of 131,072 is less than a long log."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: the line it begins in (Parquet, datasets: its number), and its values by column."""

    line: int
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of one source."""

    source: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    def place(self, line: int) -> str:
        """`file:line`, for messages."""
        return f"{self.source}:{line}"


def read_table(source: str) -> Table:
    """All rows of a file, or of a dataset named `hf:NAME[:CONFIG][@SPLIT]`.

    Raises:
        DataError: absent, empty, undecodable, or a row that does not fit.
        MissingExtra: what reads it is not installed.
    """
    require_reader(source)
    table = _hub(source) if source.startswith(HUB_PREFIX) else _file(source)
    if not table.rows:
        raise DataError(f"{source}: no rows", hint="a header line and one line an item is expected")
    return table


def write_table(table: Table, rows: Sequence[Row], path: Path) -> None:
    """Some rows of a table as a file, CSV, TSV or JSONL by its suffix; the same rows, same bytes.

    Raises:
        DataError: another suffix, or a value that the format has no place for.
    """
    suffix = path.suffix.lower()
    made = io.StringIO(newline="")
    if suffix in _DELIMITERS:
        writer = csv.writer(made, delimiter=_DELIMITERS[suffix], lineterminator="\n")
        writer.writerow(table.columns)
        writer.writerows([row.values.get(name) for name in table.columns] for row in rows)
    elif suffix in _JSON_LINES:
        for row in rows:
            try:
                made.write(json_lines([row.values]))
            except (TypeError, ValueError) as exc:
                raise DataError(f"{table.place(row.line)}: no place in JSON: {exc}") from exc
    else:
        raise DataError(
            f"{path}: rows can not be written as {suffix!r}", hint=f"known: {', '.join(WRITTEN)}"
        )
    write_atomically(path, made.getvalue())


def json_lines(rows: Iterable[Mapping[str, Any]]) -> str:
    """One JSON object a line.

    Raises:
        TypeError, ValueError: a value has no place in JSON, or a text none in UTF-8.
    """
    text = "".join(json.dumps(dict(row), ensure_ascii=False) + "\n" for row in rows)
    text.encode()
    return text


def _file(source: str) -> Table:
    path = Path(source)
    suffix = path.suffix.lower()
    if not path.is_file():
        raise DataError(f"{source}: no such file")
    if suffix not in SUFFIXES:
        raise DataError(
            f"{source}: unknown kind of file {suffix or '(no suffix)'!r}",
            hint=f"known: {', '.join(SUFFIXES)}, or {HUB_PREFIX}NAME for a Hugging Face dataset",
        )
    if suffix == _PARQUET:
        return _parquet(path)
    text = read_utf8(path)
    if not text.strip():
        raise DataError(f"{source}: the file is empty")
    if suffix in _JSON_LINES:
        return _jsonl(source, text)
    return _csv(source, text, _DELIMITERS[suffix])


def read_utf8(path: Path) -> str:
    """The text of a file, without a byte order mark.

    Raises:
        DataError: it can not be read, is no UTF-8, or holds a NUL character.
    """
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise DataError(f"{path}: can not be read: {exc.strerror}") from exc
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        raise DataError(
            f"{path}:{line}: byte 0x{data[exc.start]:02x} at offset {exc.start} is no UTF-8",
            hint="save the file as UTF-8, for example: iconv -f latin1 -t utf-8",
        ) from exc
    if (at := text.find("\0")) >= 0:
        line = text.count("\n", 0, at) + 1
        raise DataError(f"{path}:{line}: a NUL character; text is expected")
    return text


def _csv(source: str, text: str, delimiter: str) -> Table:
    previous = csv.field_size_limit(_FIELD_LIMIT)
    try:
        rows = list(_csv_rows(source, text, delimiter))
    finally:
        csv.field_size_limit(previous)
    header = rows[0][1] if rows else []
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        raise DataError(f"{source}:1: two columns are called {repeated[0]!r}")
    made = []
    for line, cells in rows[1:]:
        if len(cells) != len(header):
            raise DataError(
                f"{source}:{line}: {len(cells)} fields where the header has {len(header)}",
                hint=f"columns: {', '.join(header)}; a field with a comma needs quotes",
            )
        made.append(Row(line, dict(zip(header, cells, strict=True))))
    return Table(source, tuple(header), tuple(made))


def _csv_rows(source: str, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Rows that are not blank, each with the line it begins in."""
    # newline="": only CR and LF end a line here; str.splitlines would also cut at U+2028.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    begins = 1
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as exc:
            raise DataError(
                f"{source}:{begins}: no valid CSV: {exc}",
                hint='a quote within a quoted field is written twice: ""',
            ) from exc
        if cells:
            yield begins, cells
        begins = reader.line_num + 1


def _jsonl(source: str, text: str) -> Table:
    rows = []
    columns: dict[str, None] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as exc:
            raise DataError(f"{source}:{number}: no JSON: {exc}") from exc
        if not isinstance(value, dict):
            raise DataError(
                f"{source}:{number}: {type(value).__name__} where an object is expected",
                hint='one object a line: {"title": "...", "label": "..."}',
            )
        columns |= dict.fromkeys(value)
        rows.append(Row(number, value))
    return Table(source, tuple(columns), tuple(rows))


def require_reader(source: str) -> None:
    """Nothing where what reads a table is installed: to be asked before minutes of work.

    Raises:
        MissingExtra: it is not.
    """
    if source.startswith(HUB_PREFIX):
        require("datasets")
    elif source.lower().endswith(_PARQUET):
        require("pyarrow")


def _parquet(path: Path) -> Table:
    import pyarrow
    import pyarrow.parquet

    try:
        # The file itself, opened by us: a bare path would also read folders and URLs.
        with path.open("rb") as file:
            table = pyarrow.parquet.read_table(file)
    except (pyarrow.ArrowException, OSError) as exc:
        raise DataError(f"{path}: no readable Parquet file: {exc}") from exc
    rows = tuple(Row(n, values) for n, values in enumerate(table.to_pylist(), start=1))
    return Table(str(path), tuple(table.column_names), rows)


def _hub(source: str) -> Table:
    """A split of a dataset; labels that are numbers of a class list become its names."""
    bars.silence()
    import datasets

    name, _, split = source.removeprefix(HUB_PREFIX).partition("@")
    name, _, config = name.partition(":")
    try:
        found = datasets.load_dataset(name, config or None)
    except (OSError, ValueError, RuntimeError) as exc:
        raise DataError(f"{source}: can not be loaded: {exc}") from exc
    splits = list(found)
    if (not split and len(splits) > 1) or (split and split not in splits):
        raise DataError(
            f"{source}: name one of its splits: {', '.join(splits)}",
            hint=f"{source.partition('@')[0]}@{splits[0]}",
        )
    chosen = found[split or splits[0]]
    classes = {
        column: feature
        for column, feature in chosen.features.items()
        if isinstance(feature, datasets.ClassLabel)
    }
    rows = []
    for number, values in enumerate(chosen, start=1):
        named = {c: f.int2str(values[c]) for c, f in classes.items() if values[c] is not None}
        rows.append(Row(number, {**values, **named}))
    return Table(source, tuple(chosen.column_names), tuple(rows))
