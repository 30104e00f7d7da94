"""Bytes -> text. UTF-8, what a byte order mark says, and what a person says; nothing is guessed."""

import codecs
import re
from collections.abc import Iterator
from pathlib import Path

from gateway.core.errors import DataError
from gateway.tasks.tables.encodings import decodes, likely
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
_WIDE = ("utf-16", "utf-32")
_LOST = re.compile("\ufffd")
_MARKED = re.compile("\ufeff")
_CONTROL = re.compile("[\u0080-\u0084\u0086-\u009f]")
_HIDDEN = {
    "iso2022_jp": re.compile("\x1b\\$[@B]"),
    "iso2022_kr": re.compile("\x1b\\$\\)C"),
    "hz": re.compile("~\\{[!-~]+~\\}"),
    "utf-7": re.compile(r"\+[A-Za-z0-9+/]{3,}-"),
}
"""Encodings that look like ASCII -> what their letters begin with."""
_OFTEN = "äöüßÄÖÜéèêëáàâçñóíúåøæłżśćąę’‘“”„–—…€"


def _twice_by(encoding: str) -> str:
    """A pattern of what letters and quotes of UTF-8 become in another encoding."""
    became = (letter.encode().decode(encoding, errors="ignore") for letter in _OFTEN)
    return "|".join(sorted({re.escape(text) for text in became if len(text) > 1}))


_TWICE = re.compile("â€[™œ˜“”¦]|Ã[\u00a0-\u00bf]")
"""What quotes, dashes and accented letters of UTF-8 become in windows-1252."""
_TWICE_ON_A_MAC = re.compile(_twice_by("mac_roman"))
_TWICE_IN_DOS = re.compile(f"{_twice_by('cp437')}|{_twice_by('cp850')}")
_TWICE_IN_CYRILLIC = re.compile("(?:[РС][°-¿\u0402-\u040f\u0450-\u045f‘-„†-•…‰‹›€™№]){3}")
"""What Cyrillic letters become in windows-1251, where letters in between are no such pairs."""
_TRACES = (
    ("lost letters (U+FFFD)", _LOST),
    ("UTF-8 read as windows-1252", _TWICE),
    ("UTF-8 read as MacRoman", _TWICE_ON_A_MAC),
    ("UTF-8 read in an encoding of DOS", _TWICE_IN_DOS),
    ("UTF-8 read as windows-1251", _TWICE_IN_CYRILLIC),
    ("windows-1252 read as Latin-1", _CONTROL),
    ("a byte order mark of another file that was joined to it", _MARKED),
)
_AROUND = 16
_OTHERS = 3
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
    _check_wide(source, data, name, text)
    return _without_nul(source, data, text), tuple(notes)


def _check_wide(source: str, data: bytes, name: str, text: str) -> None:
    """Raise DataError where no line ends in what was read two or four bytes a character."""
    if not codecs.lookup(name).name.startswith(_WIDE) or re.search("[\r\n]", text):
        return
    if b"\n" in data or b"\r" in data:
        wide = _wide(data)
        raise DataError(
            f"{source}: no {name.upper()}: no line ends in it",
            hint=f"--encoding {wide}" if wide else "without --encoding",
        )


def doubts(source: str, text: str) -> Iterator[str]:
    """Traces of a conversion that lost or changed letters before the file was made."""
    for what, pattern in _TRACES:
        if first := pattern.search(text):
            line = text.count("\n", 0, first.start()) + 1
            start = max(first.start() - _AROUND, text.rfind("\n", 0, first.start()) + 1)
            shown = text[start : first.end() + _AROUND].split("\n")[0]
            yield f"{source}:{line}: looks like {what}: {shown!r}"
    if name := hidden_encoding(text):
        yield f"{source}: looks like {name} that nobody decoded: --encoding {name}"


def hidden_encoding(text: str) -> str:
    """The encoding that a text of ASCII characters is in without a byte that says so; empty: it is
    what it looks like."""
    if not text.isascii():
        return ""
    for name, letters in _HIDDEN.items():
        if letters.search(text) and decodes(text.encode(), name):
            return "" if text.encode().decode(name).isascii() else name
    return ""


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
        if "truncated" in exc.reason and any(data.startswith(mark) for mark, _ in _MARKS):
            hint = "was the file cut?"
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
    """How the bytes around would read in the encoding that is most likely meant."""
    if wide := _wide(data):
        return f"it looks like {wide[:6].upper()}: --encoding {wide}"
    if any(_is_utf8(line) for line in data.split(b"\n")):
        return "other lines are UTF-8, and so must this one be: the file has two encodings"
    names = likely(data)
    if not names:
        return "name its encoding, for example --encoding windows-1251 or --encoding shift_jis"
    start = max(at - _AROUND, data.rfind(b"\n", 0, at) + 1)
    shown = data[start : at + _AROUND].split(b"\n")[0].decode(names[0], errors="ignore")
    others = ", ".join(names[1 : 1 + _OTHERS])
    return f"--encoding {names[0]}, if {shown!r} is right there; else {others} or another"


def _wide(data: bytes) -> str:
    """The encoding of two or four bytes a character that this is without saying so."""
    start = data[: 1 << 16]
    every = [start[place::4].count(0) for place in range(4)]
    if min(every[1:]) >= _SHARE_OF_NUL * len(start) / 4 > 0 == every[0]:
        return "utf-32-le"
    if min(every[:3]) >= _SHARE_OF_NUL * len(start) / 4 > 0 == every[3]:
        return "utf-32-be"
    even, odd = every[0] + every[2], every[1] + every[3]
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
            hint=f"it looks like {wide[:6].upper()}: --encoding {wide}" if wide else "remove it",
        )
    return text
