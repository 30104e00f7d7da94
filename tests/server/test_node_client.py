"""OpenAI's own JavaScript client, unmodified, against a live server on real weights."""

import json
from pathlib import Path

import openai
import pytest
from fastapi import FastAPI

from gateway.server.app import service_of
from tests.server.conftest import CHAT, TOOLS
from tests.server.javascript import installed, said_by
from tests.server.waiting import wait_until

SCRIPT = "chat.mjs"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the script and the packages of the committed lock file."""
    return installed("node", SCRIPT, tmp_path_factory.mktemp("node"), client="OpenAI")


def test_the_javascript_client_gets_what_the_python_client_gets(
    node: Path, app: FastAPI, url: str, client: openai.OpenAI
) -> None:
    said = said_by(node, SCRIPT, url, CHAT, TOOLS)
    whole = client.chat.completions.create(
        model=CHAT,
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Name three colours."},
        ],
        max_tokens=16,
        logprobs=True,
    )
    logprobs = whole.choices[0].logprobs
    assert logprobs is not None
    text = whole.choices[0].message.content
    assert said["text"] == said["streamed"] == said["responded"] == text
    assert said["logprobs"] == [entry.logprob for entry in logprobs.content or []]
    assert said["fingerprint"] == whole.system_fingerprint
    assert whole.usage is not None
    assert said["usage"] == whole.usage.model_dump(exclude_none=True)
    assert said["structured"]["colour"] in ("red", "blue")
    assert said["call"]["name"] == "paint"
    assert json.loads(said["call"]["arguments"])["colour"] in ("red", "blue")
    assert said["dimensions"] == [576, 576]
    assert said["error"] == {
        "isNotFound": True,
        "status": 404,
        "code": "model_not_found",
        "param": "model",
    }
    assert said["pieces"] >= 3
    wait_until(lambda: service_of(app).admission.running == 0)
