"""How data is read where the data does not say it: columns, delimiter, encoding, quoting."""

import codecs
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from gateway.core.errors import ConfigError

Quoting = Literal["", "double", "backslash", "none"]
_QUOTING = tuple(name for name in get_args(Quoting) if name)
_NAMED = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";"}
_NO_DELIMITERS = '"\r\n\\ '


def _tell_nobody(note: str) -> None:
    """Where nobody is told, notes are still in the `Dataset`."""


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What a person says about data.

    Raises:
        ConfigError: there is no such delimiter, encoding or quoting.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    """Field (or answer, or "id") -> its column, or a path into one: `fields.summary`,
    `labels[0].name`. An empty one for "id": the line is the id."""
    delimiter: str = ""
    """Of CSV and TSV; one character, or "tab". Empty: by the file's name and header."""
    encoding: str = ""
    """Of files that are no UTF-8. Empty: none is guessed."""
    quoting: Quoting = ""
    """Of CSV and TSV. double: a field in quotes may hold anything, a quote is written twice.
    backslash: the same, a quote is written after a backslash. none: quotes are plain text. Empty:
    as double, and quotes that look as if they were text are refused."""
    tell: Callable[[str], None] = field(default=_tell_nobody, compare=False)
    """Told, a sentence each, what was decided or doubted while reading."""
    cluster: str = ""
    """Column that says which items belong together; empty: none."""
    group: str = ""
    """Column that says of which group an item is; empty: none. Every item needs one."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "delimiter", _delimiter(self.delimiter))
        _check_encoding(self.encoding)
        if self.quoting not in get_args(Quoting):
            raise ConfigError(
                f"--quoting {self.quoting!r}: no such quoting", hint=f"known: {', '.join(_QUOTING)}"
            )

    def with_column(self, name: str, column: str) -> "ReadOptions":
        """The same with one column more."""
        columns = {**self.columns, name: column}
        return replace(self, columns=columns)


Columns = ReadOptions | Mapping[str, str] | None
"""Field -> column, or all that can be said about data."""


def options_of(columns: Columns) -> ReadOptions:
    """The same as options."""
    return columns if isinstance(columns, ReadOptions) else ReadOptions(columns or {})


def _delimiter(text: str) -> str:
    found = _NAMED.get(text.lower(), text)
    if len(found) > 1 or (found and found in _NO_DELIMITERS):
        raise ConfigError(
            f"--delimiter {text!r}: one character is expected, and no quote, space or line end",
            hint='--delimiter ";" or --delimiter tab',
        )
    return found


def _check_encoding(name: str) -> None:
    try:
        known = not name or codecs.lookup(name)._is_text_encoding
    except (LookupError, ValueError):
        known = False
    if not known:
        raise ConfigError(
            f"--encoding {name!r}: no such encoding",
            hint="for example windows-1252, windows-1251, utf-16-le, shift_jis",
        )
