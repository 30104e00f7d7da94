"""`gateway serve` as an operator starts it, and ends it."""

import json
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.cli.conftest import Gateway, environment, fake, gateway  # noqa: F401
from tests.conftest import entries_of_few_layers
from tests.server.conftest import CHAT
from tests.server.waiting import wait_until

LONG = {
    "model": CHAT,
    "messages": [{"role": "user", "content": "Tell me a story."}],
    "max_tokens": 120,
    "logit_bias": {"0": -100, "2": -100},
}


def start(*arguments: str, log: Path, **more: str) -> "tuple[subprocess.Popen[bytes], str]":
    """A server process, and its address once it is ready."""
    command = [sys.executable, "-m", "gateway", "serve", "--port", "0", *arguments]
    with log.open("wb") as target:
        child = subprocess.Popen(command, env=environment(**more), stderr=target)
    wait_until(lambda: b"serving on" in log.read_bytes() or child.poll() is not None)
    said = log.read_text()
    assert child.poll() is None, said
    return child, said.split("serving on ")[1].split("/v1")[0]


def test_sigterm_loses_no_accepted_request(tmp_path: Path) -> None:
    log, models = tmp_path / "log", tmp_path / "models.toml"
    models.write_text(entries_of_few_layers(CHAT))
    child, url = start("-m", CHAT, "--models-file", str(models), log=log)
    try:
        with ThreadPoolExecutor(6) as threads:
            asked = [
                threads.submit(httpx.post, f"{url}/v1/chat/completions", json=LONG, timeout=200)
                for _ in range(6)
            ]
            wait_until(lambda: "gateway_requests_running 6.0" in httpx.get(f"{url}/metrics").text)
            child.send_signal(signal.SIGTERM)
            wait_until(lambda: httpx.get(f"{url}/health/ready").status_code == 503)
            refused = httpx.post(f"{url}/v1/chat/completions", json=LONG, timeout=60)
            answers = [one.result() for one in asked]
        assert refused.status_code == 503
        assert "retry-after" in refused.headers
        assert [answer.status_code for answer in answers] == [200] * 6
        assert len({a.json()["choices"][0]["message"]["content"] for a in answers}) == 1
        assert child.wait(60) == 0
    finally:
        child.kill()
        child.wait()
    assert "Traceback" not in log.read_text()


def test_a_server_for_others_needs_keys(gateway: Gateway) -> None:  # noqa: F811
    done = gateway("serve", "--host", "0.0.0.0")
    assert done.code == 2
    assert "no API keys" in done.err


def test_a_model_that_is_not_known_stops_the_start(gateway: Gateway) -> None:  # noqa: F811
    done = gateway("serve", "--model", "gpt-4o", "--port", "0")
    assert done.code == 2
    assert "known:" in done.err


def test_keys_are_made_shown_and_revoked(gateway: Gateway, tmp_path: Path) -> None:  # noqa: F811
    file = tmp_path / "keys.json"
    made = gateway("keys", "create", "me", "--keys", file, "--model", "a,b", "--rate", "30")
    text = made.out.strip()
    assert text.startswith("gw-")
    assert text not in file.read_text()
    (record,) = json.loads(file.read_text())["keys"]
    assert (record["models"], record["requests_per_minute"]) == (["a", "b"], 30)
    assert gateway("keys", "create", "me", "--keys", file).code == 2
    listed = gateway("keys", "list", "--keys", file).out
    assert "me" in listed
    assert text not in listed
    assert gateway("keys", "revoke", "me", "--keys", file).code == 0
    assert gateway("keys", "revoke", "me", "--keys", file).code == 2


def test_help_teaches_how_to_ask(gateway: Gateway) -> None:  # noqa: F811
    said = gateway("serve", "--help").out
    for word in ("/v1", "/docs", "/metrics", "keys create", "--deadline"):
        assert word in said


@pytest.mark.usefixtures("fake")
def test_a_taken_port_is_an_error_with_a_hint(gateway: Gateway) -> None:  # noqa: F811
    from gateway.server.running import bind

    with bind("127.0.0.1", 0) as taken:
        done = gateway("serve", "--port", taken.getsockname()[1])
    assert done.code == 1
    assert "--port" in done.err
