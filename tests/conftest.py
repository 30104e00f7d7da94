"""Real models, loaded once for the whole session, and the real data where it is."""

import asyncio
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway.backends.llama_cpp.spec import LlamaCppSpec
from gateway.backends.registry import load_models
from gateway.backends.transformers import library as torch_library
from gateway.core.errors import ModelNotPulled
from gateway.models.locate import locate
from gateway.models.spec import PathSource
from gateway.models.writing import entries_text
from tests.support.few_layers import cut
from tests.support.go_oracle import Go, running
from tests.support.imports import ROOT as ROOT
from tests.support.ollama_server import gateway_process

if TYPE_CHECKING:
    from gateway.backends.llama_cpp.backend import LlamaCppBackend

pytest_plugins = (
    *("tests.support.tiers", "tests.support.side_by_side", "tests.support.torch_models"),
    "tests.support.collecting",
)

# Files that tests make run; each would be tried for a second in a process of its own.
os.environ.setdefault("GATEWAY_TRIAL", "off")
# Some tests use torch before they load a model on it.
torch_library.prepare()
# What is asked of baselines elsewhere does not wait for an encoder that happens to be installed.
os.environ["GATEWAY_ENCODER"] = "off"
# What one test computes shall not be there for the next one, nor in the user's folder.
os.environ["GATEWAY_CACHE"] = "off"

WHOLE = "whole"
"""Name of an entry: the default model with all its layers."""
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


def few_layers(name: str) -> tuple[LlamaCppSpec, Path]:
    """As `spec_and_path`, of a model of which a few layers are left: `tests.support.few_layers`."""
    spec, path = spec_and_path(name)
    file = cut(path)
    return replace(spec, source=PathSource(file), sha256=""), file


def entries_of_few_layers(*names: str) -> str:
    """Text of a models.toml in which these names are the cut models, and `WHOLE` a whole one."""
    cut = {name: _entry(*few_layers(name)) for name in names}
    return entries_text({**cut, WHOLE: _entry(*spec_and_path("smollm2-135m"))})


def _entry(spec: LlamaCppSpec, file: Path) -> dict[str, object]:
    texts = {"chat_template": spec.chat_template, "end_of_turn": spec.end_of_turn}
    return {"source": {"path": str(file)}, **{key: text for key, text in texts.items() if text}}


def _load(spec: LlamaCppSpec, path: Path) -> "Iterator[LlamaCppBackend]":
    from gateway.backends.llama_cpp.backend import LlamaCppBackend

    backend = LlamaCppBackend(spec, path)
    yield backend
    asyncio.run(backend.close())


@pytest.fixture(scope="session")
def whole_smollm2() -> "Iterator[LlamaCppBackend]":
    """SmolLM2-135M-Instruct Q4_1, for what it says."""
    yield from _load(*spec_and_path("smollm2-135m"))


@pytest.fixture(scope="session")
def smollm2() -> "Iterator[LlamaCppBackend]":
    """A few layers of it: a chat model with a byte-level BPE vocabulary."""
    yield from _load(*few_layers("smollm2-135m"))


@pytest.fixture(scope="session")
def gemma() -> "Iterator[LlamaCppBackend]":
    """A few layers of Gemma 3 270M Q4_K_M: a base model, sliding windows, a SentencePiece
    vocabulary, a BOS."""
    yield from _load(*few_layers("gemma3-270m-plain"))


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
    """The gateway's own /api in another process, with the models of which few layers are left."""
    models = entries_of_few_layers("smollm2-135m", "gemma3-270m-plain")
    with gateway_process(models, tmp_path_factory.mktemp("served")) as url:
        yield url
