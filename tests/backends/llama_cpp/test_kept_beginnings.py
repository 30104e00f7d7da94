"""What a model computes behind a beginning that it read from disk is the same to the last bit."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.backends.llama_cpp.spec import Attention, LlamaCppSpec
from gateway.core.errors import ConfigError
from gateway.core.types import GenerationRequest
from gateway.engine import kept_beginnings
from gateway.engine.shared_beginnings import LEAST_TOKENS
from gateway.evaluation.classify import classify
from gateway.models.spec import PathSource
from tests.conftest import few_layers
from tests.support.architectures import write
from tests.support.gguf_adapters import write_adapter
from tests.support.grids import write_task
from tests.support.tiny_gguf import HEAD, HEADS, WIDTH, write_gguf

pytestmark = pytest.mark.needs("llama_cpp")

LABELS = ("bug", "bad", "feature", "feat", "b")
ALIKE = "the page crashes when i scroll and it is a bug. " * 12
Asked = tuple[list[object], list[int]]


@pytest.fixture(scope="module")
def few() -> tuple[LlamaCppSpec, Path]:
    """SmolLM2 with a few layers, found before the data lie elsewhere."""
    spec, path = few_layers("smollm2-135m")
    return replace(spec, context_length=1024, threads=1, parallel=2), path


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder; whatever is computed is worth it."""
    monkeypatch.setattr(kept_beginnings, "WORTH", 0)
    monkeypatch.setenv("GATEWAY_DATA", str(tmp_path))
    monkeypatch.setenv("GATEWAY_CACHE", "1GB")
    return tmp_path / "kept"


def asked(spec: LlamaCppSpec, path: Path) -> Asked:
    """What a freshly loaded model says, and how many tokens it did not compute."""

    async def ask() -> Asked:
        backend = LlamaCppBackend(spec, path)
        texts = ("Does the menu close", "the page is slow.")
        requests = [GenerationRequest("m", prompt=f"{ALIKE}{text}") for text in texts]
        backend.announce(requests)
        scores = [await backend.score_labels(each, LABELS) for each in requests]
        await backend.close()
        cached = [found.timings.cached_tokens for found in scores]
        return [found.logprobs for found in scores], cached

    return asyncio.run(ask())


def holds(spec: LlamaCppSpec, path: Path, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the first process writes, the second one reads, and all of them say the same."""
    with monkeypatch.context() as changed:
        changed.setenv("GATEWAY_CACHE", "off")
        alone, _ = asked(spec, path)
    assert not kept.exists()
    said, cached = asked(spec, path)
    assert (said, cached[0]) == (alone, 0)
    assert len(list(kept.iterdir())) == 1
    said, again = asked(spec, path)
    assert said == alone
    assert again[0] >= LEAST_TOKENS, "read from disk"


def as_said(name: str, folder: Path) -> tuple[LlamaCppSpec, Path]:
    path = write(name, folder)
    spec = LlamaCppSpec("m", PathSource(path), context_length=1024, threads=1, parallel=2)
    return spec, path


@pytest.mark.parametrize("name", ["llama", "deepseek2", "mamba2", "falconh1"])
def test_architectures(
    name: str, tmp_path: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    holds(*as_said(name, tmp_path), kept, monkeypatch)


@pytest.mark.parametrize("name", ["gemma3", "gptoss"])
def test_sliding_windows_are_not_kept(name: str, tmp_path: Path, kept: Path) -> None:
    spec, path = as_said(name, tmp_path)
    said, _ = asked(spec, path)
    assert not kept.exists()
    assert asked(spec, path)[0] == said


@pytest.mark.parametrize("attention", ["flash", "tiled"])
def test_flash_attention(
    few: tuple[LlamaCppSpec, Path],
    kept: Path,
    monkeypatch: pytest.MonkeyPatch,
    attention: Attention,
) -> None:
    spec, path = few
    holds(replace(spec, attention=attention), path, kept, monkeypatch)


def test_a_memory_of_another_number_of_sequences_keeps_its_own(
    few: tuple[LlamaCppSpec, Path], kept: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spec, path = few
    said, _ = asked(spec, path)
    before = set(kept.iterdir())
    alone = replace(spec, parallel=1)
    assert asked(alone, path)[0] == said
    assert before < set(kept.iterdir())
    assert asked(alone, path)[1][0] >= LEAST_TOKENS
    assert asked(spec, path)[1][0] >= LEAST_TOKENS
    assert not caplog.records


def test_an_adapter_never_reads_what_was_computed_without_it(tmp_path: Path, kept: Path) -> None:
    (path,) = write_gguf(tmp_path / "m.gguf")
    spec = LlamaCppSpec("m", PathSource(path), context_length=1024, threads=1, parallel=1)
    asked(spec, path)
    before = set(kept.iterdir())
    targets = {"blk.0.attn_q.weight": (WIDTH, HEADS * HEAD)}
    adapter = write_adapter(tmp_path / "a.gguf", 1, size=1.0, targets=targets)
    tuned = replace(spec, adapter=adapter)
    said, cached = asked(tuned, path)
    assert cached[0] == 0
    assert len(set(kept.iterdir()) - before) == 1
    again, cached = asked(tuned, path)
    assert (again, cached[0] >= LEAST_TOKENS) == (said, True)
    assert asked(replace(tuned, adapter_scale=0.5), path)[1][0] == 0


def test_a_run_announces_what_its_prompts_begin_with(tmp_path: Path, kept: Path) -> None:
    (path,) = write_gguf(tmp_path / "m.gguf")
    tasks = write_task(tmp_path)
    shown = "{# mode = 'score' #}{% block user %}" + ALIKE + "{{ text }}{% endblock %}"
    (tasks / "mine" / "alike.j2").write_text(shown.replace("'", '"'))
    models = tmp_path / "models.toml"
    models.write_text(f'[models.m]\nsource = {{ path = "{path}" }}\ncontext_length = 1024\n')

    def classified(text: str) -> Mapping[str, float]:
        (found,) = classify(
            [text], task="mine", model="m", strategy="alike", prompts=tasks, models_file=models
        ).answers
        return found.probabilities

    expected = classified("a menu")
    (file,) = kept.iterdir()
    written = file.stat().st_mtime_ns
    assert classified("another") != expected
    assert classified("a menu") == expected
    assert [each.stat().st_mtime_ns for each in kept.iterdir()] == [written]
    assert file.stat().st_atime_ns > written, "it was read"


def test_what_makes_no_size_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_CACHE", "much")
    with pytest.raises(ConfigError, match="GATEWAY_CACHE=much: 'much' is no size"):
        asked(*as_said("llama", tmp_path))


def test_nothing_is_kept_where_answers_may_depend_on_it(tmp_path: Path, kept: Path) -> None:
    spec, path = as_said("llama", tmp_path)
    asked(replace(spec, deterministic="off"), path)
    assert not kept.exists()
