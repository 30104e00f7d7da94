"""Parquet, and tables of Arrow in general -> a table."""

import io
from typing import Any

from gateway.core.errors import DataError
from gateway.tasks.tables.table import Row, Table, Unreadable, brief, distinct

_DOUBLE = 64
"""Bits of Python's own floats."""


def read_parquet(source: str, data: bytes) -> Table:
    """The table of a Parquet file.

    Raises:
        DataError: it is none.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        # Bytes that we have read: a path would also open folders and URLs.
        file = pyarrow.parquet.ParquetFile(io.BytesIO(data), page_checksum_verification=True)
        table = file.read()
    except (pyarrow.ArrowException, OSError, ValueError, KeyError) as exc:
        raise DataError(f"{source}: no readable Parquet file: {brief(exc)}") from exc
    return table_of(source, table)


def table_of(source: str, table: Any) -> Table:
    """The table of an Arrow table; its rows are counted from 1."""
    names = tuple(table.column_names)
    columns = distinct(source, names)
    cells = [_values(column) for column in table.columns]
    rows = tuple(
        Row(number, dict(zip(columns, values, strict=True)))
        for number, values in enumerate(zip(*cells, strict=True), start=1)
    )
    return Table(source, columns, rows, names if names != columns else ())


def _values(column: Any) -> list[Any]:
    """All values of a column; if one of them is none that Python has, each by itself."""
    import pyarrow

    # A timestamp after the year 9999 is an OverflowError or a ValueError, text that is no UTF-8 a
    # UnicodeDecodeError, nanoseconds without pandas a ValueError.
    wrong = (ValueError, OverflowError, TypeError, ImportError, pyarrow.ArrowException)
    if pyarrow.types.is_floating(column.type) and column.type.bit_width < _DOUBLE:
        # As it is written in that precision: 0.1 is 0.10000000149011612 in a double.
        written = column.cast(pyarrow.string()).to_pylist()
        return [None if text is None else float(text) for text in written]
    try:
        return list(column.to_pylist())
    except wrong:
        return [_value(cell, wrong) for cell in column]


def _value(cell: Any, wrong: tuple[type[Exception], ...]) -> Any:
    import pyarrow

    try:
        return cell.as_py()
    except wrong as exc:
        reason = f"a {cell.type} that cannot be read: {brief(exc)}"
    try:
        return Unreadable(reason, cell.cast(pyarrow.string()).as_py())
    except wrong:
        return Unreadable(reason)
