"""/v1/responses over a WebSocket gives what HTTP does, and goes on from its last answer."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, Request
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketDenialResponse, WebSocketTestSession
from starlette.websockets import WebSocketDisconnect

from gateway.backends.pool import ModelPool
from gateway.server.app import create_app
from gateway.server.keys import create_key
from gateway.server.openai.response_socket import ResponseSocket
from gateway.server.settings import Limits, Settings
from tests.server.conftest import fake_models

ASKED: dict[str, Any] = {"model": "fake", "input": "Say hello", "max_output_tokens": 20}
URL = "ws://localhost/v1/responses"
ENDS = ("response.completed", "response.incomplete", "response.failed", "error")


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    limits = Limits(body_bytes=20_000)
    app = create_app(ModelPool(fake_models()), Settings(limits, log_requests=False))
    with TestClient(app, base_url="http://localhost") as made:
        yield made


def turn(socket: WebSocketTestSession, **fields: Any) -> list[dict[str, Any]]:
    """All events of one answer."""
    socket.send_json({"type": "response.create", **ASKED, **fields})
    events = [socket.receive_json()]
    while events[-1]["type"] not in ENDS:
        events.append(socket.receive_json())
    return events


def test_the_events_are_those_of_http(client: TestClient) -> None:
    streamed = client.post("/v1/responses", json={**ASKED, "stream": True}).text
    with client.websocket_connect(URL) as socket:
        events, again = turn(socket), turn(socket)
    kinds = [event["type"] for event in events]
    assert kinds == [line[7:] for line in streamed.split("\n") if line.startswith("event: ")]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    texts = [e[-1]["response"]["output"][0]["content"][0]["text"] for e in (events, again)]
    assert texts[0] == texts[1] == "".join(e.get("delta", "") for e in events)


def test_the_next_message_goes_on_from_the_last_answer(client: TestClient) -> None:
    with client.websocket_connect(URL) as socket:
        first = turn(socket)[-1]["response"]
        second = turn(socket, input="And then?", previous_response_id=first["id"])[-1]["response"]
        third = turn(socket, input=[], previous_response_id=second["id"])[-1]["response"]
    turns = [
        {"role": "user", "content": "Say hello"},
        *first["output"],
        {"role": "user", "content": "And then?"},
    ]
    whole = client.post("/v1/responses", json={**ASKED, "input": turns}).json()
    assert whole["usage"] == second["usage"]
    assert (first["previous_response_id"], second["previous_response_id"]) == (None, first["id"])
    assert third["usage"]["input_tokens"] > second["usage"]["input_tokens"]


def test_a_prompt_is_read_without_an_answer_and_gone_on_from(client: TestClient) -> None:
    with client.websocket_connect(URL) as socket:
        events = turn(socket, generate=False)
        warm = events[-1]["response"]
        second = turn(socket, input="Now", previous_response_id=warm["id"])[-1]["response"]
        plain = turn(socket, generate=True)[-1]["response"]
    kinds = [event["type"] for event in events]
    assert kinds == ["response.created", "response.in_progress", "response.completed"]
    assert [event["sequence_number"] for event in events] == [0, 1, 2]
    assert (warm["status"], warm["output"], warm["incomplete_details"]) == ("completed", [], None)
    turns = [{"role": "user", "content": text} for text in ("Say hello", "Now")]
    whole = client.post("/v1/responses", json={**ASKED, "input": turns}).json()
    assert (second["usage"], second["output"][0]["content"]) == (
        whole["usage"],
        whole["output"][0]["content"],
    )
    assert warm["usage"]["input_tokens"] == plain["usage"]["input_tokens"]
    assert warm["usage"]["output_tokens"] == 0


@pytest.mark.parametrize(("limit", "told"), [(50.0, 50), (-1, -1), (None, None), (0, 400)])
def test_without_an_answer_too_a_limit_is_told_or_refused(
    client: TestClient, limit: Any, told: int | None
) -> None:
    with client.websocket_connect(URL) as socket:
        end = turn(socket, generate=False, max_output_tokens=limit)[-1]
    shown = end["status"] if end["type"] == "error" else end["response"]["max_output_tokens"]
    assert shown == told


def test_what_failed_is_not_gone_on_from(client: TestClient) -> None:
    output = [{"type": "function_call_output", "call_id": "none", "output": "rain"}]
    with client.websocket_connect(URL) as socket:
        first = turn(socket)[-1]["response"]["id"]
        (failed,) = turn(socket, input=output, previous_response_id=first)
        (gone,) = turn(socket, previous_response_id=first)
        assert turn(socket)[-1]["type"] != "error"
    assert (failed["status"], failed["error"]["code"]) == (400, "invalid_value")
    assert (gone["status"], gone["error"]["code"]) == (400, "previous_response_not_found")


def test_nothing_outlives_the_connection(client: TestClient) -> None:
    with client.websocket_connect(URL) as socket:
        first = turn(socket)[-1]["response"]["id"]
    with client.websocket_connect(URL) as socket:
        (event,) = turn(socket, previous_response_id=first)
    assert event["error"]["param"] == "previous_response_id"


@pytest.mark.parametrize(
    ("message", "status", "code"),
    [
        ("{", 400, "invalid_json"),
        ("[]", 400, "invalid_json"),
        ("[" * 100_000, 400, "invalid_json"),
        (f'{{"type": "response.create", "x": {"[" * 990}{"]" * 990}}}', 400, ""),
        ('{"type": "response.cancel"}', 400, "invalid_value"),
        ("{}", 400, "invalid_value"),
        ('{"type": "response.create"}', 400, "missing_required_parameter"),
        ('{"type": "response.create", "generate": 0, "input": "Hi"}', 400, "invalid_value"),
        ('{"type": "response.create", "generate": false}', 400, "missing_required_parameter"),
        ('{"type": "response.create", "model": "x", "input": "Hi"}', 404, "model_not_found"),
        ('{"type": "response.create", "model": "fake", "input": NaN}', 400, "invalid_json"),
        ('{"type": "response.create", "model": "fake", "y": 1, "input": "Hi"}', 400, "unknown_"),
        (f'{{"type": "response.create", "input": "{"x" * 20_000}"}}', 413, "request_too_large"),
    ],
)
def test_what_is_no_request_is_refused_and_the_next_one_is_served(
    client: TestClient, message: str, status: int, code: str
) -> None:
    with client.websocket_connect(URL) as socket:
        socket.send_text(message)
        event = socket.receive_json()
        assert (event["type"], event["status"]) == ("error", status), event
        assert event["error"]["code"].startswith(code)
        assert event["error"]["message"]
        socket.send_bytes(b"\xff")
        assert socket.receive_json()["error"]["code"] == "invalid_json"
        assert turn(socket)[-1]["type"] in ENDS[:2]


def test_a_foreign_page_and_a_caller_without_a_key_get_no_connection(tmp_path: Path) -> None:
    key = create_key(tmp_path / "keys.json", "me", requests_per_minute=2)
    settings = Settings(keys=tmp_path / "keys.json", log_requests=False)
    with TestClient(create_app(ModelPool(fake_models()), settings), "http://localhost") as client:
        foreign = {"origin": "https://elsewhere.example", "authorization": f"Bearer {key}"}
        for headers, status in ((foreign, 403), ({}, 401), ({"authorization": "Bearer no"}, 401)):
            with pytest.raises(WebSocketDenialResponse) as denied:
                client.websocket_connect(URL, headers=headers).__enter__()
            assert denied.value.status_code == status
        shown = {"authorization": f"Bearer {key}"}
        with client.websocket_connect(URL, headers=shown) as socket:
            assert turn(socket)[-1]["type"] in ENDS[:2]
            assert turn(socket)[0]["error"]["code"] == "rate_limit_exceeded"


async def until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def other_app(socket: ResponseSocket) -> FastAPI:
    """An application that answers nobody, as long as somebody waits."""
    app, router = FastAPI(), APIRouter()
    socket.add_to(router)
    router.post("/responses")(until_gone)
    app.include_router(router)
    return app


def test_a_connection_ends_after_its_time() -> None:
    with TestClient(other_app(ResponseSocket(lasts=0.0))).websocket_connect("/responses") as socket:
        assert socket.receive_json()["error"]["code"] == "websocket_connection_limit_reached"
        with pytest.raises(WebSocketDisconnect):
            socket.receive_json()


def test_who_sends_ahead_without_end_is_cut_off() -> None:
    with TestClient(other_app(ResponseSocket())).websocket_connect("/responses") as socket:
        for _ in range(8):
            socket.send_json({"type": "response.create"})
        with pytest.raises(WebSocketDisconnect) as cut:
            socket.receive_json()
    assert cut.value.code == 1008
