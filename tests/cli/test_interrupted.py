"""Killed at any moment and started again, a run goes on where it was."""

import filecmp
import io
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.conftest import Gateway, environment
from tests.cli.test_run import FILES
from tests.conftest import few_layers
from tests.support.grids import write_data, write_task

WAIT_S = 300
KEPT = "interrupted: what was answered is kept, the same command goes on from there"

HEARING_INTERRUPTS = (
    "import os, signal, sys;"
    "signal.signal(signal.SIGINT, signal.default_int_handler);"
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)
"""A shell that starts the tests in the background lets them, and all they start, ignore SIGINT."""


ITEMS = 8
"""Each is asked twice: its labels are scored at once, and after a reasoning. So many that some are
left when a busy machine has looked what was answered."""


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small task, its items, and an entry that asks one item after the other, so
    that some are always left when the first is answered.

    One thread each: two processes that both want every core slow each other down tenfold.
    """
    _, weights = few_layers("smollm2-135m")
    root = tmp_path_factory.mktemp("task")
    write_task(root)
    write_data(root / "test.csv")
    entry = f'[models.one]\nthreads = 1\nparallel = 1\nsource = {{ path = "{weights}" }}\n'
    (root / "models.toml").write_text(entry)
    return root


def gateway_on(task: Path, *arguments: object) -> list[str]:
    """A command on the one entry of the folder."""
    start = (sys.executable, "-c", HEARING_INTERRUPTS, "-m", "gateway", *arguments)
    return [*map(str, start), "--models-file", str(task / "models.toml")]


def command(task: Path, store: Path, out: Path) -> list[str]:
    return gateway_on(
        task,
        *("run", "-t", "mine", "-m", "one", "-s", "scored,reasoned", "--limit", ITEMS),
        *("--data", task / "test.csv", "--prompts", task / "prompts"),
        *("--store", store, "--out", out),
    )


def answered(store: Path) -> int:
    try:
        with sqlite3.connect(f"file:{store}?mode=ro", uri=True) as db:
            return int(db.execute("SELECT count(*) FROM answers").fetchone()[0])
    except sqlite3.Error:
        return 0


def rows(store: Path) -> set[tuple[str, str]]:
    """Every answer with the moment at which it was committed."""
    with sqlite3.connect(f"file:{store}?mode=ro", uri=True) as db:
        return set(db.execute("SELECT item, committed FROM answers"))


def start_and_stop(arguments: list[str], store: Path, after: int, how: signal.Signals) -> int:
    with subprocess.Popen(
        arguments, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        until = time.monotonic() + WAIT_S
        while answered(store) < after:
            assert child.poll() is None, child.communicate()
            assert time.monotonic() < until
            time.sleep(0.02)
        child.send_signal(how)
        _, said = child.communicate(timeout=WAIT_S)
        assert "Traceback" not in said
        assert (KEPT in said) == (how is signal.SIGINT)
        return child.returncode


def ended(arguments: list[str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(arguments, env=environment(), capture_output=True, text=True, check=True)


@pytest.fixture(scope="module")
def uninterrupted(task: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("whole")
    done = ended(command(task, folder / "s.sqlite", folder / "out"))
    return folder / "out", done.stdout


def test_a_run_killed_and_then_interrupted_ends_in_the_same_bytes(
    task: Path, tmp_path: Path, uninterrupted: tuple[Path, str]
) -> None:
    store, out = tmp_path / "s.sqlite", tmp_path / "out"
    whole, table = uninterrupted
    asked = command(task, store, out)
    assert start_and_stop(asked, store, 2, signal.SIGKILL) == -signal.SIGKILL
    assert start_and_stop(asked, store, ITEMS + 1, signal.SIGINT) == 130
    assert not out.exists()
    done = ended(asked)
    assert filecmp.cmpfiles(whole, out, FILES, shallow=False) == (FILES, [], [])
    assert done.stdout.split("Timings")[0] == table.split("Timings")[0]


def test_a_comparison_that_is_interrupted_goes_on_from_there(task: Path, tmp_path: Path) -> None:
    store, data = tmp_path / "s.sqlite", tmp_path / "short.csv"
    texts = [f"Button {n} does nothing,,bug\n" for n in range(ITEMS)]
    data.write_text("title,body,label\n" + "".join(texts))
    arguments = gateway_on(
        task,
        *("ab", "-t", "issue-triage", "one/zero_shot/sum", "one/zero_shot/mean"),
        *("--data", data, "--store", store),
    )
    assert start_and_stop(arguments, store, 1, signal.SIGINT) == 130
    kept = rows(store)
    assert 1 <= len(kept) < ITEMS
    done = ended(arguments)
    assert f"one/zero_shot: {ITEMS} done" in done.stderr
    assert kept < rows(store), "what was kept was not asked again"


def test_two_processes_share_one_store(
    task: Path, tmp_path: Path, uninterrupted: tuple[Path, str]
) -> None:
    whole, _ = uninterrupted
    children = [
        subprocess.Popen(
            command(task, tmp_path / "s.sqlite", tmp_path / name),
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for name in "ab"
    ]
    for child in children:
        _, said = child.communicate(timeout=WAIT_S)
        assert child.returncode == 0, said
    for name in "ab":
        assert filecmp.cmpfiles(whole, tmp_path / name, FILES, shallow=False) == (FILES, [], [])


def test_a_command_that_keeps_nothing_does_not_say_that_it_does(
    gateway: Gateway, fake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopped(io.StringIO):
        def read(self, size: int | None = -1, /) -> str:
            raise KeyboardInterrupt

    monkeypatch.setattr(sys, "stdin", Stopped())
    done = gateway("ask")
    assert (done.code, done.err.split()) == (130, ["interrupted"])


def test_a_table_that_is_classified_goes_on_where_it_was(task: Path, tmp_path: Path) -> None:
    def classify(name: str) -> list[str]:
        return gateway_on(
            task,
            *("classify", "-t", "mine", "-m", "one", "-s", "reasoned"),
            *("--file", task / "test.csv", "--prompts", task / "prompts"),
            *("--store", tmp_path / f"{name}.sqlite", "--output", tmp_path / f"{name}.csv"),
        )

    store = tmp_path / "cut.sqlite"
    assert start_and_stop(classify("cut"), store, 2, signal.SIGKILL) == -signal.SIGKILL
    kept = rows(store)
    assert 2 <= len(kept) < 12
    ended(classify("cut"))
    assert kept < rows(store)
    ended(classify("whole"))
    assert (tmp_path / "cut.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
