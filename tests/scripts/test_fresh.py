"""What a command finds that scripts/fresh runs: a clone, an empty HOME, and little else."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

SHOW = 'pwd; echo "[$(ls -A "$HOME")]"; ls ..; env'


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository that holds scripts/fresh, and a file that is not committed."""
    root = tmp_path / "repository"
    (root / "scripts").mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "fresh", root / "scripts")
    for command in (
        ("init", "--quiet"),
        ("add", "."),
        ("-c", "user.name=n", "-c", "user.email=e", "commit", "--quiet", "-m", "one"),
    ):
        subprocess.run(["git", *command], cwd=root, check=True)
    (root / "not-committed").touch()
    (root.parent / "shared").mkdir()
    return root


def fresh(repository: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    home = repository.parent / "home"
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(repository.parent), **more}
    return subprocess.run(
        [repository / "scripts" / "fresh", *arguments],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_runs_in_a_clone_with_a_space_in_its_path(repository: Path) -> None:
    done = fresh(repository, "bash", "-c", SHOW)
    assert done.returncode == 0, done.stderr
    where, home, *beside = done.stdout.splitlines()
    assert " " in where
    assert not Path(where).exists()
    assert home == "[]"
    assert beside[:3] == ["home", "shared", "the clone"]


def test_no_variable_goes_along_but_those_that_installing_needs(repository: Path) -> None:
    known = {
        "PIP_INDEX_URL": "https://x/simple",
        "PIP_CACHE_DIR": "/x",
        "https_proxy": "http://x",
        "GATEWAY_MODELS": "/x",
        "VIRTUAL_ENV": "/x",
        "PYTHONPATH": "/x",
        "CMAKE_ARGS": "-DA=B",
    }
    done = fresh(repository, "env", **known)
    names = {line.split("=")[0] for line in done.stdout.splitlines()}
    passed = {"PIP_INDEX_URL", "https_proxy", "CMAKE_ARGS"}
    assert names == {"PATH", "HOME", "LANG", "TMPDIR", "GATEWAY_WHEELS"} | passed


def test_the_settings_of_pip_are_those_of_the_user(repository: Path) -> None:
    settings = repository.parent / "home" / ".config" / "pip" / "pip.conf"
    settings.parent.mkdir(parents=True)
    settings.touch()
    assert f"PIP_CONFIG_FILE={settings}\n" in fresh(repository, "env").stdout


def test_wheels_come_from_the_machine_unless_it_is_to_be_cold(repository: Path) -> None:
    show = ("bash", "-c", "echo $GATEWAY_WHEELS")
    cached = repository.parent / "home" / ".cache" / "local-model-gateway" / "wheels"
    assert fresh(repository, *show).stdout == f"{cached}\n"
    assert "/new here-" in fresh(repository, "--cold", *show).stdout


def test_it_ends_as_the_command_ends(repository: Path) -> None:
    done = fresh(repository, "bash", "-c", "exit 7")
    assert done.returncode == 7
    assert "exit code 7 after" in done.stderr
    assert not list(repository.parent.glob("new here-*"))
