"""A folder that never grows beyond its bound, whoever writes into it."""

import os
from pathlib import Path

import pytest

from gateway.core.kept import BEGINNING, WEIGHTS, KeptFiles


def named(letter: str) -> str:
    return f"{letter}{BEGINNING}"


def names(files: KeptFiles) -> list[str]:
    return sorted(path.name for path in files.folder.iterdir())


def test_those_used_longest_ago_are_removed_first(tmp_path: Path) -> None:
    files = KeptFiles(tmp_path / "kept", 250)
    for number, letter in enumerate("abc"):
        made = files.write(named(letter), [b"0" * 50, b"1" * 50])
        os.utime(made, (number, number))
        if letter == "b":
            files.used(files.folder / named("a"))
    assert names(files) == [named("a"), named("c")]


def test_what_is_being_written_stays_unless_it_was_given_up(tmp_path: Path) -> None:
    files = KeptFiles(tmp_path / "kept", 250)
    files.write(named("a"), [b"0" * 100])
    others = files.unfinished(named("b"))
    others.write_bytes(b"0" * 200)
    files.trim()
    assert others.exists()
    os.utime(others, (0, 0))
    files.trim()
    assert names(files) == [named("a")]


def test_half_a_file_is_never_there(tmp_path: Path) -> None:
    def broken() -> bytes:
        raise ZeroDivisionError

    files = KeptFiles(tmp_path / "kept", 250)
    with pytest.raises(ZeroDivisionError):
        files.write(named("a"), (broken() for _ in range(1)))
    assert names(files) == []


def test_a_file_of_more_than_half_the_bound_is_not_taken(tmp_path: Path) -> None:
    files = KeptFiles(tmp_path / "a" / "b", 200)
    assert files.takes(100)
    assert not files.takes(101)
    assert not files.sizes(WEIGHTS)
    files.clear()


def test_nobody_elses_files_are_removed(tmp_path: Path) -> None:
    files = KeptFiles(tmp_path, 10)
    (tmp_path / "thesis.txt").write_text("twelve years" * 3)
    (tmp_path / "folder").mkdir()
    files.write(f"a{WEIGHTS}", [b"0" * 9])
    files.clear()
    assert names(files) == ["folder", "thesis.txt"]
