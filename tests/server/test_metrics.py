"""GET /metrics after known traffic: the numbers are those of the traffic."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.backends.fake import FakeBackend
from gateway.backends.pool import ModelPool
from gateway.core.types import Completion, GenerationRequest, MemoryUse, Timings
from gateway.server.app import create_app
from gateway.server.settings import Settings
from tests.server.conftest import fake_models, serving
from tests.server.waiting import wait_until

URL = "/v1/chat/completions"
COUNT = "gateway_request_seconds_count"
PROMPT_TOKENS = len(b"user: Hi\nassistant: ")


class Timed(FakeBackend):
    """Says of each request how long it took and what was cached: a second to the first token, a
    quarter of one for each that follows, five tokens of the prompt."""

    async def generate(self, request: GenerationRequest) -> Completion:
        done = await super().generate(request)
        decode_s = 0.25 * (len(done.token_ids) - 1)
        timings = Timings(queue_s=0.5, prefill_s=0.5, decode_s=decode_s, cached_tokens=5)
        return replace(done, timings=timings)

    @property
    def memory(self) -> MemoryUse:
        return MemoryUse(weights=300, cache=20, scratch=1)


@dataclass(frozen=True)
class Shown:
    """The samples of one reading."""

    samples: Mapping[tuple[str, frozenset[tuple[str, str]]], float]

    def __call__(self, name: str, **labels: str) -> float:
        return self.samples[name, frozenset(labels.items())]

    def total(self, name: str, **labels: str) -> float:
        """Over all samples that have these labels, whatever others they have."""
        wanted = labels.items()
        found = ((n, dict(more).items(), value) for (n, more), value in self.samples.items())
        return sum(value for n, more, value in found if n == name and wanted <= more)


def read(client: httpx.Client) -> Shown:
    families = text_string_to_metric_families(client.get("/metrics").text)
    return Shown(
        {(s.name, frozenset(s.labels.items())): s.value for f in families for s in f.samples}
    )


@pytest.fixture
def shown() -> Shown:
    """After three answers of 20 tokens (one streamed), one unknown model and one malformed body."""
    pool = ModelPool(fake_models(), loader=lambda spec, path: Timed(spec, path))
    body = {"model": "fake", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 20}
    with (
        serving(create_app(pool, Settings(log_requests=False))) as url,
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        asked = [body, body, {**body, "stream": True}, {**body, "model": "gpt"}, {"model": "fake"}]
        assert [client.post(URL, json=one).status_code for one in asked] == [200] * 3 + [404, 400]
        # A request is counted after its last byte is sent, so that its client may be faster.
        wait_until(lambda: read(client).total(COUNT, route=URL) == len(asked))
        return read(client)


def test_requests_are_counted_by_route_status_and_model(shown: Shown) -> None:
    def requests(status: str, model: str) -> float:
        labels = {"route": URL, "status": status, "model": model, "adapter": ""}
        return shown("gateway_requests_total", **labels)

    assert requests("200", "fake") == 3
    # A name that clients make up is no label: there would be no end of them.
    assert requests("404", "") == 1
    assert requests("400", "") == 1


def test_tokens_and_the_share_that_was_cached_are_those_of_the_answers(shown: Shown) -> None:
    def tokens(kind: str) -> float:
        return shown("gateway_tokens_total", kind=kind, model="fake", adapter="")

    assert tokens("prompt") == 3 * PROMPT_TOKENS
    assert tokens("completion") == 3 * 20
    assert tokens("cached") == 3 * 5
    assert shown("gateway_cache_hit_ratio", model="fake", adapter="") == 5 / PROMPT_TOKENS


def test_times_are_those_that_the_backend_measured(shown: Shown) -> None:
    of_model = {"model": "fake", "adapter": ""}
    assert shown("gateway_time_per_output_token_seconds_count", **of_model) == 3
    assert shown("gateway_time_per_output_token_seconds_sum", **of_model) == 3 * 0.25
    assert shown("gateway_time_to_first_token_seconds_count", **of_model) == 3
    # The backend's second, and what was waited before it, which is never less than nothing.
    assert shown("gateway_time_to_first_token_seconds_sum", **of_model) >= 3
    assert shown("gateway_time_to_first_token_seconds_bucket", le="0.5", **of_model) == 0


def test_what_is_so_now_is_shown(shown: Shown) -> None:
    assert shown("gateway_requests_running") == shown("gateway_requests_waiting") == 0
    parts = {"weights": 300, "cache": 20, "scratch": 1}
    for part, size in parts.items():
        assert shown("gateway_model_memory_bytes", model="fake", part=part) == size
