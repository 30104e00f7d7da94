"""Real models, loaded once for the whole session, and the real data where it is."""

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway.backends.llama_cpp.spec import LlamaCppSpec
from gateway.backends.registry import load_models
from gateway.backends.transformers import library as torch_library
from gateway.core.errors import ModelNotPulled
from gateway.models.locate import locate
from tests.support.go_oracle import Go, running
from tests.support.imports import ROOT as ROOT
from tests.support.ollama_server import gateway_process

if TYPE_CHECKING:
    from gateway.backends.llama_cpp.backend import LlamaCppBackend

pytest_plugins = ("tests.support.tiers", "tests.support.side_by_side", "tests.support.torch_models")

# Some tests use torch before they load a model on it.
torch_library.prepare()

DATA = ROOT.parent / "shared" / "data"


def recorded_exchange(name: str) -> str:
    """An exchange with a real Ollama server, the text of its JSON."""
    file = ROOT.parent / "shared" / "ollama-wire" / f"{name}.json"
    if not file.is_file():
        pytest.skip(f"{file} is absent: recorded exchanges are read from there")
    return file.read_text(encoding="utf-8")


def spec_and_path(name: str) -> tuple[LlamaCppSpec, Path]:
    spec = load_models().get(name)
    assert isinstance(spec, LlamaCppSpec)
    try:
        return spec, locate(spec)
    except ModelNotPulled as missing:
        pytest.skip(str(missing))


def _load(name: str) -> "Iterator[LlamaCppBackend]":
    from gateway.backends.llama_cpp.backend import LlamaCppBackend

    backend = LlamaCppBackend(*spec_and_path(name))
    yield backend
    asyncio.run(backend.close())


@pytest.fixture(scope="session")
def smollm2() -> "Iterator[LlamaCppBackend]":
    """SmolLM2-135M-Instruct Q4_1: a chat model with a byte-level BPE vocabulary."""
    yield from _load("smollm2-135m")


@pytest.fixture(scope="session")
def gemma() -> "Iterator[LlamaCppBackend]":
    """Gemma 3 270M Q4_K_M: a base model, sliding windows, a SentencePiece vocabulary, a BOS."""
    yield from _load("gemma3-270m-plain")


@pytest.fixture(scope="session")
def go(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Go]:
    """Go's own execution of templates."""
    compiler = shutil.which("go")
    if compiler is None:
        pytest.skip("go is not installed: templates are not compared with Go's own execution")
    with running(compiler, tmp_path_factory.mktemp("go")) as ask:
        yield ask


@pytest.fixture(scope="session")
def issue_reports() -> Path:
    return real_data("issue-reports")


def real_data(name: str) -> Path:
    folder = DATA / name
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent: this test reads real labelled data from there")
    return folder


@pytest.fixture(scope="session")
def ollama_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The gateway's own /api in another process, with the models that are pulled."""
    spec_and_path("smollm2-135m")
    with gateway_process("", tmp_path_factory.mktemp("served")) as url:
        yield url
