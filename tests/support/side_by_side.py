"""Test processes side by side, each on cores of its own (`pytest -n auto`, as scripts/test has it).

Two processes of which each wants every core slow each other down tenfold: llama.cpp's threads spin
where they wait for each other. What is computed does not depend on the number of threads, so that a
test runs on one core as on all. A test that is about threads asks for `all_cores`, and runs while
no other does.
"""

import fcntl
import json
import os
import tempfile
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import pytest

from gateway.core.files import write_atomically

WORKER_BYTES = 5 * 2**30
"""What a process takes that has loaded every model of the tests, and something to spare."""
MOST_WORKERS = 4
"""More wait for the longest group of tests."""
GROUPS = "groups.json"

HEAVY = {
    "adapters": "torch",
    "dequantized": "torch",
    "ollama_url": "ollama",
    "url": "server",
    "made": "quantized",
    "outcomes": "clients",
}
"""Fixtures of a session that take seconds -> the group of the modules that use them: one process
runs them all, and makes the fixture once."""


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
    """In the process that hands out the tests.

    A folder holds the locks for those that run them, and what these say of the groups: only they
    have collected the tests.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="turns-")

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput["turns"] = self._folder.name

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> object:
        from xdist.scheduler import LoadScopeScheduling

        groups = Path(self._folder.name) / GROUPS

        class ByGroup(LoadScopeScheduling):  # type: ignore[misc]
            def _split_scope(self, nodeid: str) -> str:
                return _group_of(groups, nodeid)

        # In the order in which they were collected: what takes long goes first.
        config.option.loadscopereorder = False
        return ByGroup(config, log)

    def pytest_unconfigure(self) -> None:
        self._folder.cleanup()


class _Player:
    """In a process that runs tests beside others."""

    def __init__(self, turns: Path) -> None:
        self._turns = turns

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        groups = _groups(items)
        with_weights = {groups[_module(i)] for i in items if i.get_closest_marker("weights")}
        # What takes long goes first, so that in the end no process waits for another.
        items.sort(key=lambda item: _place(groups[_module(item)], with_weights))
        write_atomically(self._turns / GROUPS, json.dumps(groups))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        with turn(self._turns, alone="all_cores" in _fixtures(item)):
            return (yield)


@cache
def _read_groups(file: Path) -> dict[str, str]:
    return dict(json.loads(file.read_text()))


def _group_of(groups: Path, nodeid: str) -> str:
    return _read_groups(groups)[nodeid.partition("::")[0]]


def _groups(items: list[pytest.Item]) -> dict[str, str]:
    """Module -> name of the group of tests that run one after another in one process."""
    used: dict[str, set[str]] = {}
    for item in items:
        used.setdefault(_module(item), set()).update(_fixtures(item))
    return {
        module: next((group for name, group in HEAVY.items() if name in fixtures), module)
        for module, fixtures in used.items()
    }


def _place(group: str, with_weights: set[str]) -> int:
    return 0 if group in HEAVY.values() else 1 if group in with_weights else 2


def _module(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[0]


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
