"""What an extra brings, and the command that adds it: one that works however the package came."""

import json
import shlex
import sys
from pathlib import Path

import pytest

from gateway.core import extras
from gateway.core.errors import MissingExtra
from gateway.core.extras import EXTRAS, how_to_install, require, require_extra
from tests.conftest import ROOT
from tests.support.environments import closure, require_installed

PIP = f"{shlex.quote(sys.executable)} -m pip install"


class Installed:
    """What is recorded of an installation."""

    def __init__(self, origin: object) -> None:
        self._origin = origin

    def __call__(self, _: str) -> "Installed":
        return self

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return json.dumps(self._origin) if self._origin else None


@pytest.fixture
def no_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package lies where pip puts it, not beside scripts/install."""
    monkeypatch.setattr(extras, "__file__", str(tmp_path / "gateway" / "core" / "extras.py"))


def test_what_is_installed_is_asked_for_in_vain() -> None:
    require("numpy", "json")
    assert "antigravity" not in sys.modules
    require("antigravity")
    assert "antigravity" not in sys.modules, "found, and not imported"


@pytest.mark.parametrize("extra", sorted(EXTRAS))
def test_what_is_absent_is_named_with_the_extra_that_brings_it(
    extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    *_, last = EXTRAS[extra]
    monkeypatch.setattr(extras, "is_installed", lambda module: module != last)
    with pytest.raises(MissingExtra) as caught:
        require_extra(extra)
    assert caught.value.extra == extra
    assert caught.value.message == f'{last} is not installed; the extra "{extra}" brings it'
    assert caught.value.hint == how_to_install(extra)


def test_in_the_environment_of_a_checkout_it_is_the_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "prefix", str(ROOT / ".venv"))
    monkeypatch.chdir(tmp_path)
    assert how_to_install("serve") == f"{shlex.quote(str(ROOT / 'scripts' / 'install'))} serve"
    monkeypatch.chdir(ROOT)
    assert how_to_install("serve") == "scripts/install serve"


def test_in_another_environment_it_is_pip_with_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert how_to_install("serve") == f"{PIP} -e {shlex.quote(f'{ROOT}[serve]')}"


@pytest.mark.parametrize(
    ("origin", "named"),
    [
        (
            {"url": "file:///a%20folder/x-1-py3-none-any.whl", "archive_info": {}},
            "local-model-gateway[serve] @ file:///a%20folder/x-1-py3-none-any.whl",
        ),
        ({"url": "file:///x", "dir_info": {}}, "local-model-gateway[serve] @ file:///x"),
        (
            {"url": "https://x.org/y", "vcs_info": {"vcs": "git", "commit_id": "0a1b"}},
            "local-model-gateway[serve] @ git+https://x.org/y@0a1b",
        ),
        (None, "local-model-gateway[serve]"),
    ],
)
def test_elsewhere_it_is_pip_with_what_the_package_was_installed_from(
    no_checkout: None, monkeypatch: pytest.MonkeyPatch, origin: object, named: str
) -> None:
    monkeypatch.setattr("importlib.metadata.distribution", Installed(origin))
    assert how_to_install("serve") == f"{PIP} {shlex.quote(named)}"


def test_a_copy_that_nobody_installed_is_asked_of_the_index(
    no_checkout: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "DISTRIBUTION", "a-package-that-is-not-there")
    assert how_to_install("hf") == f"{PIP} 'a-package-that-is-not-there[hf]'"


@pytest.mark.needs("llama_cpp")
@pytest.mark.parametrize("extra", sorted(EXTRAS))
def test_what_compiles_llama_cpp_is_told_the_flag_that_keeps_bytes_equal(
    extra: str, no_checkout: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless it is there already."""
    require_installed(extra)
    compiles = "llama-cpp-python" in closure([extra])
    monkeypatch.setattr(extras, "is_installed", lambda _: False)
    told = how_to_install(extra)
    assert told.startswith("CMAKE_ARGS=-DGGML_LLAMAFILE=OFF ") == compiles
    assert ("--no-cache-dir" in told) == compiles
    monkeypatch.setattr(extras, "is_installed", lambda _: True)
    assert how_to_install(extra).startswith(PIP)
