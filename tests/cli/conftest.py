"""The command line as a person meets it: arguments in; exit code, output and files out."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway import cli
from tests.conftest import entries_of_few_layers
from tests.support.grids import write_data, write_task

FAKE = """
default = "fake"
[models.fake]
backend = "fake"
source = { path = "none" }
context_length = 4096
"""


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


Gateway = Callable[..., Done]


@pytest.fixture
def gateway(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Gateway:
    """Run a command in this process."""
    monkeypatch.setenv("COLUMNS", "120")

    def call(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["gateway", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as left:
            cli.main()
        said = capfd.readouterr()
        assert isinstance(left.value.code, int)
        assert "Traceback" not in said.err
        return Done(left.value.code, said.out, said.err)

    return call


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a task "mine", its data, and a fake model as the default one."""
    write_task(tmp_path)
    write_data(tmp_path / "test.csv")
    write_data(tmp_path / "train.csv", "moss nettle oak pine quartz reed sage thorn")
    (tmp_path / "models.toml").write_text(FAKE)
    monkeypatch.setenv("GATEWAY_MODELS", str(tmp_path / "models.toml"))
    monkeypatch.setenv("GATEWAY_PROMPTS", str(tmp_path / "prompts"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def few(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the default model and of Gemma 3 commands have a few layers."""
    file = tmp_path_factory.mktemp("few") / "models.toml"
    file.write_text(entries_of_few_layers("smollm2-135m", "gemma3-270m"))
    monkeypatch.setenv("GATEWAY_MODELS", str(file))


def environment(**more: str) -> dict[str, str]:
    """That of a child process; a small terminal width makes wrapped output the same everywhere."""
    return {**os.environ, "COLUMNS": "120", **more}
