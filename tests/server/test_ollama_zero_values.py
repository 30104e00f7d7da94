"""A program in Go sends a struct's fields whether or not they were set: their zero values ask for
nothing, in every request of Ollama's client (`api/types.go`, 0.33)."""

from typing import Any

import pytest

from tests.server.test_asks_for_nothing import TURN, client

__all__ = ["client"]

TEXT, POINTER, NUMBER, FLAG = "", None, 0, False
LIST: list[object] = []
MAP: dict[str, object] = {}
GENERATION: dict[str, Any] = {
    "stream": POINTER,
    "format": POINTER,
    "keep_alive": POINTER,
    "options": POINTER,
    "think": POINTER,
    "truncate": POINTER,
    "shift": POINTER,
    "_debug_render_only": FLAG,
    "logprobs": FLAG,
    "top_logprobs": NUMBER,
}
NAMED: dict[str, Any] = {"name": TEXT, "insecure": FLAG, "username": TEXT, "password": TEXT}
ZEROS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "GenerateRequest": (
        "/api/generate",
        {"prompt": "Hi"},
        {
            **GENERATION,
            **dict.fromkeys(("suffix", "system", "template"), TEXT),
            "context": POINTER,
            "raw": FLAG,
            "images": POINTER,
        },
    ),
    "GenerateRequest, to load": (
        "/api/generate",
        {},
        {**GENERATION, **dict.fromkeys(("prompt", "suffix", "system", "template"), TEXT)},
    ),
    "ChatRequest": ("/api/chat", {"messages": TURN}, {**GENERATION, "tools": POINTER}),
    "ChatRequest, to load": ("/api/chat", {}, {**GENERATION, "tools": LIST, "messages": POINTER}),
    "Message": (
        "/api/chat",
        {
            "messages": [
                {
                    "role": "user",
                    "content": TEXT,
                    "thinking": TEXT,
                    "images": POINTER,
                    "tool_calls": POINTER,
                    "tool_name": TEXT,
                    "tool_call_id": TEXT,
                }
            ]
        },
        {},
    ),
    "Options and Runner": (
        "/api/chat",
        {"messages": TURN},
        {
            "options": {
                **dict.fromkeys(("num_keep", "seed", "top_k", "repeat_last_n", "num_ctx"), NUMBER),
                **dict.fromkeys(("num_batch", "num_gpu", "num_thread", "min_p"), NUMBER),
                **dict.fromkeys(("temperature", "presence_penalty", "frequency_penalty"), NUMBER),
                **dict.fromkeys(("typical_p", "draft_num_predict"), NUMBER),
                "main_gpu": POINTER,
                "use_mmap": POINTER,
                "stop": POINTER,
            }
        },
    ),
    "EmbedRequest": (
        "/api/embed",
        {"input": "Hi"},
        {"keep_alive": POINTER, "truncate": POINTER, "dimensions": NUMBER, "options": POINTER},
    ),
    "EmbedRequest of nothing": ("/api/embed", {}, {"input": POINTER, "options": POINTER}),
    "EmbeddingRequest": (
        "/api/embeddings",
        {"prompt": "Hi"},
        {"keep_alive": POINTER, "options": POINTER},
    ),
    "EmbeddingRequest of nothing": ("/api/embeddings", {}, {"prompt": TEXT, "options": POINTER}),
    "ShowRequest": (
        "/api/show",
        {},
        {"system": TEXT, "template": TEXT, "verbose": FLAG, "options": POINTER, "name": TEXT},
    ),
    "PullRequest": ("/api/pull", {}, {**NAMED, "stream": POINTER}),
}
"""The struct; where it is sent; what of it is set; and all its other fields, unset."""
OF_THE_OPERATOR: dict[str, tuple[str, str, dict[str, Any]]] = {
    "CreateRequest": (
        "POST",
        "/api/create",
        {
            **dict.fromkeys(("model", "name", "quantize", "draft_quantize", "quantization"), TEXT),
            **dict.fromkeys(("from", "remote_host", "template", "system", "renderer"), TEXT),
            **dict.fromkeys(("parser", "requires"), TEXT),
            **dict.fromkeys(("files", "draft_files", "adapters", "parameters", "info"), MAP),
            "license": POINTER,
            "messages": LIST,
            "stream": POINTER,
        },
    ),
    "PushRequest": ("POST", "/api/push", {"model": TEXT, **NAMED, "stream": POINTER}),
    "CopyRequest": ("POST", "/api/copy", {"source": TEXT, "destination": TEXT}),
    "DeleteRequest": ("DELETE", "/api/delete", {"model": TEXT, "name": TEXT}),
}


def whole(path: str) -> dict[str, Any]:
    """Asks for an answer in one piece, where it would come in several."""
    return {"stream": False} if path in ("/api/chat", "/api/generate") else {}


@pytest.mark.parametrize("struct", ZEROS)
def test_zero_values_ask_for_nothing(client: Any, struct: str) -> None:
    path, given, zeros = ZEROS[struct]
    found = client.post(path, json={"model": "fake", **given, **zeros, **whole(path)})
    assert found.status_code == 200, found.text


@pytest.mark.parametrize("struct", ZEROS)
def test_zero_values_are_taken_field_by_field(client: Any, struct: str) -> None:
    path, given, zeros = ZEROS[struct]
    for name, zero in zeros.items():
        found = client.post(path, json={"model": "fake", **given, **whole(path), name: zero})
        assert found.status_code == 200, (name, found.text)


@pytest.mark.parametrize("struct", OF_THE_OPERATOR)
def test_a_request_that_would_change_models_is_refused_for_that_and_no_field(
    client: Any, struct: str
) -> None:
    method, path, zeros = OF_THE_OPERATOR[struct]
    found = client.request(method, path, json=zeros)
    assert found.status_code == 403
    assert "not enabled on this server" in found.json()["error"]


def test_a_model_that_is_here_is_pulled_and_another_one_is_not(client: Any) -> None:
    found = client.post("/api/pull", json={"model": "fake"})
    assert (found.status_code, found.json()) == (200, {"status": "success"})
    refused = client.post("/api/pull", json={"model": "other"})
    assert refused.status_code == 403
    assert "gateway models pull" in refused.json()["error"]
