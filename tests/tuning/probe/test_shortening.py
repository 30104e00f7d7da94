"""Where texts are cut, kept on disk."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gateway.tuning.probe.shortening import KeptShortener
from gateway.tuning.probe.states import StateStore

TEXT = "elm oak iris moss fern"


class Words:
    """Counts words, and how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def count(self, text: str) -> int:
        self.asked += 1
        return len(text.split())

    def head(self, text: str, tokens: int) -> str:
        self.asked += 1
        return " ".join(text.split()[:tokens])

    def tail(self, text: str, tokens: int) -> str:
        self.asked += 1
        return " ".join(text.split()[-tokens:])


def said(shortener: Words | KeptShortener) -> list[int | str]:
    """Of two texts and of each way to ask."""
    return [
        *(shortener.count(text) for text in (TEXT, "elm", "", "\ud800 é")),
        *(shortener.head(TEXT, tokens) for tokens in (2, 3, 9)),
        *(shortener.tail(TEXT, tokens) for tokens in (2, 3, 9)),
    ]


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A file in which all of it is."""
    path = tmp_path / "states.sqlite"
    with StateStore(path, "a model") as store:
        shortener = KeptShortener(Words(), store)
        assert said(shortener) == said(Words())
        shortener.save()
    return path


def test_what_is_kept_is_not_found_again(kept: Path) -> None:
    with StateStore(kept, "a model") as store:
        again = Words()
        assert said(KeptShortener(again, store)) == said(Words())
    assert again.asked == 0


def test_what_is_asked_twice_is_found_once(tmp_path: Path) -> None:
    words = Words()
    with StateStore(tmp_path / "states.sqlite", "a model") as store:
        shortener = KeptShortener(words, store)
        assert said(shortener) == said(shortener)
    assert words.asked == len(said(Words()))


def test_what_is_damaged_is_found_again(kept: Path) -> None:
    with closing(sqlite3.connect(kept)) as file, file:
        file.execute("UPDATE states SET pooled = x'01'")
    with StateStore(kept, "a model") as store:
        again = Words()
        assert said(KeptShortener(again, store)) == said(Words())
    assert again.asked == len(said(Words()))


def test_another_model_counts_for_itself(kept: Path) -> None:
    other = Words()
    with StateStore(kept, "another model") as store:
        said(KeptShortener(other, store))
    assert other.asked == len(said(Words()))
