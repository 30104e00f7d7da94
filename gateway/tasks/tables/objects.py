"""JSON Lines and JSON -> a table: one object a row, all keys of all rows its columns."""

import json
from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import Any

from gateway.core.errors import DataError
from gateway.tasks.tables.table import Row, Table
from gateway.tasks.tables.values import kind_of

_OF_A_ROW = 'one object a line: {"title": "...", "label": "..."}'


def read_json_lines(source: str, text: str, notes: Sequence[str] = ()) -> Table:
    """The table of a text with one object a line.

    Raises:
        DataError: a line is no object, or has a key twice.
    """
    found = []
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.lstrip("\ufeff")  # Of a file that was joined to another one.
        if line.strip():
            found.append((number, _object(source, number, _value(source, number, line))))
    return _table(source, found, notes)


def read_json(source: str, text: str, notes: Sequence[str] = ()) -> Table:
    """The table of a list of objects, of an object with one such list, or of objects one after the
    other, whatever their lines (JSON Lines, and as jq writes them).

    Rows are numbered by the line that each begins in, or counted where two begin in one line.

    Raises:
        DataError: it is none of these, or an object has a key twice.
    """
    start = len(text) - len(text.lstrip())
    if text[start] == "[":
        return _table(source, _numbered(list(_lists(source, text, start))), notes)
    try:
        whole = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        return _table(source, _numbered(list(_sequence(source, text, start))), notes)
    lists = {
        name: value
        for name, value in (whole.items() if isinstance(whole, dict) else ())
        if isinstance(value, list) and value and all(isinstance(each, dict) for each in value)
    }
    if len(lists) > 1:
        raise DataError(
            f"{source}:1: several lists of objects: {', '.join(lists)}; which one is meant?",
            hint="make a file of each",
        )
    if not lists and (nested := list(_nested(whole))):
        lists = dict(nested)
        if len(lists) > 1:
            raise DataError(
                f"{source}:1: several lists of objects: {', '.join(lists)}; which one is meant?",
                hint=f"jq .{nested[0][0]} {source} > rows.json takes the first",
            )
    if not lists:
        _check_rows(source, whole)
        return _table(source, [(1, _object(source, 1, whole))], notes)
    [(name, rows)] = lists.items()
    said = f"{source}: the rows are those of {name!r}"
    return _table(source, list(enumerate(rows, start=1)), [*notes, said])


def _nested(whole: object, path: str = "") -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The lists of objects within objects, each with its path, as GraphQL and a search answer. An
    object with texts of its own is a row, whatever else it has."""
    members = whole if isinstance(whole, dict) else {}
    if not path and any(isinstance(value, str | list) for value in members.values()):
        return
    for name, value in members.items():
        if isinstance(value, dict):
            yield from _nested(value, f"{path}{name}.")
        elif path and isinstance(value, list) and value and all(isinstance(v, dict) for v in value):
            yield f"{path}{name}", value


def _lists(source: str, text: str, at: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of the lists that stand one after the other: `gh api --paginate` writes one for
    each page."""
    while text[at : at + 1] == "[":
        at = yield from _elements(source, text, at)
    if rest := text[at:].strip():
        line = text.count("\n", 0, at) + 1
        raise DataError(f"{source}:{line}: no JSON: {rest[:1]!r} behind the end of the list")


def _elements(source: str, text: str, at: int) -> Generator[tuple[int, dict[str, Any]], None, int]:
    """The objects of the list that begins there, each with the line that it begins in; returns
    where what follows the list begins."""
    decoder = json.JSONDecoder(object_pairs_hook=_once)
    line, counted, before = text.count("\n", 0, at) + 1, at, "["
    while text[at : at + 1] == before:
        at = _after_space(text, at + 1)
        if before == "[" and text[at : at + 1] == "]":
            break
        line, counted, before = line + text.count("\n", counted, at), at, ","
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as exc:
            raise _no_json(source, line, exc) from exc
        yield line, _object(source, line, value)
        at = _after_space(text, at)
    rest = text[at:].strip()
    if rest[:1] != "]":
        line = text.count("\n", 0, at) + 1
        raise DataError(
            f"{source}:{line}: no JSON: {rest[:1]!r} where a comma or the end of the list is due"
            if rest
            else f"{source}:{line}: no JSON: the list has no end; was the file cut?"
        )
    return _after_space(text, at + 1)


def _sequence(source: str, text: str, at: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects that stand one after the other, each with the line that it begins in."""
    decoder = json.JSONDecoder(object_pairs_hook=_once)
    line, counted = 1, 0
    while at < len(text):
        line, counted = line + text.count("\n", counted, at), at
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as exc:
            raise _no_json(source, line, exc) from exc
        yield line, _object(source, line, value)
        at = _after_space(text, at)


def _check_rows(source: str, whole: object) -> None:
    """Raise DataError for an object whose members are the columns of a table, not its rows."""
    parts = list(whole.values()) if isinstance(whole, dict) else []
    lists = [len(part) for part in parts if isinstance(part, list)]
    objects = [tuple(part) for part in parts if isinstance(part, dict)]
    columns = len(lists) == len(parts) > 1 and len(set(lists)) == 1
    if columns or (len(objects) == len(parts) > 1 and len(set(objects)) == 1 and objects[0]):
        raise DataError(
            f"{source}:1: one object whose members are all alike: columns, where rows are expected",
            hint='a list of objects, one a row: [{"title": "...", "label": "..."}]; pandas writes '
            'it with orient="records"',
        )


def _numbered(found: Sequence[tuple[int, dict[str, Any]]]) -> list[tuple[int, dict[str, Any]]]:
    """Counted where two begin in one line."""
    if len({line for line, _ in found}) == len(found):
        return list(found)
    return [(number, value) for number, (_, value) in enumerate(found, start=1)]


def _after_space(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n\ufeff":
        at += 1
    return at


def _value(source: str, number: int, line: str) -> object:
    try:
        return json.loads(line, object_pairs_hook=_once)
    except (ValueError, RecursionError) as exc:
        raise _no_json(source, number, exc) from exc


def _no_json(source: str, line: int, exc: Exception) -> DataError:
    if isinstance(exc, _Repeated):
        return DataError(
            f"{source}:{line}: the key {exc.key!r} stands twice in one object",
            hint="remove one; which of the two is meant cannot be known",
        )
    if not isinstance(exc, json.JSONDecodeError):
        return DataError(f"{source}:{line}: no JSON: {exc}")
    if "\n" in exc.doc:
        line = exc.lineno
    what = f"{exc.msg} (column {exc.colno})"
    return DataError(f"{source}:{line}: no JSON: {what}", hint=_meant(exc.doc, exc.pos))


def _meant(text: str, at: int) -> str:
    """What a text is that is no JSON; empty: nobody knows."""
    if not text.lstrip("\ufeff \t\r\n").startswith(("{", "[", '"')):
        return "what is no JSON has another suffix: .csv, .tsv"
    behind, before = text[at : at + 1], text[:at].rstrip()[-1:]
    if behind == "'":
        return (
            "names and texts of JSON stand in double quotes: json.dumps writes it, print does not"
        )
    if (behind in ("]", "}") and before == ",") or text[at:].strip() == ",":
        return "remove the comma at the end"
    if "\n" not in text and text.strip().startswith("[") and text.rstrip().endswith(","):
        return "a list of objects is read from a file called .json"
    if text[:at].count("{") and "\n" not in text and text[:at].strip() in ("{", "[", "[{"):
        return "one object a line; objects over several lines are read from a file called .json"
    return ""


class _Repeated(ValueError):
    """A key of an object that it has already."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _Repeated(key)
            seen.add(key)
    return made


def _object(source: str, number: int, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        a_list = "; a list of objects is read from a file called .json"
        raise DataError(
            f"{source}:{number}: {kind_of(value)} where an object is expected",
            hint=_OF_A_ROW + (a_list if isinstance(value, list) else ""),
        )
    return value


def _table(source: str, found: Iterable[tuple[int, dict[str, Any]]], notes: Sequence[str]) -> Table:
    rows = tuple(Row(number, value) for number, value in found)
    columns = dict.fromkeys(key for row in rows for key in row.values)
    return Table(source, tuple(columns), rows, notes=tuple(notes))
