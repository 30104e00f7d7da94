"""Anthropic's Messages API: its wire format, on real weights and on made up answers."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from gateway.backends.pool import ModelPool
from gateway.server.app import create_app, service_of
from gateway.server.keys import create_key
from gateway.server.settings import Settings
from tests.server.conftest import CHAT, TOOLS, fake_models

URL = "/v1/messages"
HI: dict[str, Any] = {
    "model": "fake",
    "max_tokens": 4,
    "messages": [{"role": "user", "content": "Hi"}],
}
WEATHER: dict[str, Any] = {
    "name": "weather",
    "description": "The weather in a city",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 12}},
        "required": ["city"],
    },
}


@pytest.fixture(scope="module")
def plain() -> Any:
    app = create_app(ModelPool(fake_models()), Settings(log_requests=False))
    service_of(app).ready = True
    with TestClient(app, base_url="http://localhost") as made:
        yield made


def events_of(text: str) -> list[tuple[str, dict[str, Any]]]:
    found = []
    for block in text.strip().split("\n\n"):
        name, data = block.split("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def test_an_answer_has_the_fields_of_a_message(plain: httpx.Client) -> None:
    found = plain.post(URL, json=HI).json()
    (block,) = found["content"]
    assert (found["type"], found["role"], found["model"]) == ("message", "assistant", "fake")
    assert (block["type"], found["stop_reason"]) == ("text", "max_tokens")
    assert found["usage"]["output_tokens"] == 4
    assert found["usage"]["input_tokens"] > 0


def test_a_stream_is_the_whole_answer_in_anthropic_s_order(plain: httpx.Client) -> None:
    whole = plain.post(URL, json=HI).json()
    events = events_of(plain.post(URL, json={**HI, "stream": True}).text)
    assert list(dict.fromkeys(name for name, _ in events)) == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert all(name == event["type"] for name, event in events)
    told = "".join(e["delta"]["text"] for n, e in events if n == "content_block_delta")
    assert told == whole["content"][0]["text"]
    assert events[-2][1]["delta"] == {"stop_reason": "max_tokens", "stop_sequence": None}
    assert events[-2][1]["usage"] == whole["usage"]
    assert events[0][1]["message"]["usage"]["input_tokens"] == whole["usage"]["input_tokens"]


@pytest.mark.parametrize(
    "more",
    [
        {"system": "Be brief."},
        {"system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]},
        {"metadata": {"user_id": "me"}, "service_tier": "auto", "stop_sequences": []},
        {"thinking": {"type": "disabled"}, "tools": [], "top_k": 5, "top_p": 0.9},
        {"max_tokens": 10**9},
        {"context_management": None, "mcp_servers": [], "container": None, "a_new_field": None},
        {"messages": [*HI["messages"], {"role": "assistant", "content": "Well"}]},
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
                {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}]},
                {"role": "user", "content": "And?"},
            ]
        },
    ],
)
def test_what_clients_send_is_accepted(plain: httpx.Client, more: dict[str, Any]) -> None:
    found = plain.post(URL, json={**HI, **more})
    assert found.status_code == 200, found.text


@pytest.mark.parametrize(
    ("more", "status", "kind", "words"),
    [
        ({"model": "other"}, 404, "not_found_error", "no model is called"),
        ({"max_tokens": None}, 400, "invalid_request_error", "max_tokens"),
        ({"max_tokens": 0}, 400, "invalid_request_error", "asks for no token"),
        ({"messages": []}, 400, "invalid_request_error", "messages"),
        ({"wizardry": 1}, 400, "invalid_request_error", "wizardry"),
        ({"thinking": {"type": "enabled"}}, 400, "invalid_request_error", "no thoughts"),
        (
            {"tools": [{"type": "bash_20250124", "name": "bash"}]},
            400,
            "invalid_request_error",
            "bash_20250124",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]},
            400,
            "invalid_request_error",
            "messages[0].content[0]: images are not read",
        ),
        ({"tool_choice": {"type": "any"}}, 400, "invalid_request_error", "needs tools"),
        ({"tool_choice": {"type": "tool"}}, 400, "invalid_request_error", "tool_choice"),
    ],
)
def test_errors_have_anthropic_s_shape(
    plain: httpx.Client, more: dict[str, Any], status: int, kind: str, words: str
) -> None:
    found = plain.post(URL, json={**HI, **more})
    assert found.status_code == status
    error = found.json()
    assert set(error) == {"type", "error"}
    assert error["type"] == "error"
    assert error["error"]["type"] == kind
    assert words in error["error"]["message"]


def test_a_thread_is_refused_in_the_words_that_make_a_client_send_all_turns(
    plain: httpx.Client,
) -> None:
    found = plain.post(f"{URL}?beta=true", json={**HI, "thread": {"type": "create"}})
    assert found.status_code == 400
    assert found.json()["error"]["details"] == {
        "error_code": "thread_unsupported_request",
        "unsupported": ["thread"],
    }
    assert plain.post(URL, json={**HI, "thread": None}).status_code == 200
    other = plain.post(URL, json={**HI, "wizardry": 1}).json()
    assert "details" not in other["error"]


def test_a_key_is_shown_as_anthropic_s_clients_show_it(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    key = create_key(file, "me")
    app = create_app(ModelPool(fake_models()), Settings(log_requests=False, keys=file))
    with TestClient(app, base_url="http://localhost") as client:
        assert client.post(URL, json=HI).status_code == 401
        assert client.post(URL, json=HI, headers={"x-api-key": "gw-wrong"}).status_code == 401
        assert client.post(URL, json=HI, headers={"x-api-key": key}).status_code == 200


@pytest.mark.needs("llama_cpp")
@pytest.mark.parametrize("model", [CHAT, TOOLS])
def test_a_tool_is_called_and_answered(url: str, model: str) -> None:
    asked = {**HI, "model": model, "tools": [WEATHER], "max_tokens": 80}
    asked["tool_choice"] = {"type": "tool", "name": "weather"}
    with httpx.Client(base_url=url, timeout=120) as client:
        first = client.post(URL, json=asked).json()
        (call,) = first["content"]
        assert (call["type"], call["name"], set(call["input"])) == ("tool_use", "weather", {"city"})
        assert first["stop_reason"] == "tool_use"
        events = events_of(client.post(URL, json={**asked, "stream": True}).text)
        begun, delta = events[1][1], events[2][1]
        assert begun["content_block"] == {**call, "input": {}}
        assert json.loads(delta["delta"]["partial_json"]) == call["input"]
        turns = [
            *asked["messages"],
            {"role": "assistant", "content": first["content"]},
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": call["id"], "content": "rain"},
                    {"type": "text", "text": "And?"},
                ],
            },
        ]
        then = client.post(URL, json={**HI, "model": model, "messages": turns, "tools": [WEATHER]})
        assert then.status_code == 200, then.text
        counted = client.post(
            f"{URL}/count_tokens", json={"model": model, "messages": turns, "tools": [WEATHER]}
        ).json()
        assert counted == {"input_tokens": then.json()["usage"]["input_tokens"]}


@pytest.mark.needs("llama_cpp")
def test_the_sequence_that_ended_an_answer_is_told(url: str) -> None:
    with httpx.Client(base_url=url, timeout=120) as client:
        whole = client.post(URL, json={**HI, "model": CHAT, "max_tokens": 20}).json()
        stop = whole["content"][0]["text"][4:7]
        asked = {**HI, "model": CHAT, "max_tokens": 20, "stop_sequences": ["\x07", stop]}
        cut = client.post(URL, json=asked).json()
    assert (cut["stop_reason"], cut["stop_sequence"]) == ("stop_sequence", stop)
    assert cut["content"][0]["text"] == whole["content"][0]["text"].split(stop)[0]
