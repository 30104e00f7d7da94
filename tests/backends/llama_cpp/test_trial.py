"""A model that would end the process is met in another one."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from gateway.backends.llama_cpp import trial
from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.backends.llama_cpp.offload import Offload
from gateway.backends.llama_cpp.spec import LlamaCppSpec
from gateway.core.errors import ModelLoadError
from gateway.models.spec import PathSource
from tests.support.architectures import write

pytestmark = pytest.mark.needs("llama_cpp")


@pytest.fixture(autouse=True)
def _nothing_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("GATEWAY_TRIAL")


def test_a_file_is_tried_once_and_by_its_contents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write("llama", tmp_path)
    trial.check(path, "contents", "plain")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("it was tried again"))
    trial.check(path, "contents", "plain")
    with pytest.raises(pytest.fail.Exception, match="tried again"):
        trial.check(path, "other contents", "plain")
    with pytest.raises(pytest.fail.Exception, match="tried again"):
        trial.check(path, "contents", "plain", Offload(layers=1, of=3))
    monkeypatch.setenv("GATEWAY_TRIAL", "off")
    trial.check(path, "other contents", "plain")


ODD: dict[str, tuple[str, dict[str, Any]]] = {
    "a rotation wider than a head": ("qwen35", {"rope.dimension_sections": [11, 11, 10, 0]}),
    "one that is odd": ("glm4moe", {"rope.dimension_count": 1}),
    "another state than its layers have": ("granitehybrid", {"ssm.inner_size": 2}),
    "keys of another length": ("arcee", {"rope.dimension_count": 8}),
}


@pytest.mark.parametrize("kind", ODD)
def test_a_known_architecture_with_odd_numbers_ends_a_child_and_not_the_server(
    kind: str, tmp_path: Path
) -> None:
    name, says = ODD[kind]
    path = write(name, tmp_path, says=says)
    spec = LlamaCppSpec("m", PathSource(path), context_length=256, threads=1, parallel=1)
    with pytest.raises(ModelLoadError, match=r"ends the process: [\w.-]+:\d+: GGML_ASSERT\("):
        LlamaCppBackend(spec, path)


def test_an_architecture_that_the_library_misreads_is_refused(tmp_path: Path) -> None:
    """Its graph gives the first tokens' logits for those of the last ones."""
    with pytest.raises(ModelLoadError, match="not read this architecture rightly: it gives other"):
        trial.check(write("cogvlm", tmp_path), "contents", "plain")


@pytest.mark.parametrize("name", ["plamo2", "kimi-linear"])
def test_what_runs_only_alone_is_tried_with_as_many_sequences_as_the_entry_has(
    name: str, tmp_path: Path
) -> None:
    path = write(name, tmp_path)
    trial.check(path, "contents", "plain", sequences=1)
    with pytest.raises(ModelLoadError, match="parallel = 1 in their entry"):
        trial.check(path, "contents", "plain", sequences=4)


def test_a_pass_that_never_ends_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "_PATIENCE_S", 0)
    with pytest.raises(ModelLoadError, match="did not end a pass of a few tokens in 0 s"):
        trial.check(write("llama", tmp_path), "contents", "plain")
