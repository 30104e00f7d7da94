"""CSV and TSV -> a table (RFC 4180; `sep=` in the first line as Excel writes and reads it)."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from gateway.core.errors import DataError
from gateway.core.lists import plural
from gateway.tasks.tables.options import ReadOptions
from gateway.tasks.tables.quotes import Dialect, Record, check_quotes, unquoted_fits
from gateway.tasks.tables.table import Row, Table, distinct
from gateway.tasks.tables.values import trimmed

_FIELD_LIMIT = 1 << 24
"""Characters of one field; the csv module's own default of 131,072 is less than a long log."""
_KNOWN_DELIMITERS = (",", ";", "\t", "|")
_NAMES = {"\t": "tab"}
_SEP = re.compile(r'"?sep=([^"\r\n])"?(?:\r\n|\n|\r)', re.IGNORECASE)
_SHOWN = 12
_HINTED = (*_KNOWN_DELIMITERS, "^", ":")
"""Delimiters that are named where a header has one column; ":" and "^" stand in texts too often to
be taken."""
_RULE = re.compile(r"\s*:?[-=+]{2,}:?\s*")
_COMMENT = re.compile(r"#(?:\s|$)")
_NOTHING = "\\N"
"""How MySQL and PostgreSQL export that there is none."""
_OF_A_SHEET = {32_767, 32_759}
"""Characters that a cell of Excel, and one that is pasted into it, can hold."""
_TOTAL = re.compile(
    r"(?:(?:grand|sub)[ -]?)?total:?|sum:?|average:?|mean:?|count:?|summe:?|gesamt(?:summe)?:?"
    r"|somme:?|suma:?|итого:?|合计|合計",
    re.IGNORECASE,
)
_IN_QUOTES = re.compile("'.+'|\".+\"|[“„].+[”“]|«.+»|`.+`", re.DOTALL)
_SPACED_QUOTE = re.compile(r'\s+".*"\s*', re.DOTALL)


def read_delimited(
    source: str, text: str, usual: str, options: ReadOptions, notes: Sequence[str] = ()
) -> Table:
    """The table of a text with delimiters.

    Args:
        usual: the delimiter that the file's name says.
        notes: what is to be told of the text.

    Raises:
        DataError: the first row that does not fit, with the option that cures it.
    """
    previous = csv.field_size_limit(_FIELD_LIMIT)
    try:
        return _read(source, text, usual, options, notes)
    finally:
        csv.field_size_limit(previous)


def _read(source: str, text: str, usual: str, options: ReadOptions, notes: Sequence[str]) -> Table:
    said = list(notes)
    named = _SEP.match(text)
    body = text[named.end() :] if named else text
    delimiter = options.delimiter or (named[1] if named else "") or _sniffed(body, usual, options)
    if delimiter != (options.delimiter or usual):
        said.append(f"{source}: the fields are separated by {shown(delimiter)}")
    file = _Lines(source, body, 1 if named else 0, Dialect(delimiter, options.quoting))
    file.check_kind()
    records = list(file.records())
    if not records:
        return Table(source, (), ())
    header, *rows = fitted(records)
    if header.cells != records[0].cells or rows != records[1:]:
        said.append(f"{source}: a delimiter at the end of each line was left out")
    names = [trimmed(name) for name in header.cells]
    if names != header.cells:
        said.append(f"{source}:{header.line}: names of columns stand without spaces around them")
    kept = [record for record in rows if any(record.cells)]
    if len(kept) < len(rows):
        said.append(
            f"{source}: left out, without any value: {plural(len(rows) - len(kept), 'row')}"
        )
    file.check_widths(header, rows)
    doubts = list(check_quotes(source, file.lines, header, kept, file.dialect))
    doubts = [*doubts, *_odd_cells(source, kept), *_odd_values(source, names, kept)]
    doubts += _ends(source, text, kept)
    table = _table(source, names, kept, said, doubts)
    return replace(table, remarks=tuple(_spans(source, records)))


def shown(delimiter: str) -> str:
    """A delimiter as a person gives it."""
    return _NAMES.get(delimiter, f'"{delimiter}"')


def other_delimiter(names: Iterable[str]) -> str:
    """A delimiter that stands within names of columns, which then are rather several names."""
    return next((d for d in _HINTED if any(d in name for name in names)), "")


def _table(
    source: str, names: list[str], records: Sequence[Record], notes: list[str], doubts: list[str]
) -> Table:
    columns = distinct(source, names)
    rows = tuple(Row(r.line, dict(zip(columns, r.cells, strict=True))) for r in records)
    header = tuple(names) if tuple(names) != columns else ()
    return Table(source, columns, rows, header, tuple(notes), tuple(doubts))


def fitted(records: Sequence[Record]) -> Sequence[Record]:
    """Header and rows of one width where all rows have the same empty fields too many at their end,
    or the header has."""
    header, *rows = records
    width = len(header.cells)
    over = {len(record.cells) - width for record in rows}
    if len(over) != 1 or over == {0}:
        return records
    more = over.pop()
    if more > 0 and not any(cell for record in rows for cell in record.cells[width:]):
        return [header, *(replace(record, cells=record.cells[:width]) for record in rows)]
    if more < 0 and not any(header.cells[more:]):
        return [replace(header, cells=header.cells[:more]), *rows]
    return records


def _odd_cells(source: str, records: Sequence[Record]) -> Iterator[str]:
    """Doubts about rows that may be comments, and about quotes that are part of a value."""
    comments = [record for record in records if _COMMENT.match(record.cells[0])]
    if comments and len(comments) * 2 < len(records):
        yield f"{source}:{comments[0].line}: begins as a comment does, and is read as a row"
    ends = {record.cells[-1][-1:] for record in records}
    if len(records) > 1 and len(ends) == 1 and ends <= set(_KNOWN_DELIMITERS):
        yield f"{source}: the last field of every row ends with {shown(ends.pop())}, a delimiter"
    quoted = (r for r in records if any(_SPACED_QUOTE.fullmatch(cell) for cell in r.cells))
    if (first := next(quoted, None)) is not None:
        yield (
            f"{source}:{first.line}: spaces stand before a quote, so that the quotes are a part of "
            "the value"
        )


def _odd_values(source: str, names: Sequence[str], records: Sequence[Record]) -> Iterator[str]:
    """Doubts about values that another program would not read as they stand."""
    if nothing := [record for record in records if _NOTHING in record.cells]:
        yield (
            f"{source}:{nothing[0].line}: {_NOTHING} is read as a text; databases write it where "
            "there is nothing"
        )
    if long := [record for record in records if _OF_A_SHEET & set(map(len, record.cells))]:
        yield f"{source}:{long[0].line}: as long as a cell can be: a sheet may have cut the text"
    if len(records) > 1 and _TOTAL.fullmatch(trimmed(next(filter(None, records[-1].cells)))):
        yield f"{source}:{records[-1].line}: begins as a row of totals does, and is read as a row"
    for place, name in enumerate(names):
        if len(records) > 1 and all(_IN_QUOTES.fullmatch(r.cells[place]) for r in records):
            yield f"{source}: every value of {name!r} stands in quotes, which are a part of it"


def _sniffed(text: str, usual: str, options: ReadOptions) -> str:
    """The usual delimiter, or the only other one that makes a header of more than one column."""
    if len(_first(text, usual, options)) > 1:
        return usual
    others = [delimiter for delimiter in _KNOWN_DELIMITERS if delimiter != usual]
    fitting = [other for other in others if len(_first(text, other, options)) > 1]
    return fitting[0] if len(fitting) == 1 else usual


def _first(text: str, delimiter: str, options: ReadOptions) -> list[str]:
    """The header's cells; none where it cannot be read so."""
    reader = Dialect(delimiter, options.quoting).reader(io.StringIO(text, newline=""))
    try:
        return next((cells for cells in reader if cells), [])
    except csv.Error:
        return []


@dataclass(frozen=True, slots=True)
class _Lines:
    """The text of a table, and how its lines become records."""

    source: str
    text: str
    before: int
    """Lines of the file that stand before the text."""
    dialect: Dialect

    @property
    def lines(self) -> list[str]:
        """As in the file, with those before; the first is the line 1."""
        # newline="": only CR and LF end a line here; str.splitlines would also cut at U+2028.
        return [""] * self.before + list(io.StringIO(self.text, newline=""))

    def check_kind(self) -> None:
        """Raise DataError for JSON, and for lines that stand in quotes as a whole."""
        start = self.text.lstrip()[:2]
        if start in ("[{", "[\n", "[\r") or re.match(r'\{\s*"', self.text.lstrip()):
            raise DataError(
                f"{self.source}:1: JSON, by how it begins, in a file of another name",
                hint="rename it to .json, or to .jsonl if each line is an object",
            )
        filled = (
            (number, line)
            for number, line in enumerate(self.lines, start=1)
            if number > self.before and line.strip("\r\n")
        )
        number, line = next(filled, (0, ""))
        first = self.dialect.cells(line)
        if len(first) == 1 and self.dialect.delimiter in first[0] and line[:1] == '"':
            raise DataError(
                f"{self.source}:{number}: the whole line stands in quotes, and is one field",
                hint="remove the quotes around the lines",
            )

    def records(self) -> Iterator[Record]:
        """Rows that are not blank."""
        reader = self.dialect.reader(io.StringIO(self.text, newline=""))
        begins = self.before + 1
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as exc:
                raise self._no_csv(begins, exc) from exc
            ends = self.before + reader.line_num
            if cells:
                yield Record(begins, ends, cells)
            begins = ends + 1

    def _no_csv(self, line: int, exc: csv.Error) -> DataError:
        hint = 'a quote within a quoted field is written twice: ""'
        if "field limit" in str(exc):
            hint = "a quote may be left open there"
        elif self.dialect.quoting != "none":
            if '\\"' in self.text and self.dialect.quoting != "backslash":
                hint += '; --quoting backslash where it is written \\"'
            elif unquoted_fits(self.lines, self.dialect):
                hint += "; --quoting none if quotes are plain text in this file"
        return DataError(f"{self.source}:{line}: no valid CSV: {exc}", hint=hint)

    def check_widths(self, header: Record, rows: Sequence[Record]) -> None:
        """Raise DataError for a row that is no row of this header."""
        names = [trimmed(name) for name in header.cells]
        for record in rows:
            if len(record.cells) != len(names):
                raise self._another_width(header, record)
            filled = [cell for cell in record.cells if cell]
            if len(filled) > 1 and all(map(_RULE.fullmatch, filled)):
                raise DataError(
                    f"{self.source}:{record.line}: a rule, which is no row",
                    hint="export the table as CSV, or remove the line",
                )
            if len(names) > 1 and trimmed(record.cells[0]) == names[0]:
                self._check_no_header(record, names)

    def _check_no_header(self, record: Record, names: list[str]) -> None:
        if [trimmed(cell) for cell in record.cells] == names:
            raise DataError(
                f"{self.source}:{record.line}: the header again",
                hint="two files were joined; remove the line",
            )

    def _another_width(self, header: Record, record: Record) -> DataError:
        hint = f"columns: {', '.join(header.cells[:_SHOWN])}; "
        spare = record.cells[len(header.cells) :]
        other = other_delimiter(header.cells)
        if self.dialect.quoting in ("", "double") and unquoted_fits(self.lines, self.dialect):
            hint = "--quoting none if quotes are plain text in this file"
        elif other and len(header.cells) <= 1 + header.cells[0].count(other):
            hint += f"--delimiter {shown(other)} if that separates them"
        elif len(header.cells) == 1:
            hint += "remove what stands before the header"
        elif spare and not any(spare):
            hint += "remove the delimiter at its end"
        elif len(record.cells) == len(header.cells) + 1 and record.cells[0].isdigit():
            hint += "in R, write.table(col.names=NA, sep=...) names the column of row numbers too"
        elif len(record.cells) == 1:
            hint += "remove the line, if it is no row"
        elif self.dialect.delimiter == ",":
            hint += "a field with a comma needs quotes"
        else:
            hint += f"a field with {shown(self.dialect.delimiter)} needs quotes"
        return DataError(
            f"{self.source}:{record.line}: {len(record.cells)} fields where the header has "
            f"{len(header.cells)}",
            hint=hint,
        )


def _spans(source: str, records: Sequence[Record]) -> Iterator[str]:
    """How many lines became how many rows, where they are not as many."""
    tall = [record for record in records if record.line < record.last]
    if tall:
        yield (
            f"{source}: {plural(records[-1].last, 'line')}, {plural(len(records), 'row')} with "
            f"the header: {len(tall):,} span several lines, {source}:{tall[0].line} the first"
        )


def _ends(source: str, text: str, records: Sequence[Record]) -> Iterator[str]:
    """Doubts about where the lines and the file end."""
    if not text.endswith(("\n", "\r", '"')) and records:
        yield (
            f"{source}:{records[-1].line}: the last line has no line end; if the file was cut "
            "there, so was this row"
        )
    if records and len(records[0].cells) == 1:
        alone = text.count("\r") - text.count("\r\n")
        if alone and alone != len(text.splitlines()) and "\n" in text.replace("\r\n", ""):
            yield f"{source}: {alone} lines end in another way than the others, and each is a row"
