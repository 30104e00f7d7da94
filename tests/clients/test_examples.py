"""The first examples of nine clients' documentations: chat, stream, structured answers, a loop with
tools, embeddings. What they assert stands in tests/clients/examples/."""

import ast
import json
import os
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import ROOT

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

Outcomes = Callable[[str], dict[str, str | None]]


def examples_of(path: Path) -> list[str]:
    """The names in a module's EXAMPLES; the module itself cannot be imported here."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "EXAMPLES":
            return list(ast.literal_eval(node.value))
    raise AssertionError(f"{path}: no EXAMPLES")


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
