"""Test processes side by side, each on cores of its own (`pytest -n auto`, as scripts/test has it).

Two processes of which each wants every core slow each other down tenfold: llama.cpp's threads spin
where they wait for each other. What is computed does not depend on the number of threads, so that a
test runs on one core as on all. A test that is about threads asks for `all_cores`, and runs while
no other does.
"""

import fcntl
import os
import tempfile
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

WORKER_BYTES = 5 * 2**30
"""What a process takes that has loaded every model of the tests, and something to spare."""
MOST_WORKERS = 4
"""More wait for the longest group of tests."""

HEAVY = ("adapters", "dequantized", "ollama_url", "url", "made")
"""Fixtures of a session that take seconds: the modules that use one run in one process."""


def cores() -> set[int]:
    """Those that this process may use; empty where the system does not say."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


ALL = cores()


@pytest.fixture
def all_cores() -> Iterator[None]:
    """Every core, and no other test meanwhile."""
    own = cores()
    _run_on(ALL)
    yield
    _run_on(own)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    room = psutil.virtual_memory().available // WORKER_BYTES
    return max(1, min(len(ALL) or os.cpu_count() or 1, room, MOST_WORKERS))


def pytest_configure(config: pytest.Config) -> None:
    own = getattr(config, "workerinput", None)
    if own is None:
        config.pluginmanager.register(_Conductor())
    else:
        place, count = int(own["workerid"].removeprefix("gw")), own["workercount"]
        _run_on(set(sorted(ALL)[place % len(ALL or {0}) :: count]))
        config.pluginmanager.register(_Player(Path(own["turns"])))


class _Conductor:
    """In the process that hands out the tests: a folder of locks for those that run them."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="turns-")

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput["turns"] = self._folder.name

    def pytest_unconfigure(self) -> None:
        self._folder.cleanup()


class _Player:
    """In a process that runs tests beside others."""

    def __init__(self, turns: Path) -> None:
        self._turns = turns

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        group_of = _groups(items)
        with_weights = {group_of[i.path] for i in items if i.get_closest_marker("weights")}
        for item in items:
            item.add_marker(pytest.mark.xdist_group(group_of[item.path]))
        # What takes long goes first, so that in the end no process waits for another.
        items.sort(key=lambda i: _place(group_of[i.path], with_weights))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        with turn(self._turns, alone="all_cores" in _fixtures(item)):
            return (yield)


def _groups(items: list[pytest.Item]) -> dict[Path, str]:
    """Module -> name of the group of tests that run one after another in one process."""
    used: dict[Path, set[str]] = {}
    for item in items:
        used.setdefault(item.path, set()).update(_fixtures(item))
    return {
        path: next((name for name in HEAVY if name in fixtures), path.stem + str(number))
        for number, (path, fixtures) in enumerate(used.items())
    }


def _place(group: str, with_weights: set[str]) -> int:
    return 0 if group in HEAVY else 1 if group in with_weights else 2


def _fixtures(item: pytest.Item) -> list[str]:
    return item.fixturenames if isinstance(item, pytest.Function) else []


@contextmanager
def turn(folder: Path, *, alone: bool) -> Iterator[None]:
    """Many at once, or one and nobody else.

    Whoever wants to be alone holds the door while he waits, so that no other comes in before him.
    """
    with ExitStack() as held:
        with (folder / "door").open("w") as door:
            fcntl.flock(door, fcntl.LOCK_EX)
            room = held.enter_context((folder / "room").open("w"))
            fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield


def _run_on(these: set[int]) -> None:
    if these:
        with suppress(OSError):
            os.sched_setaffinity(0, these)
