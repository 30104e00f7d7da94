"""Bytes -> text. UTF-8, what a byte order mark says, and what a person says; nothing is guessed."""

import codecs
import re
from collections.abc import Iterator
from pathlib import Path

from gateway.core.errors import DataError
from gateway.tasks.tables.source import bytes_of

_UTF8 = "utf-8"
_MARK = "\ufeff"
_MARKS = (
    (codecs.BOM_UTF8, _UTF8),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks, the longer before those that they begin with."""
_LIKELY = "windows-1252"
_LOST = re.compile("\ufffd")
_TWICE = re.compile("â€[™œ˜“”¦]|Ã[\u00a0-\u00bf]")
"""What quotes, dashes and accented letters of UTF-8 become in windows-1252."""
_AROUND = 16
_LEAST_NUL = 4
_SHARE_OF_NUL = 0.3
"""Of every second byte: more are NUL in UTF-16 of languages with Latin letters."""


def read_utf8(path: Path) -> str:
    """The text of a file, without a byte order mark.

    Raises:
        DataError: it cannot be read, is no UTF-8, or holds a NUL character.
    """
    data = bytes_of(path)
    try:
        text = data.decode(_UTF8)
    except UnicodeDecodeError as exc:
        raise _undecodable(str(path), data, _UTF8, exc, "save it as UTF-8") from exc
    return _without_nul(str(path), data, text.lstrip(_MARK))


def decode(source: str, data: bytes, encoding: str = "") -> tuple[str, tuple[str, ...]]:
    """The text of a file without its byte order mark, and what is to be told of its encoding.

    Args:
        encoding: of what is neither UTF-8 nor has a byte order mark.

    Raises:
        DataError: it is in another encoding, or holds a NUL character.
    """
    name = next((name for mark, name in _MARKS if data.startswith(mark)), "")
    notes = []
    if not name:
        name = _UTF8 if not encoding or _is_utf8(data) else encoding
    if name != encoding and encoding and codecs.lookup(encoding).name != name:
        notes.append(f"{source}: read as {name.upper()}, which it is, and not as {encoding}")
    elif name not in (_UTF8, encoding):
        notes.append(f"{source}: read as {name.upper()}, as its first bytes say")
    text = _decoded(source, data, name)
    return _without_nul(source, data, text), tuple(notes)


def doubts(source: str, text: str) -> Iterator[str]:
    """Traces of a conversion that lost or changed letters before the file was made."""
    for what, pattern in (("lost letters (U+FFFD)", _LOST), ("UTF-8 read as windows-1252", _TWICE)):
        if first := pattern.search(text):
            line = text.count("\n", 0, first.start()) + 1
            shown = text[max(0, first.start() - _AROUND) : first.end() + _AROUND].split("\n")[0]
            yield f"{source}:{line}: looks like {what}, before it was saved: {shown!r}"


def _is_utf8(data: bytes) -> bool:
    """Whether it has characters beyond ASCII, all of them in UTF-8: by accident that is rare."""
    if data.isascii():
        return False
    try:
        data.decode(_UTF8)
    except UnicodeDecodeError:
        return False
    return True


def _decoded(source: str, data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding).lstrip(_MARK)
    except UnicodeDecodeError as exc:
        hint = _hint(data, exc.start) if encoding == _UTF8 else "another --encoding"
        raise _undecodable(source, data, encoding, exc, hint) from exc
    except UnicodeError as exc:
        raise DataError(f"{source}: no {encoding}: {exc}", hint="another --encoding") from exc


def _undecodable(
    source: str, data: bytes, encoding: str, exc: UnicodeDecodeError, hint: str
) -> DataError:
    line = data[: exc.start].decode(encoding, errors="replace").count("\n") + 1
    what = f"byte 0x{data[exc.start]:02x} at offset {exc.start}"
    return DataError(f"{source}:{line}: {what} is no {encoding.upper()}", hint=hint)


def _hint(data: bytes, at: int) -> str:
    """How the bytes around would read in the encoding that is most often meant."""
    if wide := _wide(data):
        return f"it looks like UTF-16: --encoding {wide}"
    start = max(at - _AROUND, data.rfind(b"\n", 0, at) + 1)
    around = data[start : at + _AROUND].split(b"\n")[0]
    try:
        shown = around.decode(_LIKELY)
    except UnicodeDecodeError:
        return "name its encoding, for example --encoding windows-1251 or --encoding shift_jis"
    return f"--encoding {_LIKELY}, if {shown!r} is right there; else name another"


def _wide(data: bytes) -> str:
    """The encoding of two bytes a character that this is without saying so."""
    start = data[: 1 << 16]
    even, odd = start[::2].count(0), start[1::2].count(0)
    most = max(even, odd)
    if min(even, odd) or most < _LEAST_NUL or most < _SHARE_OF_NUL * len(start) / 2:
        return ""
    return "utf-16-le" if odd else "utf-16-be"


def _without_nul(source: str, data: bytes, text: str) -> str:
    if (at := text.find("\0")) >= 0:
        line = text.count("\n", 0, at) + 1
        wide = _wide(data)
        raise DataError(
            f"{source}:{line}: a NUL character; text is expected",
            hint=f"it looks like UTF-16: --encoding {wide}" if wide else "remove it",
        )
    return text
