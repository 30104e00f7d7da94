"""Bodies are JSON, whatever is said of them; what is none is refused, by every API in its shape."""

import gzip
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from gateway.backends.pool import ModelPool
from gateway.server.app import create_app
from gateway.server.settings import Settings
from tests.server.conftest import fake_models, serving

TURN = [{"role": "user", "content": "Hi"}]
ASKED: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": TURN, "max_tokens": 2},
    "/v1/completions": {"prompt": "Hi"},
    "/v1/responses": {"input": "Hi", "max_output_tokens": 2},
    "/v1/embeddings": {"input": "Hi"},
    "/v1/messages": {"messages": TURN, "max_tokens": 2},
    "/v1/messages/count_tokens": {"messages": TURN},
    "/v1/rerank": {"query": "Hi", "documents": ["Ho"]},
    "/v1/score": {"prompt": "Hi", "labels": ["a", "b"]},
    "/tokenize": {"text": "Hi"},
    "/api/chat": {"messages": TURN, "stream": False},
    "/api/generate": {"prompt": "Hi", "stream": False},
    "/api/embed": {"input": "Hi"},
    "/api/show": {},
}
KINDS = (
    *("", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"),
    "application/octet-stream",
)
GOOD = json.dumps({"model": "fake", **ASKED["/v1/chat/completions"]}).encode()
NONE: dict[str, bytes] = {
    "nothing": b"",
    "half": GOOD[:-1],
    "two documents": GOOD + GOOD,
    "bytes that are no UTF-8": GOOD.replace(b"Hi", b"\xff\xfe"),
    "not a number": GOOD[:-1] + b', "tools": [{"parameters": {"a": NaN}}]}',
    "infinity": GOOD[:-1] + b', "metadata": {"a": -Infinity}}',
    "deep": b"[" * 100_000,
    "an integer of 10,000 digits": b"1" * 10_000,
    "compressed": gzip.compress(GOOD),
    "a text": b"Hi",
}
PATHS = ("/v1/chat/completions", "/v1/messages", "/api/chat", "/v1/rerank")


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    app = create_app(ModelPool(fake_models()), Settings(log_requests=False))
    with serving(app) as url, httpx.Client(base_url=url, timeout=60) as made:
        yield made


def reason(path: str, answered: httpx.Response) -> str:
    """What the error says; it has the shape of the API that the path belongs to."""
    found = answered.json()
    if path.startswith("/api/"):
        assert set(found) == {"error"}
        return str(found["error"])
    if path.startswith("/v1/messages"):
        assert (set(found), found["type"]) == ({"type", "error"}, "error")
        assert set(found["error"]) == {"type", "message"}
    else:
        assert set(found["error"]) == {"message", "type", "param", "code"}
    return str(found["error"]["message"])


@pytest.mark.parametrize("path", ASKED)
def test_a_body_is_json_whatever_its_content_type_says(client: httpx.Client, path: str) -> None:
    content = json.dumps({"model": "fake", **ASKED[path]})
    for kind in KINDS:
        headers = {"content-type": kind} if kind else {}
        answered = client.post(path, content=content, headers=headers)
        assert answered.status_code == 200, (kind, answered.text)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("what", NONE)
def test_what_is_no_json_is_refused(client: httpx.Client, path: str, what: str) -> None:
    answered = client.post(path, content=NONE[what])
    assert answered.status_code == 400, answered.text
    assert reason(path, answered)


@pytest.mark.parametrize("path", PATHS)
def test_a_body_in_pieces_without_its_length_is_read_to_the_limit(
    client: httpx.Client, path: str
) -> None:
    content = json.dumps({"model": "fake", **ASKED[path]}).encode()
    answered = client.post(path, content=iter([content[:9], content[9:]]))
    assert answered.status_code == 200
    answered = client.post(path, content=iter([b" " * 1_000_000] * 6))
    assert answered.status_code == 413
    assert "bytes" in reason(path, answered)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"])
def test_another_method_is_told_which_there_are(
    client: httpx.Client, path: str, method: str
) -> None:
    answered = client.request(method, path)
    assert (answered.status_code, answered.headers["allow"]) == (405, "POST")
    assert reason(path, answered) == "Method Not Allowed"


@pytest.mark.parametrize("path", ["/nope", "/v1/nope", "/v1/messages/nope", "/api/nope", "/v1//x"])
def test_an_unknown_path_is_told_in_the_shape_of_its_api(client: httpx.Client, path: str) -> None:
    answered = client.post(path, content=GOOD)
    assert answered.status_code == 404
    assert reason(path, answered) == "Not Found"


@pytest.mark.parametrize("accept", ["text/html", "text/event-stream", "*/*;q=0", "garbage", ""])
def test_an_answer_is_json_whatever_is_accepted(client: httpx.Client, accept: str) -> None:
    answered = client.post("/v1/chat/completions", content=GOOD, headers={"accept": accept})
    assert answered.headers["content-type"] == "application/json"
    assert answered.json()["choices"]


@pytest.mark.parametrize(
    ("name", "status"),
    [
        *(("fake", 200), ("fake%3Alatest", 200), ("%66ake", 200), ("a%2Fb", 404), ("a/b", 404)),
        *(("%ff", 404), ("fake/", 404), ("%00", 404), ("x" * 5000, 404)),
    ],
)
def test_a_model_is_found_by_its_name_however_it_is_written(
    client: httpx.Client, name: str, status: int
) -> None:
    answered = client.get(f"/v1/models/{name}")
    assert answered.status_code == status
    assert len(answered.text) < 500


def test_what_an_error_quotes_is_short(client: httpx.Client) -> None:
    long = "x" * 100_000
    for body in ({"model": long, "messages": TURN}, {"model": "fake", "messages": TURN, long: 1}):
        for path in PATHS[:3]:
            answered = client.post(path, json=body)
            assert answered.status_code in (400, 404)
            assert len(answered.text) < 1000
