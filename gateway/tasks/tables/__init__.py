"""Files and datasets -> tables: rows with their line numbers.

source.py     a source -> its kind (CSV, JSON Lines, ...) and its bytes: file, .gz, standard input
text.py       bytes -> text: encodings
delimited.py  CSV and TSV
quotes.py     quotes that are none
objects.py    JSON Lines and JSON
arrow.py      Parquet
hub.py        datasets of Hugging Face
write.py      rows -> a file

A table is read whole and refused whole: the first thing wrong with it is one `DataError` that says
which file, which line, what was expected, and the option that cures it.
"""

from gateway.tasks.tables.options import Columns, Quoting, ReadOptions, options_of
from gateway.tasks.tables.read import read_table, require_reader
from gateway.tasks.tables.source import HUB_PREFIX, STANDARD_INPUT, SUFFIXES, WRITTEN, suffix_of
from gateway.tasks.tables.table import Row, Table, Unreadable
from gateway.tasks.tables.text import read_utf8
from gateway.tasks.tables.write import json_lines, with_columns, write_table

__all__ = [
    "HUB_PREFIX",
    "STANDARD_INPUT",
    "SUFFIXES",
    "WRITTEN",
    "Columns",
    "Quoting",
    "ReadOptions",
    "Row",
    "Table",
    "Unreadable",
    "json_lines",
    "options_of",
    "read_table",
    "read_utf8",
    "require_reader",
    "suffix_of",
    "with_columns",
    "write_table",
]
