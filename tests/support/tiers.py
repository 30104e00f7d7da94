"""Three tiers of tests, told from what each test needs.

    unit      what a core install brings, and nothing of an extra or of a model
    weights   an extra, and mostly the weights of a model
    slow      weights, and too heavy for every run: where the paths changed that the test names

`pytest -m unit` imports nothing but what a core install brings, also where more is installed, so
that a test that needs more fails with the name of what it needs.
"""

import dis
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from inspect import unwrap
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.imports import OURS, ROOT, loaded_by, module_of

PACKAGE = "local-model-gateway"
TOOLS = ("pytest", "pytest-xdist", "hypothesis")
"""What runs tests, beside what a core install brings: the extra `test`."""

CHANGED = pytest.StashKey[list[str] | None]()
"""Paths that changed; None where slow tests run whatever changed."""

WEIGHTS = "the weights of a model"
REACHES_WEIGHTS = "tests.conftest.spec_and_path"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--all", action="store_true", help="Run the slow tests too, whatever paths changed."
    )


def pytest_configure(config: pytest.Config) -> None:
    for line in (
        "unit: needs no more than a core install brings (set by itself)",
        "weights: needs an extra or the weights of a model (set by itself)",
        "slow(*paths): too heavy for every run; runs where one of these paths changed",
        "extra(name): needs this package though the test itself does not import it",
    ):
        config.addinivalue_line("markers", line)
    if only_unit(config):
        sys.meta_path.insert(0, CoreOnly())
    config.stash[CHANGED] = _changed_for(config)


def only_unit(config: pytest.Config) -> bool:
    return bool(config.option.markexpr == "unit")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not even import what needs more than a core install."""
    if not only_unit(config) or not collection_path.is_relative_to(ROOT / "tests"):
        return None
    file = collection_path / "conftest.py" if collection_path.is_dir() else collection_path
    return True if file.is_file() and beyond_core(module_of(file)) else None


def pytest_itemcollected(item: pytest.Item) -> None:
    item.add_marker(pytest.mark.weights if needs(item) else pytest.mark.unit)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    changed = config.stash[CHANGED]
    for item in items:
        for mark in item.iter_markers("slow"):
            own = item.path.relative_to(ROOT).as_posix()
            if changed is not None and not touched(changed, [*mark.args, own]):
                reason = f"slow, and nothing changed in {', '.join(mark.args)}: --all runs it"
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["changed"] = node.config.stash[CHANGED]


# What a test needs.


def needs(item: pytest.Item) -> set[str]:
    """What a test takes that a core install does not bring."""
    if not isinstance(item, pytest.Function):
        return set()
    found = {name for mark in item.iter_markers("extra") for name in mark.args}
    found |= beyond_core(item.module.__name__)
    fixtures = item._fixtureinfo.name2fixturedefs
    for function in [item.obj, *(one.func for named in fixtures.values() for one in named)]:
        found |= needed_by(_plain(function))
    return found


def beyond_core(module: str) -> set[str]:
    """Packages that importing a module loads and that a core install does not bring."""
    return {name for name in loaded_by(module) if not is_core(name)}


def _plain(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function that was written, without what hypothesis and others put around it."""
    given = getattr(function, "hypothesis", None)
    written: Callable[..., Any] = unwrap(given.inner_test if given else function)
    return written


@cache
def needed_by(function: Callable[..., Any]) -> frozenset[str]:
    """What a function and those of the tests that it names import when they run."""
    waiting, seen = [function], set()
    found: set[str] = set()
    while waiting:
        each = waiting.pop()
        if each in seen or not isinstance(each, FunctionType):
            continue
        seen.add(each)
        if f"{each.__module__}.{each.__qualname__}" == REACHES_WEIGHTS:
            found.add(WEIGHTS)
        found.update(*(beyond_core(name) for name in _imported(each.__code__)))
        waiting += _named(each)
    return frozenset(found)


def _imported(code: CodeType) -> Iterator[str]:
    for each in _codes(code):
        for step in dis.get_instructions(each):
            if step.opname == "IMPORT_NAME":
                yield step.argval


def _named(function: FunctionType) -> Iterator[Callable[..., Any]]:
    """Functions of the tests, and methods of their classes, that the function names."""
    for code in _codes(function.__code__):
        for name in code.co_names:
            value = function.__globals__.get(name)
            if not str(getattr(value, "__module__", "")).startswith("tests."):
                continue
            for each in vars(value).values() if isinstance(value, type) else [value]:
                if callable(each):
                    yield _plain(each)


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


# What a core install brings.


@cache
def is_core(name: str) -> bool:
    """Whether a top-level package comes with a core install, the tools of tests, or Python."""
    if name in sys.stdlib_module_names or name in OURS:
        return True
    brought = core_distributions()
    return any(canonicalize_name(d) in brought for d in _distributions().get(name, ()))


@cache
def core_distributions() -> frozenset[str]:
    """What installing the package without an extra installs, and the tools of tests."""
    waiting, found = [PACKAGE, *TOOLS], set()
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name not in found:
            found.add(name)
            waiting += _requirements(name)
    return frozenset(found)


def _requirements(name: str) -> list[str]:
    try:
        lines = map(Requirement, requires(name) or ())
    except PackageNotFoundError:
        return []
    return [r.name for r in lines if r.marker is None or r.marker.evaluate({"extra": ""})]


@cache
def _distributions() -> dict[str, list[str]]:
    return dict(packages_distributions())


class CoreOnly(MetaPathFinder):
    """Refuses what a core install does not bring."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if path is None and _distributions().get(fullname) and not is_core(fullname):
            raise ModuleNotFoundError(
                f"{fullname} is no part of a core install: what needs it is no unit test, "
                f'unless it says pytest.mark.extra("{fullname}")',
                name=fullname,
            )
        return None


# What changed.


def _changed_for(config: pytest.Config) -> list[str] | None:
    own = getattr(config, "workerinput", None)
    if own is not None:
        return own["changed"]  # type: ignore[no-any-return]
    named = config.args_source is config.ArgsSource.ARGS
    return None if named or config.getoption("--all") else changed_paths()


def changed_paths() -> list[str] | None:
    """Paths that differ from the main branch; None where that is not known."""
    try:
        base = _git("merge-base", "HEAD", _main())[0]
        own = _git("ls-files", "--others", "--exclude-standard")
        # On the main branch itself nobody knows what was tested before.
        return [*_git("diff", "--name-only", base), *own] or None
    except (OSError, subprocess.CalledProcessError, StopIteration):
        return None


def touched(changed: Sequence[str], paths: Sequence[str]) -> bool:
    return any(each == path or each.startswith(f"{path}/") for each in changed for path in paths)


def _main() -> str:
    names = {"origin/main", "main"}
    known = _git("for-each-ref", "--format=%(refname:short)", "refs/remotes/origin", "refs/heads")
    return next(name for name in known if name in names)


def _git(*arguments: str) -> list[str]:
    command = ["git", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()
