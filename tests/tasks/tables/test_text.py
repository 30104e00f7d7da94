import pytest

from gateway.core.errors import DataError
from gateway.tasks.tables.text import decode, doubts

TEXT = "id,text\n1,It’s a café\n"
ASCII = "id,text\n1,It is plain\n"
SPOKEN = {
    "shift_jis": "text,label\nアプリが落ちる,バグ\nどうやって使う,質問\n",
    "euc_jp": "text,label\nアプリが落ちる,バグ\nどうやって使う,質問\n",
    "gb18030": "text,label\n应用崩溃了,错误\n怎么使用,问题\n",
    "windows-1251": "text,label\nОно падает,ошибка\nКак войти,вопрос\n",
    "windows-1252": "text,label\nDas Menü ist größer,Fehler\n„Öffnen“ geht nicht,Fehler\n",
}
"""Encoding -> a table in a language that is written so."""


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (TEXT.encode(), []),
        (TEXT.encode("utf-8-sig"), []),
        (b"\xef\xbb\xbf" + TEXT.encode("utf-8-sig"), []),
        (TEXT.encode("utf-16"), ["read as UTF-16"]),
        (b"\xfe\xff" + TEXT.encode("utf-16-be"), ["read as UTF-16"]),
        (TEXT.encode("utf-32"), ["read as UTF-32"]),
    ],
)
def test_utf_8_and_what_a_mark_says_is_read(data: bytes, told: list[str]) -> None:
    text, notes = decode("d.csv", data)
    assert text == TEXT
    assert len(notes) == len(told)
    assert all(part in note for part, note in zip(told, notes, strict=True))


@pytest.mark.parametrize(
    ("data", "said", "cure"),
    [
        (TEXT.encode("windows-1252"), "d.csv:2: byte 0x92 at offset", "--encoding windows-1252"),
        (TEXT.encode("windows-1252"), "is no UTF-8", "if '1,It’s a café' is right"),
        (b"id\n1\n2 \xff\xff\x81\x81\n", "d.csv:3: byte 0xff at offset 7", "--encoding"),
        (TEXT.encode() + b"2,caf\xe9\n", "d.csv:3: byte 0xe9", "other lines are UTF-8"),
        (TEXT.encode("utf-32-le"), "d.csv:2: byte 0xe9", "--encoding utf-32-le"),
        (ASCII.encode("utf-32-le"), "d.csv:1: a NUL character", "--encoding utf-32-le"),
        (ASCII.encode("utf-32-be"), "d.csv:1: a NUL character", "--encoding utf-32-be"),
        *((SPOKEN[name].encode(name), "is no UTF-8", f"--encoding {name}, if") for name in SPOKEN),
        (TEXT.encode("utf-16-le"), "d.csv:2: byte 0xe9", "--encoding utf-16-le"),
        (ASCII.encode("utf-16-le"), "d.csv:1: a NUL character", "--encoding utf-16-le"),
        (ASCII.encode("utf-16-be"), "d.csv:1: a NUL character", "--encoding utf-16-be"),
        (b"id\n1\n\0\n", "d.csv:3: a NUL character", "remove it"),
        (TEXT.encode("utf-16")[:-1], "d.csv:2: byte 0x0a", "was the file cut?"),
    ],
)
def test_what_is_in_another_encoding_is_one_error_with_its_cure(
    data: bytes, said: str, cure: str
) -> None:
    with pytest.raises(DataError) as caught:
        decode("d.csv", data)
    assert said in caught.value.message
    assert cure in caught.value.hint


@pytest.mark.parametrize("name", ["windows-1252", "utf-16-le", "shift_jis", "utf-7", "iso-2022-jp"])
def test_an_encoding_that_is_named_is_taken(name: str) -> None:
    text = TEXT if name in ("windows-1252", "utf-16-le", "utf-7") else "id,text\n1,日本\n"
    assert decode("d.csv", text.encode(name), name) == (text, ())


def test_a_file_that_is_utf_8_stays_so_whatever_is_named_and_that_is_told() -> None:
    text, (note,) = decode("train.csv", TEXT.encode(), "windows-1252")
    assert text == TEXT
    assert note == "train.csv: read as UTF-8, which it is, and not as windows-1252"


def test_a_wrong_encoding_is_one_error() -> None:
    with pytest.raises(DataError, match=r"d.csv:2: byte 0xe9 at offset 16 is no ASCII"):
        decode("d.csv", "id,text\n1,a  caf\u00e9\n".encode("latin-1"), "ascii")


@pytest.mark.parametrize(
    ("data", "name", "cure"),
    [
        (ASCII.encode(), "utf-16-le", "without --encoding"),
        (ASCII.encode("utf-16-le"), "utf-16-be", "--encoding utf-16-le"),
        (ASCII.encode() + b" ", "utf-16", "another --encoding"),
    ],
)
def test_two_bytes_a_character_where_it_is_one_is_one_error(
    data: bytes, name: str, cure: str
) -> None:
    with pytest.raises(DataError) as caught:
        decode("d.csv", data, name)
    assert caught.value.hint == cure


def test_traces_of_an_earlier_conversion_are_doubted() -> None:
    twice = TEXT.encode().decode("windows-1252")
    (doubt,) = doubts("d.csv", twice)
    assert doubt.startswith("d.csv:2: looks like UTF-8 read as windows-1252")
    (doubt,) = doubts("d.csv", "id,text\n1,caf\ufffd\n")
    assert doubt.startswith("d.csv:2: looks like lost letters")
    (doubt,) = doubts("d.csv", TEXT.encode("windows-1252").decode("latin-1"))
    assert "d.csv:2: looks like windows-1252 read as Latin-1: '1,It\\x92s a" in doubt
    (doubt,) = doubts("d.csv", "id,text\n1,\x1b$B%P%0\x1b(B\n")
    assert "iso2022_jp" in doubt
    (doubt,) = doubts("d.csv", "id,text\n1,caf+AOk-\n")
    assert "looks like utf-7 that nobody decoded: --encoding utf-7" in doubt
    (doubt,) = doubts("d.csv", TEXT.encode().decode("mac_roman"))
    assert "UTF-8 read as MacRoman" in doubt
    (doubt,) = doubts("d.csv", "id,text\n1,Größe\n".encode().decode("cp437"))
    assert "UTF-8 read in an encoding of DOS" in doubt
    (doubt,) = doubts("d.csv", "id,text\n1,\u043f\u043e\u0442\u0435\n".encode().decode("cp1251"))
    assert "UTF-8 read as windows-1251" in doubt
    for sound in ("1 + 1-2, a+b-c, C+AB-\n", "~{x~}", "├── a", "√2 ≈ 1.4", "РСФСР"):
        assert list(doubts("d.csv", f"id,text\n1,{sound}\n")) == [], sound
    (doubt,) = doubts("d.csv", TEXT + "\ufeff2,a\n")
    assert doubt.startswith("d.csv:3: looks like a byte order mark of another file")
    assert list(doubts("d.csv", TEXT + "Ã \u00c3O SÃO “â”")) == []
