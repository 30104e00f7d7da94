"""Traffic that is recorded is recorded whole, whatever ends the server."""

import asyncio
import signal
import sqlite3
import stat
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.backends.fake import FakeBackend
from gateway.backends.pool import Loader, ModelPool
from gateway.backends.protocol import Backend
from gateway.core.errors import BackendUnavailable, StoreError
from gateway.core.recording import Ending, Recorded, Recording
from gateway.core.types import GenerationRequest
from gateway.evaluation.store import Store
from gateway.models.spec import ModelSpec
from gateway.server.app import create_app
from gateway.server.settings import Limits, Settings
from tests.cli.conftest import FAKE
from tests.server.conftest import fake_models, serving
from tests.server.test_edge import slow
from tests.server.test_ending import start

HI = [{"role": "user", "content": "Hi"}]
CHAT: dict[str, Any] = {"model": "fake", "messages": HI, "max_tokens": 20}
URL = "/v1/chat/completions"


def settings(file: Path, **limits: Any) -> Settings:
    return Settings(limits=Limits(**limits), record=file, log_requests=False)


def test_every_wire_format_is_recorded_with_its_answers(tmp_path: Path) -> None:
    file = tmp_path / "traffic.sqlite"
    app = create_app(ModelPool(fake_models()), settings(file))
    with serving(app) as url, httpx.Client(base_url=url, timeout=60) as client:
        answers = [
            client.post(URL, json={**CHAT, "logprobs": True, "top_logprobs": 2}),
            client.post(URL, json={**CHAT, "stream": True}),
            client.post("/v1/completions", json={"model": "fake", "prompt": "Hi", "n": 2}),
            client.post("/v1/responses", json={"model": "fake", "input": "Hi"}),
        ]
    assert [answer.status_code for answer in answers] == [200] * 4
    recording = Recording.existing(file)
    kept = list(recording.answered("fake"))
    again = FakeBackend(fake_models().get("fake"))
    for _, request, completion in kept:
        assert asyncio.run(again.generate(request)) == completion
    chat, streamed, first, second, response = (request for _, request, _ in kept)
    assert (chat.logprobs, chat.messages) == (2, streamed.messages)
    assert (first.sampling.sample, second.sampling.sample) == (0, 1)
    assert response.messages == chat.messages
    ids = [exchange.removeprefix("req_") for exchange, _, _ in recording.endings()]
    assert len(set(ids)) == 4
    assert ids[0] in answers[0].json()["id"]
    assert recording.identity(kept[0][2].fingerprint) == again.identity
    recording.close()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_failed_and_cancelled_generations_are_recorded_as_such(tmp_path: Path) -> None:
    file = tmp_path / "traffic.sqlite"

    def down(prompt: str) -> str:
        raise BackendUnavailable("the model is down")

    def failing(spec: ModelSpec, path: Path) -> Backend:
        return FakeBackend(spec, path, script=down)

    cases: list[tuple[Loader, dict[str, float]]] = [(failing, {}), (slow(60), {"deadline_s": 0.3})]
    for loader, limits in cases:
        app = create_app(ModelPool(fake_models(), loader=loader), settings(file, **limits))
        with serving(app) as url:
            for stream in (False, True):
                httpx.post(f"{url}{URL}", json={**CHAT, "stream": stream}, timeout=60)
    recording = Recording.existing(file)
    assert recording.counts() == {Ending.ANSWERED: 0, Ending.FAILED: 2, Ending.CANCELLED: 2}
    failed = [error for _, ending, error in recording.endings() if ending is Ending.FAILED]
    assert failed == ["model_unavailable: the model is down"] * 2
    recording.close()


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_can_not_be_recorded_is_not_sent(tmp_path: Path, stream: bool) -> None:
    file = tmp_path / "traffic.sqlite"
    app = create_app(ModelPool(fake_models()), settings(file))
    with sqlite3.connect(file) as db:
        db.execute("DROP TABLE generations")
    db.close()
    with serving(app) as url:
        answer = httpx.post(f"{url}{URL}", json={**CHAT, "stream": stream}, timeout=60)
    assert "internal_error" in answer.text
    assert '"finish_reason":"stop"' not in answer.text
    assert str(file) not in answer.text


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    Store(tmp_path / "runs.sqlite").close()
    with pytest.raises(StoreError, match="no recording"):
        create_app(ModelPool(fake_models()), settings(tmp_path / "runs.sqlite"))
    Recording(tmp_path / "traffic.sqlite").close()
    with pytest.raises(StoreError, match="no run store"):
        Store(tmp_path / "traffic.sqlite")
    with pytest.raises(StoreError, match="no such file"):
        Recording.existing(tmp_path / "nothing.sqlite")


def test_a_limit_counts_over_all_models(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "traffic.sqlite")
    for number, model in enumerate("abab"):
        request = GenerationRequest(model, prompt=str(number))
        done = asyncio.run(FakeBackend(fake_models().get("fake")).generate(request))
        failed = Recorded("", "", "", request, Ending.FAILED, error="it failed")
        recording.add(failed)
        recording.add(Recorded("", "", "", request, Ending.ANSWERED, done))
    assert recording.models() == ["a", "b"]
    assert recording.models(limit=1) == ["a"]
    assert [request.prompt for _, request, _ in recording.answered("a", limit=3)] == ["0", "2"]
    assert [request.prompt for _, request, _ in recording.answered("b", limit=3)] == ["1"]
    recording.close()


def test_a_server_killed_under_load_leaves_every_answered_request_and_the_next_appends(
    tmp_path: Path,
) -> None:
    file, models = tmp_path / "traffic.sqlite", tmp_path / "models.toml"
    models.write_text(FAKE)

    def ask(url: str, number: int) -> str | None:
        """The request's id once its answer is here."""
        try:
            words = [{"role": "user", "content": f"question {number}"}]
            body = {**CHAT, "messages": words, "stream": number % 2 == 0}
            answer = httpx.post(f"{url}{URL}", json=body, timeout=60)
        except httpx.TransportError:
            return None
        return answer.headers["x-request-id"] if "finish_reason" in answer.text else None

    def answered_before_the_kill() -> set[str]:
        log = tmp_path / "log"
        arguments = ("--record", str(file), "--models-file", str(models))
        child, url = start("-m", "fake", *arguments, log=log)
        assert f"kept in {file}" in log.read_text()
        ids: set[str] = set()
        with ThreadPoolExecutor(8) as threads:
            asked = [threads.submit(ask, url, number) for number in range(120)]
            for one in as_completed(asked):
                if (found := one.result()) is not None:
                    ids.add(found)
                if len(ids) == 40:
                    child.send_signal(signal.SIGKILL)
        assert child.wait(60) == -signal.SIGKILL
        return ids

    first = answered_before_the_kill()
    second = answered_before_the_kill()
    with sqlite3.connect(file) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    db.close()
    recording = Recording.existing(file)
    kept = {exchange for exchange, ending, _ in recording.endings() if ending is Ending.ANSWERED}
    recording.close()
    assert 40 <= len(first) < 120
    assert first | second <= kept
