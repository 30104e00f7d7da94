"""The quantizer's process: its end, and that of whoever waits for it."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from gateway.core.errors import BackendError
from gateway.quantization import worker
from gateway.quantization.names import parse_level
from gateway.quantization.source import Given
from tests.conftest import ROOT
from tests.quantization.tiny import write_tiny


def run(source: Path, target: Path, level: str) -> list[None]:
    seen: list[None] = []
    number = parse_level(level).number
    assert number is not None
    worker.run(
        source,
        target,
        number,
        threads=1,
        imatrix=None,
        on_tensor=lambda: seen.append(None),
    )
    return seen


def test_it_counts_the_tensors_and_writes_the_file(tiny: Given, tmp_path: Path) -> None:
    target = tmp_path / "made.gguf"
    assert len(run(tiny.path, target, "Q4_0")) == len(tiny.header.tensors)
    assert target.stat().st_size < tiny.path.stat().st_size / 6


def test_the_library_s_reason_for_a_failure_arrives(tiny: Given, tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="requires an imatrix"):
        run(tiny.path, tmp_path / "made.gguf", "IQ1_S")


def test_a_process_that_ends_by_itself_is_a_failure(
    tiny: Given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in = tmp_path / "python"
    stand_in.write_text("#!/bin/sh\necho begun x\necho out of luck >&2\nexit 134\n")
    stand_in.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(stand_in))
    with pytest.raises(BackendError, match="ended while quantizing: out of luck"):
        run(tiny.path, tmp_path / "made.gguf", "Q8_0")


@pytest.mark.needs("llama_cpp")
def test_when_nobody_waits_any_more_it_ends_and_takes_its_file_along(tmp_path: Path) -> None:
    source, target = write_tiny(tmp_path / "tiny.gguf", 512), tmp_path / "made.gguf"
    command = [sys.executable, "-m", "gateway.quantization.worker", str(source), str(target)]
    slow = parse_level("IQ4_NL").number
    with subprocess.Popen([*command, str(slow), "1"], cwd=ROOT, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline().startswith(b"begun ")
        child.stdout.close()
        deadline = time.monotonic() + 60
        while child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert child.returncode == 1
    assert not target.exists()
