"""No request ends the engine; where it fails, it is told, and the next request is answered."""

import time
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.backends.llama_cpp.context import Context
from gateway.core.errors import ModelLoadError
from gateway.engine.engine import Engine
from gateway.engine.llama import library
from tests.server.conftest import CHAT

pytestmark = pytest.mark.needs("llama_cpp")

NOTHING: list[tuple[str, dict[str, Any], int]] = [
    ("/v1/completions", {"prompt": ""}, 400),
    ("/v1/completions", {"prompt": [""]}, 400),
    ("/v1/completions", {"prompt": ["a", ""]}, 400),
    ("/v1/completions", {"prompt": []}, 400),
    ("/v1/completions", {"prompt": [[]]}, 400),
    ("/v1/completions", {"prompt": "", "stream": True}, 400),
    ("/v1/completions", {"prompt": "", "echo": True}, 400),
    ("/v1/completions", {"prompt": [10**9]}, 400),
    ("/v1/completions", {"prompt": [-1]}, 400),
    ("/v1/chat/completions", {"messages": []}, 400),
    ("/v1/responses", {"input": []}, 400),
    ("/v1/embeddings", {"input": ""}, 400),
    ("/v1/embeddings", {"input": []}, 400),
    ("/v1/score", {"prompt": "", "labels": ["a", "b"]}, 400),
    ("/tokenize", {"text": ""}, 200),
    ("/api/generate", {"prompt": "", "raw": True}, 200),
    ("/api/embed", {"input": ""}, 200),
]
"""What has no token, or none that the model has, through every door."""
ASKED = {"model": CHAT, "prompt": "The capital of France is", "max_tokens": 4}


def reference(url: str) -> Any:
    answered = httpx.post(f"{url}/v1/completions", json=ASKED, timeout=60)
    assert answered.status_code == 200, answered.text
    return answered.json()["choices"]


@pytest.mark.parametrize(("path", "body", "status"), NOTHING)
def test_a_request_without_a_token_is_answered_and_the_next_one_too(
    url: str, path: str, body: dict[str, Any], status: int
) -> None:
    before = reference(url)
    answered = httpx.post(url + path, json={"model": CHAT, **body}, timeout=60)
    assert answered.status_code == status, answered.text
    assert reference(url) == before


def test_a_failed_engine_is_told_by_ready_and_metrics_and_goes_on(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = reference(url)
    whole, calls = Engine._pass, []

    def fail(engine: Engine) -> None:
        calls.append(engine)
        if len(calls) == 1:
            raise IndexError("planted in a pass")
        whole(engine)

    monkeypatch.setattr(Engine, "_pass", fail)
    failed = httpx.post(f"{url}/v1/completions", json=ASKED, timeout=60)
    assert failed.status_code == 503
    assert "planted in a pass" in failed.json()["error"]["message"]
    assert reference(url) == before
    ready = httpx.get(f"{url}/health/ready")
    assert ready.status_code == 200
    (told,) = [one for one in ready.json()["failed"] if one["model"] == CHAT]
    assert "planted in a pass" in told["last"]
    counted = {
        sample.labels["model"]: sample.value
        for family in text_string_to_metric_families(httpx.get(f"{url}/metrics").text)
        for sample in family.samples
        if sample.name == "gateway_engine_failures_total"
    }
    assert counted[CHAT] == told["failures"]


def failed(url: str) -> dict[str, Any]:
    """What ready says of the model."""
    told = httpx.get(f"{url}/health/ready").json()["failed"]
    return next(one for one in told if one["model"] == CHAT)


def served_soon(url: str) -> Any:
    """The reference's answer, which may take no more than five seconds."""
    begun = time.perf_counter()
    found = reference(url)
    assert time.perf_counter() - begun < 5
    return found


@pytest.mark.parametrize("code", [1, 2, -1, -2, -3])
def test_where_llama_decode_fails_its_request_is_told_and_the_next_one_answered(
    url: str, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    before = reference(url)
    lib = library.load()
    with monkeypatch.context() as planted:
        planted.setattr(lib, "llama_decode", lambda *_: code)
        answered = httpx.post(f"{url}/v1/completions", json=ASKED, timeout=60)
        assert answered.status_code == 500
        assert f"llama_decode answered {code}" in answered.json()["error"]["message"]
    assert served_soon(url) == before
    assert f"llama_decode answered {code}" in failed(url)["last"]
    assert not failed(url)["down"]


def test_where_memory_is_refused_ready_says_so_and_the_engine_comes_back(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = reference(url)

    def refuse(*_: object, **__: object) -> None:
        raise ModelLoadError("no memory for a context")

    def fail(_: Engine) -> None:
        raise MemoryError("planted in a pass")

    with monkeypatch.context() as planted:
        planted.setattr(Engine, "_pass", fail)
        planted.setattr(Context, "__init__", refuse)
        for said in ("planted in a pass", "no memory for a context"):
            answered = httpx.post(f"{url}/v1/completions", json=ASKED, timeout=60)
            assert answered.status_code == 503
            assert said in answered.json()["error"]["message"]
        ready = httpx.get(f"{url}/health/ready")
        assert (ready.status_code, ready.json()["status"]) == (503, "failed")
        assert failed(url)["down"]
        assert "no memory" in failed(url)["last"]
    assert served_soon(url) == before
    assert httpx.get(f"{url}/health/ready").status_code == 200
