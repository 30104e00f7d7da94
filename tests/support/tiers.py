"""Four tiers of tests, told from what each test needs.

    unit      what a core install brings, and nothing of an extra or of a model
    weights   an extra, and mostly the weights of a model
    slow      too heavy for every run: where a file changed that the test imports
    clients   other people's clients in an environment of their own; chosen as slow ones are

What a test needs is seen in the imports of its module, and in the functions of the tests that it
calls. Where the package loads a library only when it is used, nobody sees it beforehand: such a
test fails as a unit test wherever it runs, and says which library its mark has to name.
"""

import builtins
import dis
import importlib.util
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import cache
from importlib.metadata import packages_distributions
from inspect import unwrap
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import pytest
from packaging.utils import canonicalize_name

from tests.support.environments import closure
from tests.support.imports import OURS, ROOT, loaded_by, module_of, reached_from

CHANGED = pytest.StashKey[list[str] | None]()
"""Paths that changed; None where slow tests run whatever changed."""

FOUNDATION = (
    *("pyproject.toml", "scripts/constraints.txt", "scripts/install", "scripts/llama.cmake"),
    *("modelfiles/", "prompts/", "tests/conftest.py"),
)
"""How paths begin that every test rests on, though it imports none of them."""

OF_CLIENTS = ("tests/clients/", "scripts/clients")
"""How paths begin that the tests of clients rest on, beside what they import."""

FUZZ = 2_000
_IMPORTS = dis.opmap["IMPORT_NAME"]

WEIGHTS = "the weights of a model"
REACHES_WEIGHTS = "tests.conftest.spec_and_path"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--all", action="store_true", help="Run the slow tests too, whatever paths changed."
    )
    parser.addoption(
        "--clients",
        action="store_true",
        help="Install other people's clients where they are absent; without, they are not tried.",
    )
    parser.addoption(
        "--fuzz",
        type=int,
        default=FUZZ,
        help=f"Cases of each fuzz test, at night say 100000 [{FUZZ}].",
    )


def pytest_configure(config: pytest.Config) -> None:
    for line in (
        "unit: needs no more than a core install brings (set by itself)",
        "weights: needs an extra or the weights of a model (set by itself)",
        "slow: too heavy for every run; runs where a file changed that its module imports",
        "clients: other people's clients; runs as slow tests do, where scripts/clients has been",
        "needs(*names): needs these libraries though the test itself does not import them",
    ):
        config.addinivalue_line("markers", line)
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
    if needs(item):
        item.add_marker(pytest.mark.weights)
    elif item.get_closest_marker("slow") is None:
        item.add_marker(pytest.mark.unit)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    changed = config.stash[CHANGED]
    for item in items:
        heavy = [name for name in ("slow", "clients") if item.get_closest_marker(name)]
        more = OF_CLIENTS if "clients" in heavy else ()
        if heavy and changed is not None and not concerns(changed, module_of(item.path), *more):
            why = f"{heavy[0]}, and nothing that it imports changed"
            item.add_marker(pytest.mark.skip(reason=why))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["changed"] = node.config.stash[CHANGED]


# What a test needs.


def needs(item: pytest.Item) -> set[str]:
    """What a test takes that a core install does not bring."""
    if not isinstance(item, pytest.Function):
        return set()
    found = {name for mark in item.iter_markers("needs") for name in mark.args}
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
        if _IMPORTS in each.co_code[::2]:  # To read all steps of all functions takes seconds.
            for step in dis.get_instructions(each):
                if step.opcode == _IMPORTS:
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
    """What installing the package with the tools of tests alone installs."""
    return frozenset(closure(["test"]))


@cache
def _distributions() -> dict[str, list[str]]:
    return dict(packages_distributions())


# What a unit test must not do.


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    return (yield from watched(item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    return (yield from watched(item))


def watched(item: pytest.Item) -> Generator[None, object, object]:
    """Fail a unit test that has loaded, or looked for, what a core install does not bring."""
    if item.get_closest_marker("unit") is None:
        return (yield)
    taken: set[str] = set()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builtins, "__import__", _noting(builtins.__import__, taken))
        patch.setattr(importlib.util, "find_spec", _noting(importlib.util.find_spec, taken))
        result = yield
    if taken:
        names = ", ".join(f'"{name}"' for name in sorted(taken))
        pytest.fail(f"a core install cannot do this: say pytest.mark.needs({names})", pytrace=False)
    return result


def _noting(find: Callable[..., Any], taken: set[str]) -> Callable[..., Any]:
    def noted(name: str, *args: Any, **kwargs: Any) -> Any:
        top, asker = name.partition(".")[0], sys._getframe(1).f_globals.get("__name__", "")
        if asker.partition(".")[0] in OURS and not is_core(top):
            taken.add(top)
        return find(name, *args, **kwargs)

    return noted


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


def concerns(changed: Sequence[str], module: str, *more: str) -> bool:
    """Whether one of these paths is of what a test module imports, or of what all tests rest on.

    Args:
        more: how other paths begin that the module rests on.
    """
    reached = {path.relative_to(ROOT).as_posix() for path in reached_from(module)}
    return any(each in reached or each.startswith((*FOUNDATION, *more)) for each in changed)


def _main() -> str:
    names = {"origin/main", "main"}
    known = _git("for-each-ref", "--format=%(refname:short)", "refs/remotes/origin", "refs/heads")
    return next(name for name in known if name in names)


def _git(*arguments: str) -> list[str]:
    command = ["git", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()
