"""Which tier a test is of, and which slow tests a change calls for."""

import importlib.util
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.core import extras
from tests.conftest import spec_and_path
from tests.support import tiers
from tests.support.imports import ROOT, loaded_by


def quantizes() -> None:
    import pyarrow  # noqa: F401


def calls_another() -> None:
    quantizes()


class Holder:
    def load(self) -> None:
        spec_and_path("smollm2-135m")


def names_a_class() -> None:
    Holder().load()


def plain() -> None:
    assert ROOT.is_dir()


@pytest.mark.parametrize(
    ("function", "needed"),
    [
        (plain, set()),
        (quantizes, {"pyarrow"}),
        (calls_another, {"pyarrow"}),
        (names_a_class, {tiers.WEIGHTS}),
    ],
)
def test_what_a_test_needs_is_seen_through_the_functions_that_it_names(
    function: Callable[[], None], needed: set[str]
) -> None:
    assert tiers.needed_by(function) - {"requests", "tqdm", "yaml"} == needed


@pytest.mark.parametrize("name", ["numpy", "sklearn", "pytest", "json", "gateway", "tests"])
def test_the_core_brings_its_requirements_and_the_tools_of_tests(name: str) -> None:
    assert tiers.is_core(name)


@pytest.mark.parametrize("name", ["torch", "llama_cpp", "pyarrow", "ollama", "fastapi", "nowhere"])
def test_what_an_extra_brings_is_not_core(name: str) -> None:
    assert not tiers.is_core(name)


def test_a_module_loads_what_its_imports_load() -> None:
    assert "fastapi" in loaded_by("gateway.server.app.create_app")
    assert "torch" not in loaded_by("gateway.models.file")
    assert "torch" not in loaded_by("tests.conftest")


class Unit:
    """A test that is said to be of the unit tier."""

    @staticmethod
    def get_closest_marker(name: str) -> bool:
        return name == "unit"


@pytest.mark.needs("pyarrow")
@pytest.mark.parametrize(
    "needy",
    [
        lambda: importlib.util.find_spec("pyarrow"),
        quantizes,
        lambda: extras.is_installed("pyarrow"),
    ],
)
def test_a_unit_test_that_needs_an_extra_after_all_fails_and_says_what_to_mark(
    needy: Callable[[], object],
) -> None:
    watching = tiers.watched(Unit())  # type: ignore[arg-type]
    next(watching)
    needy()
    with pytest.raises(pytest.fail.Exception, match=r'say pytest\.mark\.needs\("pyarrow"\)'):
        next(watching)


def test_a_unit_test_may_load_what_the_core_brings() -> None:
    watching = tiers.watched(Unit())  # type: ignore[arg-type]
    next(watching)
    importlib.util.find_spec("numpy")
    with pytest.raises(StopIteration):
        next(watching)


@pytest.mark.parametrize(
    ("changed", "runs"),
    [
        ("gateway/tuning/training.py", True),
        ("gateway/backends/transformers/model.py", True),
        ("tests/tuning/test_real_weights.py", True),
        ("scripts/constraints.txt", True),
        ("gateway/server/app.py", False),
        ("gateway/cli/run.py", False),
        ("README.md", False),
    ],
)
def test_a_slow_test_runs_where_a_file_changed_that_it_imports(changed: str, runs: bool) -> None:
    assert (ROOT / changed).is_file()
    assert tiers.concerns([changed], "tests.tuning.test_real_weights") is runs


@pytest.mark.parametrize(
    "changed",
    ["gateway/server/app.py", "gateway/server/anthropic/wire.py", "gateway/engine/engine.py"],
)
def test_the_clients_run_where_the_server_changed(changed: str) -> None:
    assert (ROOT / changed).is_file()
    assert tiers.concerns([changed], "tests.clients.test_examples")


@pytest.mark.parametrize("changed", ["tests/clients/requirements.txt", "scripts/clients"])
def test_the_clients_run_where_they_themselves_changed(changed: str) -> None:
    assert (ROOT / changed).is_file()
    assert tiers.concerns([changed], "tests.clients.test_examples", *tiers.OF_CLIENTS)
    assert not tiers.concerns([changed], "tests.clients.test_examples")


def repository(folder: Path, *branches: str) -> Callable[..., None]:
    """A repository with one commit; runs git in it."""

    def git(*arguments: str) -> None:
        own = ["-c", "user.name=x", "-c", "user.email=x@x"]
        subprocess.run(["git", *own, *arguments], cwd=folder, check=True, capture_output=True)

    git("init", "--initial-branch", branches[0])
    (folder / "old.txt").write_text("old")
    git("add", ".")
    git("commit", "--message", "one")
    for branch in branches[1:]:
        git("checkout", "-b", branch)
    return git


def test_changes_are_those_since_the_main_branch_committed_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiers, "ROOT", tmp_path)
    git = repository(tmp_path, "main", "mine")
    (tmp_path / "committed.txt").write_text("new")
    git("add", ".")
    git("commit", "--message", "two")
    (tmp_path / "old.txt").write_text("changed")
    (tmp_path / "fresh.txt").write_text("new")
    assert sorted(tiers.changed_paths() or ()) == ["committed.txt", "fresh.txt", "old.txt"]


def test_where_nobody_knows_what_changed_every_slow_test_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiers, "ROOT", tmp_path)
    assert tiers.changed_paths() is None, "no repository"
    git = repository(tmp_path, "main")
    assert tiers.changed_paths() is None, "the main branch itself"
    git("branch", "-m", "other")
    assert tiers.changed_paths() is None, "no main branch"
