"""A live server on an ephemeral port of this machine, with a few layers of real weights."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import openai
import pytest
from fastapi import FastAPI

from gateway.backends.fake import FakeSpec
from gateway.backends.pool import ModelPool
from gateway.models.file import Models
from gateway.models.spec import PathSource
from gateway.server.app import create_app, service_of
from gateway.server.running import address_of, in_a_thread
from gateway.server.settings import Settings
from tests.conftest import ROOT, few_layers, spec_and_path
from tests.support.plain_http import no_authorities as no_authorities

TOOLS_TEMPLATE = (Path(__file__).parent / "tools.jinja").read_text(encoding="utf-8")
CHAT, TOOLS = "smollm2-135m", "smollm2-tools"


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """The application behind a real socket, in a thread; its address."""
    with in_a_thread(app) as listener:
        yield address_of(listener)


def real_models(context_length: int = 2048, *, whole: bool = False) -> Models:
    """SmolLM2 as it ships, and with a chat template that shows tools; both on one engine. A few
    layers of it, unless a test is about what it says."""
    spec, path = spec_and_path(CHAT) if whole else few_layers(CHAT)
    spec = replace(spec, source=PathSource(path), parallel=4, context_length=context_length)
    tools = replace(spec, name=TOOLS, chat_template=TOOLS_TEMPLATE)
    return Models({CHAT: spec, TOOLS: tools}, CHAT)


def fake_models(**changes: object) -> Models:
    """A model whose answers are made up, for what does not depend on them."""
    spec = FakeSpec("fake", PathSource(ROOT))
    return Models({"fake": replace(spec, **changes)}, "fake")  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def app() -> FastAPI:
    made = create_app(ModelPool(real_models(), max_loaded=2), Settings(log_requests=False))
    service_of(made).ready = True
    return made


@pytest.fixture(scope="session")
def url(app: FastAPI) -> Iterator[str]:
    """The address of the live server."""
    with serving(app) as address:
        yield address


@pytest.fixture(scope="session")
def whole_url() -> Iterator[str]:
    """The address of a live server of the models with all their layers."""
    pool = ModelPool(real_models(whole=True), max_loaded=2)
    with serving(create_app(pool, Settings(log_requests=False))) as address:
        yield address


@pytest.fixture(scope="session")
def client(url: str) -> Iterator[openai.OpenAI]:
    """OpenAI's own client, which does not try again by itself."""
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as made:
        yield made
