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
    if column.type == pyarrow.time64("ns") and _is_finer(column):
        # Python's own times end at microseconds.
        return list(column.cast(pyarrow.string()).to_pylist())
    if pyarrow.types.is_floating(column.type) and column.type.bit_width < _DOUBLE:
        # As it is written in that precision: 0.1 is 0.10000000149011612 in a double.
        written = column.cast(pyarrow.string()).to_pylist()
        return [None if text is None else float(text) for text in written]
    try:
        values = list(column.to_pylist())
    except wrong:
        values = [_value(cell, wrong) for cell in column]
    return [_mapped(column.type, value) for value in values] if _has_map(column.type) else values


def _is_finer(column: Any) -> bool:
    """Whether nanoseconds are no whole microseconds."""
    import pyarrow

    return any(value and value % 1000 for value in column.cast(pyarrow.int64()).to_pylist())


def _has_map(kind: Any) -> bool:
    import pyarrow

    inner = (kind.field(at).type for at in range(kind.num_fields))
    return pyarrow.types.is_map(kind) or any(map(_has_map, inner))


def _mapped(kind: Any, value: Any) -> Any:
    """A value with objects in the place of maps, which Arrow gives as pairs."""
    import pyarrow

    if value is None or isinstance(value, Unreadable) or not _has_map(kind):
        return value
    if pyarrow.types.is_map(kind):
        made = {str(key): _mapped(kind.item_type, part) for key, part in value}
        twice = len(made) < len(value)
        return Unreadable("a map that has a key twice") if twice else made
    if pyarrow.types.is_struct(kind):
        return {each.name: _mapped(each.type, value[each.name]) for each in kind}
    return [_mapped(kind.value_type, part) for part in value]


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
