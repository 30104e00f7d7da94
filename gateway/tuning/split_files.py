"""A split as two files in the format of the data."""

from collections.abc import Sequence
from pathlib import Path

from gateway.tasks.tables import (
    HUB_PREFIX,
    WRITTEN,
    Columns,
    options_of,
    read_table,
    suffix_of,
    write_table,
)
from gateway.tasks.task import Item
from gateway.tuning.checks.split import Split

_PARTS = ("train", "validation")


def files_of(source: str) -> tuple[str, ...]:
    """Names of the files that a split of the data is written to."""
    suffix = "" if source.startswith(HUB_PREFIX) else suffix_of(source)
    ending = suffix if suffix in WRITTEN else ".jsonl"
    return tuple(f"{part}{ending}" for part in _PARTS)


def write_split(
    source: str, made: Split, folder: Path, columns: Columns = None
) -> tuple[Path, Path]:
    """`train` and `validation`, each with all columns of the data, in its format; JSONL where that
    is none that is written (JSON, Parquet, standard input, a dataset of a hub).

    The same split gives the same bytes.

    Raises:
        DataError: a value has no place in the format.
    """
    table = read_table(source, options_of(columns))
    rows = {row.line: row for row in table.rows}

    def write(name: str, items: Sequence[Item]) -> Path:
        path = folder / name
        write_table(table, [rows[item.line] for item in items if item.line is not None], path)
        return path

    train, validation = files_of(source)
    return write(train, made.train), write(validation, made.validation)
