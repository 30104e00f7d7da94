"""Bytes that are no UTF-8 -> the encodings that they may be in, the likeliest first.

A text is likelier in an encoding the more of its letters beyond ASCII are those that the languages
of that encoding use most. Nothing is read by this: an error names them, and a person decides.
"""

import re
from functools import partial

_OFTEN = {
    "windows-1252": "äöüßéèêàâçôîùñáíóúåæøãõ¿¡’–“”„£«»",
    "windows-1250": "ąćęłńśźżáčďéěíňřšťúůýžőűöüäâăî„”–",
    "windows-1254": "ıişğçöüâî’",
    "mac_roman": "äöüßéèêàâçôîùñáíóúåæøãõ’–“”„£«»",
    "cp850": "äöüßéèêàâçôîùñáíóúåæøãõ£«»",
    "windows-1251": "оеаинтсрвлкмдпуяыьзбг",
    "koi8_r": "оеаинтсрвлкмдпуяыьзбг",
    "cp866": "оеаинтсрвлкмдпуяыьзбг",
    "iso8859_5": "оеаинтсрвлкмдпуяыьзбг",
    "mac_cyrillic": "оеаинтсрвлкмдпуяыьзбг",
    "windows-1253": "αοιετνσρκπυηςλμάόίέωή",
    "windows-1255": "יוהלאתרמשבנ",
    "windows-1256": "اليمنتروبهعدف",
    "cp874": "านรอกเงมยลวดทสต่้ิีั็",
}
"""Encoding of single bytes -> letters that its languages use most."""
_LATIN = ("windows-1252", "windows-1250", "windows-1254", "mac_roman", "cp850")
_RUN = re.compile("[^\x00-\x7f]{5,}")
"""Letters beyond ASCII side by side, more than words of Latin letters have."""
_WORD = re.compile(r"\w{3,}")
"""In capitals, most are letters of another encoding."""
_OF_TWO_BYTES = ("shift_jis", "euc_jp", "euc_kr", "gb18030", "big5")
_JAPANESE = _OF_TWO_BYTES[:2]
_COMMON = {"gb18030": ("gb2312", 0xB0, 0xD7), "big5": ("big5", 0xA4, 0xC6)}
"""Encoding -> where the common ones of its characters stand: by their first byte."""
_PUNCTUATION = "、。「」，：；（）？！・ー"
_START = 1 << 16
_ALSO = 0.2
"""What a letter counts that is none of the frequent ones."""


def likely(data: bytes) -> list[str]:
    """Encodings in which bytes are text, the likeliest first; empty: none of those known."""
    names = [name for name in (*_OF_TWO_BYTES, *_OFTEN) if decodes(data, name)]
    return sorted(names, key=partial(_likeness, data), reverse=True)


def decodes(data: bytes, encoding: str) -> bool:
    """Whether bytes are text in an encoding."""
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _likeness(data: bytes, encoding: str) -> float:
    """From 0 to 1: how much the letters beyond ASCII are those of its languages."""
    text = data[:_START].decode(encoding, errors="ignore")
    beyond = [character for character in text if character > "\x7f"]
    if encoding in _LATIN:
        text = _RUN.sub("", text)
    text = _WORD.sub(lambda word: "" if word[0].isupper() else word[0], text)
    if encoding in _JAPANESE and not any("\u3041" <= c <= "\u30ff" for c in beyond):
        return 0.0
    weights = (_weight(character, encoding) for character in text if character > "\x7f")
    return sum(weights) / max(1, len(beyond))


def _weight(character: str, encoding: str) -> float:
    if encoding in _OFTEN:
        if character in _OFTEN[encoding]:
            return 1.0
        if character.lower() in _OFTEN[encoding] and encoding not in _LATIN:
            return 0.95
        return _ALSO if character.isalpha() else 0.0
    if character in _PUNCTUATION:
        return 1.0
    if encoding in _JAPANESE:
        return 1.0 if "\u3041" <= character <= "\u30ff" else 0.7 * character.isalpha()
    if encoding == "euc_kr":
        return 1.0 if "가" <= character <= "힣" else _ALSO * character.isalpha()
    return _ALSO if not _is_common(character, encoding) else 0.9


def _is_common(character: str, encoding: str) -> bool:
    name, first, last = _COMMON[encoding]
    try:
        return first <= character.encode(name)[0] <= last
    except UnicodeEncodeError:
        return False
