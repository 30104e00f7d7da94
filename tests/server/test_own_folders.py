"""No answer names a folder of the server's machine: files are shown as they are within it."""

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.backends.fake import FakeSpec
from gateway.models.environment import models_root
from gateway.models.spec import ModelSpec, PathSource
from gateway.server.own_folders import OwnFolders


def spec_at(path: Path) -> ModelSpec:
    return FakeSpec(name="m", source=PathSource(path))


@pytest.fixture
def folders(tmp_path: Path) -> OwnFolders:
    spec = spec_at(tmp_path / "weights of ours" / "m.gguf")
    origin = str(tmp_path / "configured" / "models.toml")
    return OwnFolders([replace(spec, origin=origin, adapter=tmp_path / "lora" / "a")])


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("{tmp}/weights of ours/m.gguf: no such file", "m.gguf: no such file"),
        ("{tmp}/weights of ours/parts/m-1.gguf", "parts/m-1.gguf"),
        ("(named in {tmp}/configured/models.toml)", "(named in models.toml)"),
        ('adapter = "{tmp}/lora/a"', 'adapter = "a"'),
        ("'{tmp}/lora' is a folder", "'lora' is a folder"),
        ("{models}/0123/m.gguf, {models}/4/n.gguf", "0123/m.gguf, 4/n.gguf"),
        ("the store {models}.", "the store models."),
        ("[Errno 2] No such file: '{home}/x/y.json'", "[Errno 2] No such file: 'x/y.json'"),
        ("{cwd}/x.jinja", "x.jinja"),
    ],
)
def test_a_file_is_shown_as_it_is_within_its_folder(
    folders: OwnFolders, tmp_path: Path, text: str, shown: str
) -> None:
    places = {"tmp": tmp_path, "models": models_root(), "home": Path.home(), "cwd": Path.cwd()}
    assert folders.hidden(text.format(**places)) == shown


def test_a_folder_is_known_by_its_links_too(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    folders = OwnFolders([spec_at(tmp_path / "link" / "m.gguf")])
    assert folders.hidden(f"{tmp_path}/real/m.gguf, {tmp_path}/link/m.gguf") == "m.gguf, m.gguf"


def test_a_folder_to_work_in_that_is_gone_stops_no_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (gone := tmp_path / "gone").mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert OwnFolders([spec_at(tmp_path / "m.gguf")]).hidden(f"{tmp_path}/m.gguf") == "m.gguf"


@pytest.mark.parametrize(
    "text",
    [
        "use /v1/completions, or POST /api/chat",
        "no model is called '../../etc/passwd'",
        "http://127.0.0.1:11434/api does not answer",
        "input/output and 1/2",
        "",
    ],
)
def test_other_texts_stay_as_they_are(folders: OwnFolders, text: str) -> None:
    assert folders.hidden(text) == text
