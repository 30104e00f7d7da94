"""The one reader of all that reads data."""

from dataclasses import replace

from gateway.core.errors import DataError
from gateway.core.extras import require
from gateway.tasks.tables import arrow, hub
from gateway.tasks.tables.delimited import read_delimited
from gateway.tasks.tables.objects import read_json, read_json_lines
from gateway.tasks.tables.options import ReadOptions
from gateway.tasks.tables.source import (
    DELIMITERS,
    HUB_PREFIX,
    JSON_LINES,
    PARQUET,
    STANDARD_INPUT,
    Content,
    read_source,
    suffix_of,
)
from gateway.tasks.tables.table import Table
from gateway.tasks.tables.text import decode, doubts, hidden_encoding

_DEFAULTS = ReadOptions()


def read_table(source: str, options: ReadOptions = _DEFAULTS) -> Table:
    """All rows of a file, of standard input (`-`), or of a dataset `hf:NAME[:CONFIG][@SPLIT]`.

    Raises:
        DataError: absent, empty, undecodable, or a row that does not fit.
        MissingExtra: what reads it is not installed.
    """
    require_reader(source)
    if source.startswith(HUB_PREFIX):
        table = hub.read_hub(source)
    else:
        table = _table(source, read_source(source), options)
    if not table.rows:
        raise DataError(f"{source}: no rows", hint="a header line and one line an item is expected")
    return table


def _table(source: str, content: Content, options: ReadOptions) -> Table:
    if content.suffix == PARQUET:
        require("pyarrow")
        return arrow.read_parquet(source, content.data)
    text, notes = decode(source, content.data, options.encoding)
    if not text.strip():
        raise DataError(f"{source}: the file is empty")
    try:
        table = _of_text(source, content.suffix, text, options, notes)
    except DataError as error:
        if not (name := hidden_encoding(text)):
            raise
        raise DataError(error.message, hint=f"it looks like {name}: --encoding {name}") from error
    return replace(table, doubts=(*table.doubts, *doubts(source, text)))


def _of_text(
    source: str, suffix: str, text: str, options: ReadOptions, notes: tuple[str, ...]
) -> Table:
    if suffix in JSON_LINES:
        return read_json_lines(source, text, notes)
    if suffix in DELIMITERS:
        return read_delimited(source, text, DELIMITERS[suffix], options, notes)
    return read_json(source, text, notes)


def require_reader(source: str) -> None:
    """Nothing where what reads a table is installed: to be asked before minutes of work.

    Raises:
        MissingExtra: it is not.
    """
    if source.startswith(HUB_PREFIX):
        require("datasets")
    elif source != STANDARD_INPUT and suffix_of(source) == PARQUET:
        require("pyarrow")
