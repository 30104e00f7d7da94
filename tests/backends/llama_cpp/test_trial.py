"""A model that would end the process is met in another one."""

import subprocess
from pathlib import Path

import pytest

from gateway.backends.llama_cpp import trial
from gateway.core.errors import ModelLoadError
from gateway.models.gguf import architecture_of
from tests.support.architectures import table, write

pytestmark = pytest.mark.needs("llama_cpp")


@pytest.fixture(autouse=True)
def _nothing_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_DATA", str(tmp_path / "data"))


def test_what_ends_the_process_is_an_error_with_the_library_s_last_words(tmp_path: Path) -> None:
    # Its rotation has more dimensions than a head.
    wrong = write("qwen35", tmp_path, says={"rope.dimension_sections": [11, 11, 10, 0]})
    with pytest.raises(ModelLoadError, match=r"ends the process: ops\.cpp:\d+: GGML_ASSERT\(") as e:
        trial.check(wrong, "contents", "plain")
    assert "\n" not in e.value.message


def test_a_file_is_tried_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("qwen35", tmp_path)
    trial.check(path, "contents", "plain")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("it was tried again"))
    trial.check(path, "contents", "plain")
    trial.check(write("llama", tmp_path), "other contents", "plain")


def test_architectures_that_count_as_tried_are_run_by_the_tests() -> None:
    assert {row.architecture for row in table().values()} >= trial.TRIED


def test_the_architecture_is_read_without_the_rest(tmp_path: Path) -> None:
    assert architecture_of(write("falconh1", tmp_path)) == "falcon-h1"
    (tmp_path / "none.gguf").write_bytes(b"GGUF")
    assert architecture_of(tmp_path / "none.gguf") == architecture_of(tmp_path / "absent") == ""
