"""What Ollama's API does with nonsense, with what cannot be honoured, and with failures."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import ollama
import pytest

from gateway.backends.fake import FakeBackend
from gateway.backends.pool import ModelPool
from gateway.core.errors import BackendUnavailable
from gateway.core.types import Delta, GenerationRequest
from gateway.server.app import create_app
from gateway.server.ollama.keep_alive import seconds_of
from gateway.server.settings import Limits, Settings
from tests.server.conftest import fake_models, serving
from tests.server.test_edge import NONSENSE

ASKED: dict[str, dict[str, Any]] = {
    "/api/chat": {"model": "fake", "messages": [{"role": "user", "content": "Hi"}]},
    "/api/generate": {"model": "fake", "prompt": "Hi"},
}
BOTH: dict[str, Any] = {
    "format": "yaml",
    "top_logprobs": 3,
    "think": True,
    "keep_alive": "five minutes",
    "stream": "yes",
    "options.temperature": "hot",
    "options.seed": -1,
    "options.top_p": 0,
    "options.num_predict": 0,
    "options.num_ctx": -1,
    "options.stop": [""],
    "options.repeat_last_n": -2,
    "options.mirostat": 2,
    "options.typical_p": 0.5,
    "options.tfs_z": 0.5,
    "options.num_thread": "many",
    "options.vocab_only": True,
    "options.wizardry": 1,
    "wizardry": 1,
}
"""What neither endpoint takes."""
GENERATE = {
    "suffix": "end",
    "template": "{{ .Prompt }}",
    "context": [1, 2, 3],
    "images": ["aGVsbG8="],
    "width": 64,
}
TOO_LARGE = "more than the limit"
"""Refused before a wire format is known; below, with a body that fits what a socket holds."""
REFUSED = [
    *((path, field, value) for path in ASKED for field, value in BOTH.items()),
    *(("/api/generate", field, value) for field, value in GENERATE.items()),
]
NEUTRAL: dict[str, Any] = {
    "format": "",
    "think": False,
    "truncate": True,
    "shift": True,
    "logprobs": False,
    "keep_alive": "5m",
    "options": {
        "temperature": None,
        "mirostat": 0,
        "typical_p": 1.0,
        "tfs_z": 1,
        "num_gpu": None,
        "repeat_last_n": -1,
        "num_predict": -2,
    },
}


@pytest.fixture(scope="module")
def plain() -> Iterator[httpx.Client]:
    """A server on the fake model with every default."""
    app = create_app(ModelPool(fake_models()), Settings(log_requests=False))
    with serving(app) as url, httpx.Client(base_url=url, timeout=60) as client:
        yield client


def error(answer: httpx.Response) -> str:
    assert answer.headers["content-type"] == "application/json"
    found = answer.json()
    assert set(found) == {"error"}
    return str(found["error"])


def with_field(body: dict[str, Any], field: str, value: Any) -> dict[str, Any]:
    name, _, inner = field.partition(".")
    return {**body, name: {inner: value} if inner else value}


@pytest.mark.parametrize(("path", "field", "value"), REFUSED)
def test_what_can_not_be_honoured_is_refused_by_its_name(
    plain: httpx.Client, path: str, field: str, value: Any
) -> None:
    answer = plain.post(path, json=with_field(ASKED[path], field, value))
    assert answer.status_code == 400
    assert field.split(".")[-1] in error(answer)


@pytest.mark.parametrize("path", list(ASKED))
def test_values_that_ask_for_nothing_are_accepted(plain: httpx.Client, path: str) -> None:
    bare = plain.post(path, json={**ASKED[path], "stream": False}).json()
    full = plain.post(path, json={**ASKED[path], **NEUTRAL, "stream": False}).json()
    key = "message" if path == "/api/chat" else "response"
    assert full[key] == bare[key]
    assert bare["done"] is True


def test_messages_hold_what_the_model_can_read(plain: httpx.Client) -> None:
    turns: list[tuple[dict[str, Any], str]] = [
        ({"role": "wizard", "content": "x"}, "role"),
        ({"role": "user", "content": "x", "images": ["aGVsbG8="]}, "images"),
        ({"role": "user", "content": "x", "tool_name": "f"}, "tool_name"),
        ({"role": "user", "content": "a\0b"}, "NUL"),
    ]
    for turn, said in turns:
        answer = plain.post("/api/chat", json={"model": "fake", "messages": [turn]})
        assert answer.status_code == 400
        assert said in error(answer)


def test_raw_mode_takes_no_system_text(plain: httpx.Client) -> None:
    body = {**ASKED["/api/generate"], "raw": True, "system": "Be brief."}
    answer = plain.post("/api/generate", json=body)
    assert answer.status_code == 400
    assert "raw mode does not support system" in error(answer)


@pytest.mark.parametrize("path", list(ASKED))
@pytest.mark.parametrize("what", [what for what in NONSENSE if what != TOO_LARGE])
def test_nonsense_is_refused_and_the_next_request_answered(
    plain: httpx.Client, path: str, what: str
) -> None:
    content, status = NONSENSE[what]
    answer = plain.post(path, content=content, headers={"content-type": "application/json"})
    assert answer.status_code == status
    assert error(answer)
    assert plain.post(path, json={**ASKED[path], "stream": False}).status_code == 200


def test_a_missing_model_or_body_is_told_in_ollama_s_words(plain: httpx.Client) -> None:
    for path in (*ASKED, "/api/show", "/api/embed"):
        answer = plain.post(path, json={"input": "x"} if path == "/api/embed" else {})
        assert (answer.status_code, error(answer)) == (400, "model is required")
    assert error(plain.post("/api/generate")) == "missing request body"


def test_a_body_is_json_whatever_its_content_type_says(plain: httpx.Client) -> None:
    content = b'{"model": "fake", "prompt": "Hi", "stream": false}'
    for kind in ("application/x-www-form-urlencoded", "text/plain", ""):
        headers = {"content-type": kind} if kind else {}
        answer = plain.post("/api/generate", content=content, headers=headers)
        assert answer.status_code == 200
        assert answer.json()["response"]


def test_answers_are_streamed_as_lines_unless_told_otherwise(plain: httpx.Client) -> None:
    for path, body in ASKED.items():
        for stream in ({}, {"stream": None}, {"stream": True}):
            answer = plain.post(path, json={**body, **stream})
            assert answer.headers["content-type"] == "application/x-ndjson"
            assert answer.text.endswith("\n")
            assert len(answer.text.splitlines()) > 1


def test_a_failure_inside_a_stream_comes_as_its_last_line() -> None:
    class Failing(FakeBackend):
        async def stream(self, request: GenerationRequest) -> AsyncIterator[Delta]:
            yield Delta("so far")
            raise BackendUnavailable("the model was closed")

    app = create_app(ModelPool(fake_models(), loader=Failing), Settings(log_requests=False))
    said: list[str | None] = []
    with serving(app) as url, ollama.Client(url) as client:
        parts = client.generate("fake", "Hi", stream=True)
        with pytest.raises(ollama.ResponseError, match="the model was closed"):
            said.extend(part.response for part in parts)
    assert said == ["so far"]


def test_a_failure_before_a_stream_s_first_line_has_its_own_status() -> None:
    class Failing(FakeBackend):
        async def stream(self, request: GenerationRequest) -> AsyncIterator[Delta]:
            nothing: tuple[Delta, ...] = ()
            for delta in nothing:
                yield delta
            raise BackendUnavailable("the model was closed")

    app = create_app(ModelPool(fake_models(), loader=Failing), Settings(log_requests=False))
    with serving(app) as url:
        answer = httpx.post(f"{url}/api/generate", json=ASKED["/api/generate"])
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert "the model was closed" in error(answer)


def test_a_body_above_the_limit_is_refused() -> None:
    limits = Limits(body_bytes=1000)
    app = create_app(ModelPool(fake_models()), Settings(limits=limits, log_requests=False))
    with serving(app) as url:
        answer = httpx.post(f"{url}/api/generate", json={"model": "fake", "prompt": "x" * 2000})
    assert answer.status_code == 413
    assert error(answer)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (0, 0.0),
        (300, 300.0),
        (0.5, 0.5),
        ("0", 0.0),
        ("0s", 0.0),
        ("5m", 300.0),
        ("1h30m", 5400.0),
        ("1.5h", 5400.0),
        ("300ms", 0.3),
        ("+2s", 2.0),
        (-1, None),
        ("-1m", None),
        ("1000000h", None),
    ],
)
def test_durations_are_read_as_ollama_reads_them(value: float | str, seconds: float | None) -> None:
    assert seconds_of(value) == seconds


@pytest.mark.parametrize("text", ["", "5", "m", "5 m", "5d", "-", "1h-1m", "5m\n", "1e3s", "m5"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no duration"):
        seconds_of(text)
