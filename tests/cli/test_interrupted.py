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
from tests.conftest import spec_and_path

WAIT_S = 300
KEPT = "interrupted: what was answered is kept, the same command goes on from there"

HEARING_INTERRUPTS = (
    "import os, signal, sys;"
    "signal.signal(signal.SIGINT, signal.default_int_handler);"
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)
"""A shell that starts the tests in the background lets them, and all they start, ignore SIGINT."""


def command(data: Path, store: Path, out: Path) -> list[str]:
    return [
        *(sys.executable, "-c", HEARING_INTERRUPTS, "-m", "gateway", "run", "-t", "issue-triage"),
        *("-s", "zero_shot,cot", "--limit", "4", "--data", str(data / "test.csv")),
        *("--store", str(store), "--out", str(out)),
    ]


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


@pytest.fixture(scope="module")
def uninterrupted(
    issue_reports: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str]:
    spec_and_path("smollm2-135m")
    folder = tmp_path_factory.mktemp("whole")
    done = subprocess.run(
        command(issue_reports, folder / "s.sqlite", folder / "out"),
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return folder / "out", done.stdout


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_run_stopped_twice_ends_in_the_same_bytes(
    issue_reports: Path, tmp_path: Path, uninterrupted: tuple[Path, str], how: signal.Signals
) -> None:
    store, out = tmp_path / "s.sqlite", tmp_path / "out"
    whole, table = uninterrupted
    for after in (2, 5):
        code = start_and_stop(command(issue_reports, store, out), store, after, how)
        assert code == (130 if how is signal.SIGINT else -how)
    assert not out.exists()
    done = subprocess.run(
        command(issue_reports, store, out),
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert filecmp.cmpfiles(whole, out, FILES, shallow=False) == (FILES, [], [])
    assert done.stdout.split("Timings")[0] == table.split("Timings")[0]


def test_a_comparison_that_is_interrupted_goes_on_from_there(tmp_path: Path) -> None:
    _, weights = spec_and_path("smollm2-135m")
    # One item after the other, so that some are always left when the first is answered.
    entry = f'[models.one]\nthreads = 1\nparallel = 1\nsource = {{ path = "{weights}" }}\n'
    (tmp_path / "models.toml").write_text(entry)
    store, data = tmp_path / "s.sqlite", tmp_path / "short.csv"
    texts = [f"Button {n} does nothing,,bug\n" for n in range(4)]
    data.write_text("title,body,label\n" + "".join(texts))
    arguments = [
        *(sys.executable, "-c", HEARING_INTERRUPTS, "-m", "gateway", "ab", "-t", "issue-triage"),
        *("one/zero_shot/sum", "one/zero_shot/mean", "--data", str(data), "--store", str(store)),
        *("--models-file", str(tmp_path / "models.toml")),
    ]
    assert start_and_stop(arguments, store, 1, signal.SIGINT) == 130
    kept = rows(store)
    assert 1 <= len(kept) < 4
    done = subprocess.run(arguments, env=environment(), capture_output=True, text=True, check=True)
    assert "one/zero_shot: 4 done" in done.stderr
    assert kept < rows(store), "what was kept was not asked again"


def test_two_processes_share_one_store(
    issue_reports: Path, tmp_path: Path, uninterrupted: tuple[Path, str]
) -> None:
    whole, _ = uninterrupted
    store = tmp_path / "s.sqlite"
    # One thread each: two processes that both want every core slow each other down tenfold.
    _, weights = spec_and_path("smollm2-135m")
    entry = f'[models.smollm2-135m]\nthreads = 1\nsource = {{ path = "{weights}" }}\n'
    (tmp_path / "models.toml").write_text(entry)
    children = [
        subprocess.Popen(
            command(issue_reports, store, tmp_path / name),
            env=environment(GATEWAY_MODELS=str(tmp_path / "models.toml")),
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
