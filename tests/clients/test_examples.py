"""The first examples of nine clients' documentations: chat, stream, structured answers, a loop with
tools, embeddings. What they assert stands in tests/clients/examples/."""

import ast
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
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

EXAMPLES = Path(__file__).parent / "examples"
CLIENTS = {
    path.stem: path
    for path in sorted(EXAMPLES.glob("*.py"))
    if path.stem not in ("__init__", "__main__", "served")
}
QUIET = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "ANONYMIZED_TELEMETRY": "False",
    "OPENAI_AGENTS_DISABLE_TRACING": "1",
}
"""So that no client asks the network for anything."""

CONTEXT = 640
"""Tokens. A model as small as this one now and then ends no answer by itself."""

Outcomes = Callable[[str], dict[str, str | None]]


def examples_of(path: Path) -> list[str]:
    """The names in a module's EXAMPLES; the module itself cannot be imported here."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "EXAMPLES":
            return list(ast.literal_eval(node.value))
    raise AssertionError(f"{path}: no EXAMPLES")


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
    spec = replace(spec, name=MODEL, source=PathSource(path), context_length=CONTEXT)
    pool = ModelPool(Models({MODEL: spec}, MODEL))
    with serving(create_app(pool, Settings(log_requests=False))) as address:
        yield address


@pytest.fixture(scope="session")
def outcomes(
    clients_python: Path, served: str, tmp_path_factory: pytest.TempPathFactory
) -> Outcomes:
    """Of a client, the error of each example, or None; its examples run in one process, once."""
    folder = tmp_path_factory.mktemp("clients")
    env = {**os.environ, **QUIET, "CLIENTS_URL": served, "HOME": str(folder)}

    @cache
    def run(client: str) -> dict[str, str | None]:
        told = folder / f"{client}.jsonl"
        command = [str(clients_python), "-m", "tests.clients.examples", client, str(told)]
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        lines = map(json.loads, told.read_text(encoding="utf-8").splitlines())
        return {line["example"]: line["error"] for line in lines}

    return run


@pytest.mark.clients
@pytest.mark.parametrize(
    ("client", "example"),
    [(client, name) for client, path in CLIENTS.items() for name in examples_of(path)],
)
def test_an_example_of_a_client_s_documentation_works(
    outcomes: Outcomes, client: str, example: str
) -> None:
    error = outcomes(client)[example]
    assert error is None, error
