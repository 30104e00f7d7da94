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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

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
        env: variables that are read when those are imported.
    """

    def __init__(
        self, folder: Path, extras: Iterable[str], preload: Sequence[str] = (), **env: str
    ) -> None:
        venv.create(folder, symlinks=True)
        self.python = folder / "bin" / "python"
        (site,) = folder.glob("lib/python*/site-packages")
        _fill(site, closure(extras))
        (site / "gateway.pth").write_text(f"{ROOT}\n")
        self.env = {**_environ(), "HOME": str(folder), **env}
        """Of its processes."""
        self._preload = preload
        self._process: subprocess.Popen[str] | None = None

    def gateway(self, *arguments: object, cwd: Path, **env: str) -> Done:
        """Run a command line of the gateway."""
        process = self._process or self._start()
        asked = {
            "arguments": [str(each) for each in arguments],
            "cwd": str(cwd),
            "env": env,
            "seconds": _PATIENCE_S,
        }
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{json.dumps(asked)}\n")
        process.stdin.flush()
        said = process.stdout.readline()
        assert said, f"{self.python} ended"
        return Done(**json.loads(said))

    def close(self) -> None:
        """End its process."""
        if self._process is not None:
            self._process.communicate(timeout=_PATIENCE_S)

    def _start(self) -> "subprocess.Popen[str]":
        # Not the folder of the script, which holds the tests' own modules.
        command = [
            str(self.python),
            "-P",
            str(ROOT / "tests" / "support" / "forks.py"),
            "gateway.cli",
        ]
        self._process = subprocess.Popen(
            [*command, *self._preload],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=self.env,
        )
        return self._process


def _environ() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "GATEWAY_"))}
    return {**kept, "COLUMNS": "120"}


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


def _required(name: str, extra: str) -> Iterator[Requirement]:
    """What a package asks for on this machine: by itself, or for an extra."""
    lines = _own(extra) if name == _OWN else distribution(name).requires or ()
    for line in lines:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            yield requirement


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
    return {file.partition("/")[0] for file in _files(found)} - {"..", "__pycache__"}


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
