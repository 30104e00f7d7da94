"""Environments that hold what the core install and given extras bring, and nothing else.

They are made of links to the packages that are installed here: what is not in the closure of the
requirements cannot be imported, is found by no `find_spec`, has no metadata, and is absent for
every process that a command starts.
"""

import csv
import json
import os
import subprocess
import tomllib
import venv
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path
from typing import IO, Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from gateway.core.extras import EXTRAS, is_installed

ROOT = Path(__file__).parents[2]
_OWN = "local-model-gateway"
_PATIENCE_S = 120
"""Seconds until a command is ended."""


@dataclass(frozen=True)
class Done:
    """What a command came to."""

    code: int
    out: str
    err: str


class Environment:
    """A Python of its own in which the gateway of this tree runs.

    Args:
        folder: where it is made.
        extras: of pyproject.toml; none: the core install.
        preload: modules that its commands would each import.
        within: one that holds a part of what it holds: its process is a fork of that one's, so
            that what both import is imported once.
        env: variables that are read when those are imported.
    """

    def __init__(
        self,
        folder: Path,
        extras: Iterable[str],
        preload: Sequence[str] = (),
        within: "Environment | None" = None,
        **env: str,
    ) -> None:
        venv.create(folder, symlinks=True)
        self._folder, self._preload, self._within = folder, preload, within
        self._python = folder / "bin" / "python"
        (self._site,) = folder.glob("lib/python*/site-packages")
        self._holds = closure(extras)
        assert within is None or within._holds.keys() <= self._holds.keys()
        _fill(self._site, self._holds)
        (self._site / "gateway.pth").write_text(f"{ROOT}\n")
        self._env = {**_environ(), "HOME": str(folder), **env}
        self._ends = ExitStack()

    def gateway(self, *arguments: object, cwd: Path, **env: str) -> Done:
        """Run a command line of the gateway."""
        return Done(**self._ask("run", **_command(arguments, cwd, env)))

    def start(self, *arguments: object, cwd: Path, **env: str) -> tuple[int, Path]:
        """A command line that goes on: its process, and the file of what it says."""
        said = cwd / "said"
        found = self._ask("start", said=str(said), **_command(arguments, cwd, env))
        return int(found["process"]), said

    def code_of(self, process: int) -> int:
        """The exit code of what was started, once it has ended."""
        return int(self._ask("wait", process=process)["code"])

    def close(self) -> None:
        """End its process."""
        self._ends.close()

    def _ask(self, order: str, **what: object) -> dict[str, Any]:
        asking, answering = self._streams
        asking.write(f"{json.dumps({'order': order, **what})}\n")
        asking.flush()
        said = answering.readline()
        assert said, f"{self._python} ended"
        return dict(json.loads(said))

    @cached_property
    def _streams(self) -> tuple[IO[str], IO[str]]:
        """To its process, and from it."""
        return self._begin() if self._within is None else self._branch(self._within)

    def _begin(self) -> tuple[IO[str], IO[str]]:
        # Not the folder of the script, which holds the tests' own modules.
        script = (str(self._python), "-P", str(ROOT / "tests" / "support" / "forks.py"))
        process = subprocess.Popen(
            [*script, "gateway.cli", *self._preload],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=self._env,
        )
        self._ends.callback(process.communicate, timeout=_PATIENCE_S)
        assert process.stdin is not None
        assert process.stdout is not None
        return process.stdin, process.stdout

    def _branch(self, within: "Environment") -> tuple[IO[str], IO[str]]:
        pipes = self._folder / "asked", self._folder / "answered"
        for pipe in pipes:
            os.mkfifo(pipe)
        within._ask(
            "become",
            python=str(self._python),
            prefix=str(self._folder),
            site=str(self._site),
            env=self._env,
            preload=self._preload,
            pipes=[str(pipe) for pipe in pipes],
        )
        asking, answering = pipes[0].open("w"), pipes[1].open()
        self._ends.callback(answering.close)
        self._ends.callback(asking.close)
        return asking, answering


def _command(arguments: Sequence[object], cwd: Path, env: Mapping[str, str]) -> dict[str, object]:
    said = [str(each) for each in arguments]
    return {"arguments": said, "cwd": str(cwd), "env": env, "seconds": _PATIENCE_S}


def _environ() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "GATEWAY_"))}
    return {**kept, "COLUMNS": "120"}


def require_installed(*extras: str) -> None:
    """Skip a test whose environment would hold what is not installed here."""
    for extra in extras:
        if absent := [module for module in EXTRAS[extra] if not is_installed(module)]:
            pytest.skip(f"environments are made of what is installed here, without {absent[0]}")


def closure(extras: Iterable[str]) -> dict[str, Distribution]:
    """What pip installs with the package and these extras, by canonical name."""
    found: dict[str, Distribution] = {}
    todo = [(_OWN, ""), *((_OWN, extra) for extra in extras)]
    seen = set(todo)
    while todo:
        name, extra = todo.pop()
        found[name] = distribution(name)
        for required in _required(name, extra):
            wanted = canonicalize_name(required.name)
            new = {(wanted, each) for each in ("", *required.extras)} - seen
            seen |= new
            todo += new
    return found


@cache
def _required(name: str, extra: str) -> Sequence[Requirement]:
    """What a package asks for on this machine: by itself, or for an extra."""
    lines = _own(extra) if name == _OWN else distribution(name).requires or ()
    found = [Requirement(line) for line in lines]
    return [r for r in found if r.marker is None or r.marker.evaluate({"extra": extra})]


def own_extras() -> set[str]:
    """All of pyproject.toml."""
    return set(_project()["optional-dependencies"])


def modules_of(wanted: Mapping[str, Distribution]) -> set[str]:
    """Names under which something of these packages can be imported."""
    tops = {top for found in wanted.values() for top in _tops(found)}
    return {top.removesuffix(".py") for top in tops}


def _project() -> Any:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def _own(extra: str) -> Sequence[str]:
    """As the tree says it: what is installed here may be of another state of it."""
    project = _project()
    found: list[str] = project["optional-dependencies"][extra] if extra else project["dependencies"]
    return found


def _fill(site: Path, wanted: Mapping[str, Distribution]) -> None:
    """Link the wanted packages: whole folders, or, of one that others use too, each file."""
    for name, found in wanted.items():
        for top in _tops(found):
            # The package itself is this tree; a .pth would lead to where it is installed from.
            if name == _OWN and not top.endswith(".dist-info"):
                continue
            if _owners()[top] <= wanted.keys():
                _link(site, found, top)
            else:
                for file in _files(found):
                    if file.startswith(f"{top}/"):
                        _link(site, found, file)


def _link(site: Path, found: Distribution, path: str) -> None:
    link = site / path
    if not link.is_symlink():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(Path(str(found.locate_file(path))))


def _tops(found: Distribution) -> set[str]:
    """Files and folders in site-packages in which it has a part."""
    return _tops_of(found.metadata["Name"])


@cache
def _tops_of(name: str) -> set[str]:
    files = _files(distribution(name))
    return {file.partition("/")[0] for file in files} - {"..", "__pycache__"}


def _files(found: Distribution) -> list[str]:
    # Distribution.files looks for each of them on disk, which takes seconds.
    return [row[0] for row in csv.reader((found.read_text("RECORD") or "").splitlines()) if row]


@cache
def _owners() -> Mapping[str, set[str]]:
    """The packages that have a part in each file and folder of the environment of the tests."""
    owners: dict[str, set[str]] = defaultdict(set)
    for each in distributions():
        for top in _tops(each):
            owners[top].add(canonicalize_name(each.metadata["Name"]))
    return owners
