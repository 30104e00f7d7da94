"""Ollama's own JavaScript client, unmodified, against a live server on real weights."""

from pathlib import Path

import ollama
import pytest
from fastapi import FastAPI

from gateway.server.app import service_of
from tests.server.conftest import CHAT, TOOLS
from tests.server.javascript import installed, said_by
from tests.server.waiting import wait_until

SCRIPT = "ollama.mjs"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the script and the packages of the committed lock file."""
    return installed("node_ollama", SCRIPT, tmp_path_factory.mktemp("node-ollama"), client="Ollama")


def test_the_javascript_client_gets_what_the_python_client_gets(
    node: Path, app: FastAPI, url: str
) -> None:
    said = said_by(node, SCRIPT, url, CHAT)
    asked = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Name three colours."},
    ]
    with ollama.Client(url) as client:
        whole = client.chat(CHAT, asked, options={"num_predict": 16}, logprobs=True)
    assert said["text"] == said["streamed"] == said["generated"] == whole.message.content
    assert said["logprobs"] == [entry.logprob for entry in whole.logprobs or ()]
    assert said["reason"] == whole.done_reason
    assert said["counts"] == [whole.prompt_eval_count, whole.eval_count]
    assert said["structured"]["colour"] in ("red", "blue")
    assert said["dimensions"] == [576, 576]
    assert said["listed"] == [f"{CHAT}:latest", f"{TOOLS}:latest"]
    assert said["family"] == "llama"
    assert f"{CHAT}:latest" in said["running"]
    assert said["error"] == {
        "name": "ResponseError",
        "status": 404,
        "message": "model 'nosuch' not found",
    }
    assert said["pull"] == 403
    assert said["pieces"] == 3
    assert said["aborted"] == "AbortError"
    wait_until(lambda: service_of(app).admission.running == 0)
