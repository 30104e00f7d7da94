"""What a server does with those who may not ask, ask too much, or ask nonsense."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from gateway.backends.fake import FakeBackend
from gateway.backends.pool import ModelPool
from gateway.backends.protocol import Backend
from gateway.core.errors import BackendUnavailable, ConfigError
from gateway.core.types import Delta, GenerationRequest
from gateway.models.file import Models
from gateway.models.spec import ModelSpec, PathSource
from gateway.server.app import create_app, service_of
from gateway.server.keys import create_key, read_keys, revoke_key
from gateway.server.running import check_exposure
from gateway.server.settings import Limits, Settings
from tests.server.conftest import fake_models, serving
from tests.server.waiting import wait_until

CHAT = {"model": "fake", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 20}
URL = "/v1/chat/completions"


def slow(seconds: float) -> Any:
    def load(spec: ModelSpec, path: Path) -> Backend:
        return FakeBackend(spec, path, delay_s=seconds)

    return load


@pytest.fixture(scope="module")
def plain() -> Iterator[httpx.Client]:
    """A server on the fake model with every default."""
    app = create_app(ModelPool(fake_models()), Settings(log_requests=False))
    with serving(app) as url, httpx.Client(base_url=url, timeout=60) as client:
        yield client


def error(response: httpx.Response) -> dict[str, Any]:
    found = response.json()["error"]
    assert set(found) == {"message", "type", "param", "code"}
    return dict(found)


NONSENSE: dict[str, tuple[bytes, int]] = {
    "random bytes": (bytes(range(256)) * 8, 400),
    "half a document": (b'{"model": "fake", "messages": [', 400),
    "an array": (b"[1, 2]", 400),
    "nothing": (b"", 400),
    "deep JSON": (b"[" * 100_000 + b"]" * 100_000, 400),
    "deep schema": (
        json.dumps({**CHAT, "response_format": None})[:-1].encode()
        + b', "tools": '
        + b'[{"a":' * 5000
        + b"1"
        + b"}]" * 5000
        + b"}",
        400,
    ),
    "a huge integer": (
        json.dumps({**CHAT, "seed": 0}).replace(": 0}", ": 1" + "0" * 5000 + "}").encode(),
        400,
    ),
    "a large integer": (json.dumps({**CHAT, "seed": 1 << 70}).encode(), 400),
    "a number beyond floats": (json.dumps(CHAT)[:-1].encode() + b', "temperature": 1e999}', 400),
    "not a number": (json.dumps(CHAT)[:-1].encode() + b', "temperature": NaN}', 400),
    "a lone surrogate": (
        b'{"model": "fake", "messages": [{"role": "user", "content": "\\ud800"}]}',
        400,
    ),
    "a lone surrogate as model": (
        b'{"model": "\\ud800", "messages": [{"role": "user", "content": "x"}]}',
        400,
    ),
    "a lone surrogate as a field": (b'{"model": "fake", "\\ud800": 1, "messages": []}', 400),
    "an escaped NUL": (
        b'{"model": "fake", "messages": [{"role": "user", "content": "a\\u0000b"}]}',
        400,
    ),
    "a raw NUL": (b'{"model": "fake\0"}', 400),
    "a megabyte": (
        json.dumps({**CHAT, "messages": [{"role": "user", "content": "word " * 200_000}]}).encode(),
        400,
    ),
    "more than the limit": (b" " * (5 << 20), 413),
}


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_is_refused_with_the_error_object_and_the_next_request_answered(
    plain: httpx.Client, name: str
) -> None:
    body, status = NONSENSE[name]
    headers = {"content-type": "application/json"}
    refused = plain.post(URL, content=body, headers=headers)
    assert refused.status_code == status, refused.text
    assert error(refused)["type"] == "invalid_request_error"
    assert plain.post(URL, json=CHAT).status_code == 200


def test_a_body_announced_too_large_is_refused_before_it_is_sent(plain: httpx.Client) -> None:
    head = f"POST {URL} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n"
    with socket.create_connection((plain.base_url.host, plain.base_url.port or 80), 30) as link:
        link.sendall(head.encode())
        assert link.recv(4096).startswith(b"HTTP/1.1 413")


def test_unknown_paths_and_methods_have_the_error_object(plain: httpx.Client) -> None:
    assert error(plain.get("/v1/nothing"))["code"] == "unknown_url"
    wrong = plain.get(URL)
    assert wrong.status_code == 405
    assert wrong.headers["allow"] == "POST"
    assert error(wrong)["code"] == "method_not_allowed"


def test_every_answer_has_a_number(plain: httpx.Client) -> None:
    ids = {plain.get(path).headers["x-request-id"] for path in ("/v1/models", "/nothing", URL)}
    assert len(ids) == 3


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "localhost:8000"}, 200),
        ({"host": "[::1]:8000"}, 200),
        ({"host": "192.168.0.7"}, 200),
        ({"host": "evil.example"}, 403),
        ({"host": "127.0.0.1.evil.example"}, 403),
        ({"host": ""}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"host": "localhost:8000", "origin": "http://localhost:8000"}, 200),
    ],
)
def test_other_sites_pages_are_kept_out(
    plain: httpx.Client, headers: dict[str, str], status: int
) -> None:
    answer = plain.get("/v1/models", headers=headers)
    assert answer.status_code == status
    if status == 403:
        assert "access-control-allow-origin" not in answer.headers
        assert error(answer)["code"] == "forbidden"


def test_an_allowed_origin_may_ask() -> None:
    settings = Settings(origins=("https://app.example",), log_requests=False)
    with serving(create_app(ModelPool(fake_models()), settings)) as url:
        origin = {"origin": "https://app.example"}
        answer = httpx.get(f"{url}/v1/models", headers=origin)
        assert answer.headers["access-control-allow-origin"] == "https://app.example"
        asked = {**origin, "access-control-request-method": "POST"}
        assert httpx.options(f"{url}{URL}", headers=asked).status_code == 200
        assert (
            httpx.get(f"{url}/v1/models", headers={"origin": "http://b.example"}).status_code == 403
        )


def test_keys_open_what_they_are_for_until_they_are_revoked(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    good = create_key(file, "good")
    other = create_key(file, "other", models=["another"])
    assert good not in file.read_text()
    app = create_app(ModelPool(fake_models()), Settings(keys=file, log_requests=False))
    with serving(app) as url, httpx.Client(base_url=url) as client:

        def ask(key: str) -> httpx.Response:
            return client.post(URL, json=CHAT, headers={"authorization": f"Bearer {key}"})

        assert client.get("/health/live").status_code == 200
        without = client.post(URL, json=CHAT)
        assert without.status_code == 401
        assert without.headers["www-authenticate"] == "Bearer"
        assert error(without)["code"] == "invalid_api_key"
        assert ask("gw-wrong").status_code == 401
        assert client.get("/metrics").status_code == 401
        assert ask(good).status_code == 200
        refused = ask(other)
        assert refused.status_code == 403
        listed = client.get("/v1/models", headers={"authorization": f"Bearer {other}"})
        assert listed.json()["data"] == []
        revoke_key(file, "good")
        assert ask(good).status_code == 401
    assert [key.name for key in read_keys(file)] == ["other"]


def test_a_key_has_its_rate(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    key = create_key(file, "slow", requests_per_minute=2)
    app = create_app(ModelPool(fake_models()), Settings(keys=file, log_requests=False))
    with serving(app) as url:
        headers = {"authorization": f"Bearer {key}"}
        answers = [httpx.get(f"{url}/v1/models", headers=headers) for _ in range(3)]
    assert [a.status_code for a in answers] == [200, 200, 429]
    assert 1 <= int(answers[2].headers["retry-after"]) <= 30
    assert error(answers[2])["code"] == "rate_limit_exceeded"


def test_without_keys_only_this_machine_may_ask(tmp_path: Path) -> None:
    for host in ("127.0.0.1", "::1", "localhost"):
        check_exposure(host, Settings())
    for host in ("0.0.0.0", "::", "192.168.0.7", "example.org"):
        with pytest.raises(ConfigError, match="API keys"):
            check_exposure(host, Settings())
        check_exposure(host, Settings(keys=tmp_path))


def test_more_than_the_queue_holds_is_sent_away_and_the_rest_is_answered() -> None:
    limits = Limits(running=1, waiting=2)
    pool = ModelPool(fake_models(), loader=slow(0.5))
    with (
        serving(create_app(pool, Settings(limits=limits, log_requests=False))) as url,
        ThreadPoolExecutor(8) as threads,
    ):
        answers = list(
            threads.map(lambda _: httpx.post(url + URL, json=CHAT, timeout=60), range(8))
        )
    away = [a for a in answers if a.status_code == 429]
    assert {a.status_code for a in answers} == {200, 429}
    assert len(away) >= 3
    assert all(int(a.headers["retry-after"]) >= 1 for a in away)


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_that_takes_too_long_is_ended_and_frees_its_place(stream: bool) -> None:
    pool = ModelPool(fake_models(), loader=slow(30.0))
    settings = Settings(limits=Limits(running=1, deadline_s=0.2), log_requests=False)
    app = create_app(pool, settings)
    with serving(app) as url:
        late = httpx.post(url + URL, json={**CHAT, "stream": stream}, timeout=20)
        assert late.status_code == 504
        assert error(late)["code"] == "deadline_exceeded"
    assert service_of(app).admission.running == 0


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_goes_away_frees_its_place(stream: bool) -> None:
    pool = ModelPool(fake_models(), loader=slow(30.0))
    app = create_app(pool, Settings(limits=Limits(running=1), log_requests=False))
    admission = service_of(app).admission
    with serving(app) as url:
        host, port = url.removeprefix("http://").split(":")
        body = json.dumps({**CHAT, "stream": stream}).encode()
        with socket.create_connection((host, int(port))) as connection:
            head = f"POST {URL} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
            connection.sendall(head.encode() + b"content-length: %d\r\n\r\n" % len(body) + body)
            wait_until(lambda: admission.running == 1)
        wait_until(lambda: admission.running == 0)


def test_metrics_count_requests_and_tokens(plain: httpx.Client) -> None:
    plain.post(URL, json=CHAT)
    shown = plain.get("/metrics").text
    assert 'gateway_requests_total{adapter="",model="fake",route="/v1/chat/completions"' in shown
    assert 'gateway_tokens_total{adapter="",kind="completion",model="fake"}' in shown
    assert "gateway_time_to_first_token_seconds_bucket" in shown
    assert "gateway_requests_waiting 0.0" in shown


@pytest.mark.parametrize("with_prompts", [False, True])
def test_the_log_has_a_line_a_request_and_prompts_only_where_asked(
    capfd: pytest.CaptureFixture[str], with_prompts: bool
) -> None:
    secret = "the colour of my bicycle"
    asked = {**CHAT, "messages": [{"role": "user", "content": secret}]}
    app = create_app(ModelPool(fake_models()), Settings(log_prompts=with_prompts))
    with serving(app) as url:
        number = httpx.post(url + URL, json=asked).headers["x-request-id"]
    said = capfd.readouterr().err
    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    (line,) = [line for line in lines if line["id"] == number]
    assert (line["model"], line["status"], line["completion_tokens"]) == ("fake", 200, 20)
    assert (secret in said) is with_prompts


def test_readiness_follows_loading_and_draining() -> None:
    app = create_app(ModelPool(fake_models()), Settings(log_requests=False))
    service = service_of(app)
    with serving(app) as url:
        for path in ("/health", "/health/ready"):
            assert httpx.get(url + path).json() == {"status": "loading"}
        service.ready = True
        assert httpx.get(f"{url}/health/ready").status_code == 200
        service.admission.drain()
        assert httpx.get(f"{url}/health/ready").status_code == 503
        sent_away = httpx.post(url + URL, json=CHAT)
        assert sent_away.status_code == 503
        assert int(sent_away.headers["retry-after"]) >= 1
        assert httpx.get(f"{url}/health/live").status_code == 200


def test_a_failure_inside_a_stream_comes_as_an_event_with_the_error_object() -> None:
    class Failing(FakeBackend):
        async def stream(self, request: GenerationRequest) -> AsyncIterator[Delta]:
            yield Delta("so far")
            raise BackendUnavailable("the model was closed")

    app = create_app(ModelPool(fake_models(), loader=Failing), Settings(log_requests=False))
    with serving(app) as url:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0)
        stream = client.chat.completions.create(
            model="fake", messages=[{"role": "user", "content": "Hi"}], stream=True
        )
        said: list[str] = []

        def read() -> None:
            said.extend(chunk.choices[0].delta.content or "" for chunk in stream)

        with client, pytest.raises(openai.APIError, match="the model was closed"):
            read()
    assert "".join(said) == "so far"


def test_a_response_that_fails_in_its_stream_ends_in_sequence() -> None:
    class Failing(FakeBackend):
        async def stream(self, request: GenerationRequest) -> AsyncIterator[Delta]:
            yield Delta("so far")
            raise BackendUnavailable("the model was closed")

    app = create_app(ModelPool(fake_models(), loader=Failing), Settings(log_requests=False))
    with serving(app) as url:
        asked = {"model": "fake", "input": "Hi", "stream": True}
        text = httpx.post(f"{url}/v1/responses", json=asked).text
    events = [json.loads(block.partition("data: ")[2]) for block in text.strip().split("\n\n")]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    error, failed = events[-2:]
    assert (error["type"], error["message"]) == ("error", "the model was closed")
    assert (failed["type"], failed["response"]["status"]) == ("response.failed", "failed")
    assert failed["response"]["error"]["message"] == "the model was closed"


def test_a_failure_before_a_stream_s_first_event_has_its_own_status() -> None:
    class Failing(FakeBackend):
        async def stream(self, request: GenerationRequest) -> AsyncIterator[Delta]:
            if request.model == "fake":
                raise BackendUnavailable("the model was closed")
            yield Delta("")

    app = create_app(ModelPool(fake_models(), loader=Failing), Settings(log_requests=False))
    with serving(app) as url:
        answer = httpx.post(url + URL, json={**CHAT, "stream": True})
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert error(answer)["code"] == "model_unavailable"


def test_an_unforeseen_failure_is_a_500_that_tells_nothing_of_the_inside(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(prompt: str) -> str:
        raise RuntimeError("secret")

    def load(spec: ModelSpec, path: Path) -> Backend:
        return FakeBackend(spec, path, script=broken)

    app = create_app(ModelPool(fake_models(), loader=load), Settings(log_requests=False))
    with serving(app) as url:
        answer = httpx.post(url + URL, json=CHAT)
        assert answer.status_code == 500
        assert error(answer)["code"] == "internal_error"
        assert "secret" not in answer.text
        assert httpx.get(f"{url}/health/live").status_code == 200
    assert "secret" in caplog.text


def test_a_model_that_never_fits_in_memory_is_507_and_the_others_are_answered(
    tmp_path: Path,
) -> None:
    heavy = tmp_path / "heavy.gguf"
    heavy.write_bytes(bytes(3000))
    light = fake_models().get("fake")
    specs = {"fake": light, "heavy": ModelSpec("heavy", PathSource(heavy))}
    pool = ModelPool(Models(specs, "fake"), memory=2000, loader=FakeBackend)
    with serving(create_app(pool, Settings(log_requests=False))) as url:
        refused = httpx.post(f"{url}{URL}", json={**CHAT, "model": "heavy"}, timeout=60)
        answered = httpx.post(f"{url}{URL}", json=CHAT, timeout=60)
    assert refused.status_code == 507
    assert error(refused)["code"] == "model_too_large"
    assert "heavy" in error(refused)["message"]
    assert answered.status_code == 200


def test_models_to_load_first_that_do_not_fit_together_stop_the_start(tmp_path: Path) -> None:
    specs = {}
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(bytes(600))
        specs[name] = ModelSpec(name, PathSource(tmp_path / name))
    pool = ModelPool(Models(specs, "a"), max_loaded=2, memory=1000, loader=FakeBackend)
    service = service_of(create_app(pool))
    with pytest.raises(ConfigError, match="do not fit in memory together: a had to go"):
        asyncio.run(service.preload(["a", "b"]))
    assert not service.ready


def test_a_body_that_does_not_arrive_is_408_and_frees_the_connection() -> None:
    limits = Limits(upload_s=0.2)
    app = create_app(ModelPool(fake_models()), Settings(limits=limits, log_requests=False))
    with serving(app) as url:
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=60) as slow_client:
            head = f"POST {URL} HTTP/1.1\r\nhost: {host}\r\ncontent-length: 100\r\n\r\n"
            slow_client.sendall(head.encode() + b'{"model": ')
            said = b""
            while piece := slow_client.recv(4096):
                said += piece
        assert said.startswith(b"HTTP/1.1 408 ")
        assert b"request_timeout" in said
        assert httpx.post(f"{url}{URL}", json=CHAT, timeout=60).status_code == 200
