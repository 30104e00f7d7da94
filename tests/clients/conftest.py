"""The environment of the clients, and a server on real weights for them."""

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.backends.pool import ModelPool
from gateway.models.file import Models
from gateway.models.spec import PathSource
from gateway.server.app import create_app
from gateway.server.settings import Settings
from tests.clients.examples.served import MODEL
from tests.conftest import ROOT, spec_and_path
from tests.server.conftest import serving

_CONTEXT = 640
"""Tokens. A model as small as this one now and then ends no answer by itself."""


@pytest.fixture(scope="session")
def clients_python(request: pytest.FixtureRequest) -> Path:
    """The Python that has the clients. With --clients they are installed, or the tests fail."""
    python = ROOT / ".venv-clients" / "bin" / "python"
    if request.config.getoption("--clients"):
        done = subprocess.run([ROOT / "scripts" / "clients"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    elif not (ROOT / ".venv-clients" / ".installed").is_file():
        pytest.skip("other people's clients are not tried: scripts/clients installs them")
    return python


@pytest.fixture(scope="session")
def served() -> Iterator[str]:
    """The address of a live server of the default model with all its layers."""
    spec, path = spec_and_path("smollm2-135m")
    spec = replace(spec, name=MODEL, source=PathSource(path), context_length=_CONTEXT)
    pool = ModelPool(Models({MODEL: spec}, MODEL))
    with serving(create_app(pool, Settings(log_requests=False))) as address:
        yield address
