"""Servers of other processes: started, waited for, stopped."""

import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
from common import ROOT

PROGRAM = str(ROOT / ".venv" / "bin" / "gateway")
_START_S = 120


@contextmanager
def started(command: Sequence[str], port: int, ready: str) -> Iterator[str]:
    """A server's address, once its page `ready` answers."""
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(list(command), stdout=log, stderr=log)
        try:
            until = time.monotonic() + _START_S
            while not _answers(f"{url}{ready}"):
                if time.monotonic() > until or process.poll() is not None:
                    log.seek(0)
                    raise SystemExit(log.read().decode()[-2000:])
                time.sleep(0.2)
            yield url
        finally:
            process.terminate()
            process.wait()


@contextmanager
def gateway(models: Path, port: int) -> Iterator[str]:
    """The gateway with the entry `bench` of a models.toml loaded."""
    options = ["serve", "-m", "bench", "--models-file", str(models), "--port", str(port), "-q"]
    with started([PROGRAM, *options], port, "/health/ready") as url:
        yield url


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False
