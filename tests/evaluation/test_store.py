"""Answers survive, whatever happens to the process that wrote them."""

import math
import sqlite3
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.errors import StoreError
from gateway.evaluation.store import IN_MEMORY, Observation, Store
from gateway.scoring.results import Status

OK = Observation(Status.OK, answer="bug", labels=("bug", "x"), logprobs=(-0.1, -1e-300))


@settings(max_examples=30, deadline=None)
@given(
    text=st.text(),
    logprobs=st.lists(st.floats(max_value=0.0, allow_nan=False), max_size=4),
    shortened=st.dictionaries(st.text(), st.tuples(st.integers(), st.integers())),
    status=st.sampled_from(Status),
)
def test_an_observation_comes_back_as_it_went_in(
    tmp_path_factory: pytest.TempPathFactory,
    text: str,
    logprobs: list[float],
    shortened: dict[str, tuple[int, int]],
    status: Status,
) -> None:
    store = Store(tmp_path_factory.mktemp("store") / "runs.sqlite")
    seen = Observation(status, text=text, logprobs=tuple(logprobs), shortened=shortened)
    store.put("cell", "item", seen, 1.5, 0.5)
    assert store.answers("cell") == {"item": seen}
    assert store.timings("cell") == {"item": (1.5, 0.5, None)}
    store.close()


def test_tokens_in_memory_are_known_beside_a_label_that_cannot_be(tmp_path: Path) -> None:
    with Store(tmp_path / "runs.sqlite") as store:
        seen = replace(OK, logprobs=(-math.inf, -0.1), cached_tokens=7)
        store.put("cell", "item", seen, 1.5, 0.5)
        assert store.timings("cell") == {"item": (1.5, 0.5, 7)}


def test_the_first_answer_stands_unless_it_failed(tmp_path: Path) -> None:
    store = Store(tmp_path / "runs.sqlite")
    failed = Observation(Status.FAILED, reason="down")
    other = Observation(Status.OK, answer="feature")
    store.put("cell", "item", failed, 1.0, 1.0)
    assert store.finished("cell") == set()
    store.put("cell", "item", OK, 2.0, 2.0)
    store.put("cell", "item", other, 3.0, 3.0)
    assert store.answers("cell") == {"item": OK}
    assert store.timings("cell") == {"item": (2.0, 2.0, None)}
    assert store.finished("cell") == {"item"}
    assert store.answers("another cell") == {}
    store.close()


def test_two_processes_write_to_one_store_and_a_kill_loses_nothing_committed(
    tmp_path: Path,
) -> None:
    path = tmp_path / "runs.sqlite"
    code = """
import os, signal, sys
from pathlib import Path
from gateway.scoring.results import Status
from gateway.evaluation.store import Observation, Store
store = Store(Path(sys.argv[1]))
for n in range(200):
    store.put("cell", f"{sys.argv[2]}-{n}", Observation(Status.OK), 0.0, 0.0)
os.kill(os.getpid(), signal.SIGKILL)
"""
    writers = [
        subprocess.Popen([sys.executable, "-c", code, str(path), name]) for name in ("a", "b")
    ]
    assert [w.wait(timeout=120) for w in writers] == [-9, -9]
    store = Store(path)
    assert len(store.finished("cell")) == 400
    store.close()


def test_a_store_is_opened_while_another_process_is_making_it(tmp_path: Path) -> None:
    """Who changes to the write-ahead log beside a writer is refused at once, not made to wait."""
    path = tmp_path / "runs.sqlite"
    maker = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    maker.execute("BEGIN IMMEDIATE")
    ended = threading.Timer(0.3, lambda: maker.execute("COMMIT"))
    ended.start()
    store = Store(path)
    store.put("cell", "item", OK, 0.0, 0.0)
    store.close()
    ended.join()
    maker.close()


def test_a_run_is_found_by_the_beginning_of_its_id(tmp_path: Path) -> None:
    store = Store(tmp_path / "runs.sqlite")
    store.put_run("abc123", "task", '{"n":1}')
    store.put_run("abd456", "task", '{"n":2}')
    assert store.run("abc") == ("abc123", {"n": 1})
    with pytest.raises(StoreError, match="2 runs"):
        store.run("ab")
    with pytest.raises(StoreError, match="0 runs"):
        store.run("zzz")
    store.close()


def test_a_file_that_is_no_store_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("my notes, long enough to be no database at all " * 50)
    with pytest.raises(StoreError, match=r"notes\.txt"):
        Store(path)
    assert path.read_text().startswith("my notes")


def test_a_store_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "runs.sqlite"
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.commit()
    db.close()
    with pytest.raises(StoreError, match="another version"):
        Store(path)


def test_a_damaged_record_of_a_run_is_said_to_be_one() -> None:
    with Store(IN_MEMORY) as store:
        store.put_run("abc", "task", "\0\0")
        with pytest.raises(StoreError, match="the record of run abc is damaged"):
            store.run("a")
