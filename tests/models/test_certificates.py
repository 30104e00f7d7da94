from pathlib import Path

import pytest

from gateway.models import certificates
from gateway.models.certificates import Certificate, Level, Trial, level_of, machine, save

MADE = Certificate("m", "f" * 64, machine(), Level.BITWISE, (Trial("alone", 10, 0, 0),))


def test_nothing_is_claimed_that_was_not_measured(tmp_path: Path) -> None:
    assert level_of("f" * 64, tmp_path / "absent.json") is Level.UNVERIFIED


def test_a_certificate_is_found_again_for_what_it_was_made_of(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    save(MADE, path)
    assert level_of(MADE.fingerprint, path) is Level.BITWISE
    assert level_of("e" * 64, path) is Level.UNVERIFIED


def test_another_machine_has_not_been_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "c.json"
    save(MADE, path)
    monkeypatch.setattr(certificates, "machine", lambda: "another processor, 2 cores")
    assert level_of(MADE.fingerprint, path) is Level.UNVERIFIED


@pytest.mark.parametrize("text", ["", "[]", "{", '{"x": 1}'])
def test_an_unreadable_file_certifies_nothing(tmp_path: Path, text: str) -> None:
    path = tmp_path / "c.json"
    path.write_text(text)
    assert level_of(MADE.fingerprint, path) is Level.UNVERIFIED
    save(MADE, path)
    assert level_of(MADE.fingerprint, path) is Level.BITWISE


def test_the_machine_is_named_by_its_processor() -> None:
    assert machine().endswith("cores")
    assert len(machine()) > len("2 cores") + 3
