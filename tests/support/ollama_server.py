"""The gateway's own /api in a process of its own, for the Ollama backend to talk to."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.backends.ollama.spec import OllamaSpec
from gateway.models.spec import ModelSpec, OllamaSource

_READY = re.compile(r"serving on (http://[^/]+)/v1")


@contextmanager
def gateway_process(models: str, folder: Path) -> Iterator[str]:
    """`gateway serve` with these entries on a free port; its URL.

    Args:
        models: text of a models.toml.
        folder: where that is written.
    """
    with mortal_process(models, folder) as (url, _):
        yield url


@contextmanager
def mortal_process(models: str, folder: Path) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """As `gateway_process`, with the process, for tests that end it."""
    file = folder / "served.toml"
    file.write_text(models, encoding="utf-8")
    command = [sys.executable, "-m", "gateway", "serve", "--port", "0", "--quiet"]
    command += ["--models-file", str(file), "--max-loaded", "4"]
    log = folder / "served.log"
    with log.open("w", encoding="utf-8") as out:
        process = subprocess.Popen(command, stderr=out, stdout=out, env=dict(os.environ))
    try:
        yield _address(process, log), process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


def _address(process: "subprocess.Popen[bytes]", log: Path) -> str:
    for _ in range(600):
        if found := _READY.search(log.read_text(encoding="utf-8")):
            return found[1]
        if process.poll() is not None:
            break
        try:
            process.wait(timeout=0.1)
        except subprocess.TimeoutExpired:
            continue
    raise AssertionError(log.read_text(encoding="utf-8"))


def on_server(spec: ModelSpec, url: str, **changes: object) -> OllamaSpec:
    """An entry that asks the server for what another one runs in process."""
    asked = {"source": OllamaSource(spec.name), "host": url, "parallel": 4, **changes}
    return OllamaSpec.like(spec, **asked)
