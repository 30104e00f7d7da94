"""Entries are written into a models.toml, and nothing else in it changes."""

from pathlib import Path

import pytest

from gateway.backends.registry import load_models
from gateway.core.errors import ConfigError
from gateway.models.environment import shipped
from gateway.models.writing import put_entries

ENTRY = {"source": {"path": "/models/x.gguf"}, "sha256": "0" * 64, "context_length": 512}


def test_a_file_is_made_and_its_entry_can_be_read(tmp_path: Path) -> None:
    file = tmp_path / "new" / "models.toml"
    put_entries(file, {"mine": ENTRY, "a:b-q4_0": ENTRY | {"description": 'with "quotes"'}})
    specs = load_models(file).specs
    assert specs["mine"].context_length == 512
    assert specs["a:b-q4_0"].description == 'with "quotes"'
    assert specs["a:b-q4_0"].sha256 == "0" * 64


def test_what_else_is_in_the_file_stays_to_the_byte(tmp_path: Path) -> None:
    file = tmp_path / "models.toml"
    before = (shipped("modelfiles") / "models.toml").read_text(encoding="utf-8")
    file.write_text(before, encoding="utf-8")
    put_entries(file, {"mine": ENTRY})
    written = file.read_text(encoding="utf-8")
    assert written.startswith(before)
    put_entries(file, {"mine": {"source": {"path": "/models/y.gguf"}, "license": "MIT"}})
    changed = file.read_text(encoding="utf-8")
    assert changed.startswith(before)
    assert "/models/x.gguf" not in changed
    assert "context_length = 512" not in changed.removeprefix(before)
    assert load_models(file).specs["mine"].license == "MIT"


def test_a_comment_behind_a_changed_entry_stays(tmp_path: Path) -> None:
    file = tmp_path / "models.toml"
    file.write_text(
        '[models.mine.source]\npath = "x.gguf"\n\n# about the next\n'
        '[models.next]\nsource = { path = "y.gguf" }\n'
    )
    put_entries(file, {"mine": {"source": {"path": "z.gguf"}, "license": "MIT"}})
    assert "\n# about the next\n[models.next]\n" in file.read_text()
    assert load_models(file).specs["mine"].license == "MIT"


@pytest.mark.parametrize("name", ["", "two words", "-", "a/b"])
def test_a_name_that_is_none_changes_nothing(tmp_path: Path, name: str) -> None:
    file = tmp_path / "models.toml"
    with pytest.raises(ConfigError, match="cannot name an entry"):
        put_entries(file, {name: ENTRY})
    assert not file.exists()


def test_a_file_that_does_not_parse_stays_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "models.toml"
    file.write_text("[models.mine\n")
    with pytest.raises(ConfigError, match="no valid TOML"):
        put_entries(file, {"mine": ENTRY})
    assert file.read_text() == "[models.mine\n"
