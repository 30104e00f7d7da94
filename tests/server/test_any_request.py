"""No request, valid or nearly so, breaks the server or changes another one's bytes."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from gateway.backends.pool import ModelPool
from gateway.server.app import create_app
from gateway.server.settings import Settings
from tests.server.conftest import CHAT, TOOLS, real_models, serving
from tests.support.any_request import ROUTES, AnyRequest, any_request

pytestmark = pytest.mark.needs("llama_cpp")

REFERENCE = {"model": CHAT, "prompt": "The capital of France is", "max_tokens": 4, "logprobs": 1}
WITH_A_REASON = (503, 507)
ALWAYS = 200
"""Of the requests, those of every run; the slow test sends the others."""
EVERY, FAILED = 50, 8
"""After so many requests, or so many that failed, the reference is asked."""


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    """To a server of a short context, in which no answer is long."""
    pool = ModelPool(real_models(context_length=96), max_loaded=2)
    app = create_app(pool, Settings(log_requests=False))
    with serving(app) as url, httpx.Client(base_url=url, timeout=60) as made:
        yield made


class Sending:
    """Sends requests and watches the server; the first thing that is wrong ends it."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self._right = self._reference()
        self._since: list[str] = []
        self._failed = 0
        self.statuses: Counter[tuple[str, int]] = Counter()

    def send(self, request: AnyRequest) -> None:
        """Have it answered."""
        answered = self._client.post(
            request.path, content=request.content, headers={"content-type": "application/json"}
        )
        status, text = answered.status_code, answered.text
        self.statuses[request.path, status] += 1
        shown = f"{request.path} {request.content.decode()[:2000]}: {status} {text[:500]}"
        assert status < 500 or status in WITH_A_REASON, shown
        assert "internal_error" not in text, shown
        if status != 200:
            assert reason(answered.json()), shown
        self._since.append(shown)
        self._failed += status != 200
        if self._failed >= FAILED or len(self._since) >= EVERY:
            self.check()

    def check(self) -> None:
        """Ask for the reference: its bytes are what they were before those requests."""
        assert self._reference() == self._right, "\n".join(self._since)
        self._since, self._failed = [], 0

    def _reference(self) -> Any:
        answered = self._client.post("/v1/completions", json=REFERENCE)
        assert answered.status_code == 200, answered.text
        return answered.json()["choices"]


def reason(body: Any) -> str:
    """What an error of any of the wire formats says."""
    error = body["error"]
    return str(error if isinstance(error, str) else error["message"])


def watched(client: httpx.Client, count: int, number: int) -> Sending:
    """Send so many requests of one seed."""
    sending = Sending(client)

    @seed(number)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(any_request((CHAT, TOOLS)))
    def send(request: AnyRequest) -> None:
        sending.send(request)

    send()
    sending.check()
    return sending


def check_spread(sending: Sending) -> None:
    """Some requests of every route were answered, and some refused: else nothing was tried."""
    for path in ROUTES:
        answered = {status for route, status in sending.statuses if route == path}
        assert 200 in answered, json.dumps([path, sorted(answered)])


def test_200_random_requests_leave_the_server_as_it_was(client: httpx.Client) -> None:
    sending = watched(client, ALWAYS, 1)
    assert sum(sending.statuses.values()) >= ALWAYS


@pytest.mark.slow
def test_2000_random_requests_and_more_leave_the_server_as_it_was(
    client: httpx.Client, request: pytest.FixtureRequest
) -> None:
    sending = watched(client, max(request.config.getoption("fuzz") - ALWAYS, ALWAYS), 2)
    check_spread(sending)
