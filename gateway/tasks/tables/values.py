"""Values of a table -> texts and numbers; of what is neither, an error says what it is."""

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal

from gateway.core.errors import DataError
from gateway.tasks.tables.table import Unreadable

NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
"""A number in decimal digits, with or without an exponent."""
_HALF = re.compile("[\ud800-\udfff]")
_DEPTH = 6
_FORMAT = "Cf"
"""Unicode's category of characters that are not seen: zero-width ones, marks of direction."""


def trimmed(text: str) -> str:
    """Without spaces and what is not seen at both ends."""
    start, end = 0, len(text)
    while start < end and _unseen(text[start]):
        start += 1
    while start < end and _unseen(text[end - 1]):
        end -= 1
    return text[start:end]


def _unseen(character: str) -> bool:
    return character.isspace() or unicodedata.category(character) == _FORMAT


def as_text(value: object) -> str:
    """A value as text: nothing is empty text, so is NaN; a number is how it is written, a date as
    ISO 8601 has it, true and false as JSON has them. Line ends become LF, since they say nothing
    about the text.

    Raises:
        DataError: it is no text; the message says what it is, and goes behind the place.
    """
    if is_nothing(value):
        return ""
    if isinstance(value, Unreadable):
        raise DataError(f"is {value.reason}", hint=value.hint)
    if isinstance(value, float) and math.isinf(value):
        raise DataError("is infinite, or too large a number", hint="in quotes it is read as text")
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return _checked(_decoded(value))
    if not isinstance(value, str | int | float):
        raise DataError(f"is {kind_of(value)}; text is expected", hint=_path_hint(value))
    return _checked(str(value))


def kind_of(value: object) -> str:
    """What a value is, with its article, as JSON calls it."""
    known = {"dict": "an object", "NoneType": "null", "int": "a number", "float": "a number"}
    known |= {"str": "a text", "bool": "true or false"}
    name = type(value).__name__
    return known.get(name, f"a {name}")


def _decoded(value: bytes) -> str:
    """Old writers of Parquet store text without saying that it is text."""
    try:
        return value.decode()
    except UnicodeDecodeError as exc:
        raise DataError(f"is {len(value)} bytes that are no text in UTF-8") from exc


def is_nothing(value: object) -> bool:
    """Whether a value is none: null, or NaN, which stands for it in columns of numbers."""
    if isinstance(value, Decimal):
        return value.is_nan()
    return value is None or (isinstance(value, float) and math.isnan(value))


def _checked(text: str) -> str:
    if _HALF.search(text):
        raise DataError("holds half a surrogate pair, which is no text")
    if "\0" in text:
        raise DataError("holds a NUL character")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _path_hint(value: object) -> str:
    """The path to the first text within a value, as `--column` takes it."""
    path = _path(value)
    return f"a part of it is named by a path: --column FIELD=COLUMN{path}" if path else ""


def _path(value: object, depth: int = _DEPTH) -> str:
    if not depth:
        return ""
    if isinstance(value, Mapping):
        names = [name for name in ("name", "value", "text", "label") if name in value]
        names += [name for name, part in value.items() if isinstance(part, str | dict | list)]
        return f".{names[0]}{_path(value[names[0]], depth - 1)}" if names else ""
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return f"[0]{_path(value[0], depth - 1)}" if value else "[0]"
    return ""


def number(text: str) -> float:
    """The number that a text is, in decimal digits; NaN where it is none."""
    plain = trimmed(text)
    return float(plain) if NUMBER.fullmatch(plain) else math.nan
