"""`gateway tune` as a person meets it, on a base of two layers."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gateway.cli.common import INTERRUPTED
from tests.cli.conftest import Gateway, environment
from tests.cli.test_interrupted import HEARING_INTERRUPTS
from tests.support.grids import write_task
from tests.tuning.worlds import write_items, write_world

ENTRY = """
default = "tiny"
[models.tiny]
backend = "transformers"
source = { path = "base" }
chat_template = "plain"
context_length = 128
threads = 1
"""
LEARN = ("tune", "-n", "learned", "-t", "mine", "-s", "scored", "--train", "train.csv")
FAST = ("--rank", "4", "--alpha", "8", "--learning-rate", "1e-2", "--batch", "8", "--epochs", "3")
AT_ONE = ("--threads", "1")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_world(tmp_path / "base")
    write_items(tmp_path / "train.csv")
    write_task(tmp_path)
    (tmp_path / "models.toml").write_text(ENTRY)
    for name, value in {
        "GATEWAY_MODELS": "models.toml",
        "GATEWAY_PROMPTS": "prompts",
        "GATEWAY_ADAPTERS": "adapters",
    }.items():
        monkeypatch.setenv(name, str(tmp_path / value))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_an_adapter_is_made_and_is_a_model_of_other_commands(gateway: Gateway, world: Path) -> None:
    done = gateway(*LEARN, *FAST, *AT_ONE)
    assert done.code == 0, done.err
    assert "numbers are trained; an epoch is" in done.err
    assert "epoch 3: held-out loss" in done.err
    assert "macro-F1" in done.out
    assert "it is the model tiny+learned, with --strategy scored" in done.err
    assert "warning:" in done.err, "40 items are few"
    assert gateway("adapters", "check", "learned", "--base", "tiny").code == 0
    run = gateway(
        *("run", "-m", "tiny,tiny+learned", "-t", "mine", "-s", "scored", "--data", "train.csv"),
        *("--store", "s.sqlite", "-q"),
    )
    assert run.code == 0, run.err
    assert "tiny+learned/scored" in run.out


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--rank", "0"), "--rank 0 is not between 1 and 1024"),
        (("-m", "nobody"), "no model is called 'nobody'"),
        (("--train", "absent.csv"), "absent.csv"),
        (("-n", "../up"), "cannot name an adapter"),
        (("-s", "shown"), "shows exemplars"),
        (("--quantize", "int3"), "--quantize int3 is not known"),
        (("--test", "train.csv"), "also in test"),
        (("--targets", "nothing"), "no linear layers called nothing"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_trained(
    gateway: Gateway, world: Path, more: tuple[str, ...], said: str
) -> None:
    done = gateway(*LEARN, *more)
    assert done.code == 2
    assert said in done.err
    assert not (world / "adapters").exists()


def test_ctrl_c_keeps_the_checkpoint_and_the_same_command_goes_on(
    gateway: Gateway, world: Path
) -> None:
    command = [sys.executable, "-c", HEARING_INTERRUPTS, "-m", "gateway", *LEARN, *FAST, *AT_ONE]
    command += ["--epochs", "1000", "--patience", "1000"]
    env = {**environment(), **{k: v for k, v in os.environ.items() if k.startswith("GATEWAY_")}}
    state = world / "adapters" / ".tune-learned" / "state.json"
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as child:
        until = time.monotonic() + 120
        while not state.exists():
            assert time.monotonic() < until
            assert child.poll() is None, child.stderr and child.stderr.read()
            time.sleep(0.05)
        child.send_signal(signal.SIGINT)
        _, said = child.communicate(timeout=60)
    assert child.returncode == INTERRUPTED
    assert "interrupted: the last checkpoint is kept" in said
    assert not (world / "adapters" / "learned").exists()
    other = gateway(*LEARN, *FAST, *AT_ONE)
    assert other.code == 1
    assert "other settings" in other.err
    assert gateway(*LEARN, *FAST, *AT_ONE, "--restart").code == 0
