"""Clients that are sent away try again by themselves, as the answer says, and are then served."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import anthropic
import httpx
import openai
import pytest

from gateway.backends.pool import ModelPool
from gateway.server.app import create_app, service_of
from gateway.server.settings import Limits, Settings
from tests.server.conftest import fake_models, serving
from tests.server.test_edge import slow

ASKED = "Hi"


def by_openai(url: str) -> str:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=4) as client:
        done = client.chat.completions.create(
            model="fake", messages=[{"role": "user", "content": ASKED}], max_tokens=2
        )
    return done.choices[0].message.content or ""


def by_anthropic(url: str) -> str:
    with anthropic.Anthropic(base_url=url, api_key="none", max_retries=4) as client:
        done = client.messages.create(
            model="fake", messages=[{"role": "user", "content": ASKED}], max_tokens=2
        )
    (block,) = done.content
    assert block.type == "text"
    return block.text


@pytest.mark.parametrize("ask", [by_openai, by_anthropic])
def test_who_finds_the_queue_full_asks_again_and_is_answered(ask: Callable[[str], str]) -> None:
    settings = Settings(limits=Limits(running=1, waiting=0), log_requests=False)
    app = create_app(ModelPool(fake_models(), loader=slow(0.6)), settings)
    with serving(app) as url, ThreadPoolExecutor(2) as threads:
        first, second = threads.map(ask, [url] * 2)
        told = httpx.get(f"{url}/metrics").text
    assert first == second != ""
    assert 'status="429"' in told


@pytest.mark.parametrize("ask", [by_openai, by_anthropic])
def test_who_asks_a_server_that_ends_asks_again(ask: Callable[[str], str]) -> None:
    app = create_app(ModelPool(fake_models()), Settings(log_requests=False))
    admission = service_of(app).admission
    with serving(app) as url, ThreadPoolExecutor(1) as thread:
        admission.drain()
        later = thread.submit(ask, url)
        with pytest.raises(TimeoutError):
            later.result(timeout=0.3)
        # As another process that takes its place.
        admission.draining = False
        assert later.result(timeout=30)
