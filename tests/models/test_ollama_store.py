"""Ollama's folder is read as the server reads it, and nothing outside of it."""

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import ConfigError, ModelLoadError, ModelNotPulled
from gateway.models.ollama_store import listed, resolve
from tests.support.ollama_stores import write_model

Made = Callable[..., list[Path]]
NAMES = {
    "smol": "registry.ollama.ai/library/smol/latest",
    "smol:plain": "registry.ollama.ai/library/smol/plain",
    "me/smol:q4_1": "registry.ollama.ai/me/smol/q4_1",
    "hf.co/me/smol-GGUF:Q4_K_M": "hf.co/me/smol-GGUF/Q4_K_M",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def make(root: Path) -> Made:
    return partial(write_model, root)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_means_the_manifest_that_the_server_means(root: Path, make: Made, name: str) -> None:
    for each, path in NAMES.items():
        make(path, ("model", b"GGUF" + each.encode()))
    found = resolve(root, name)
    assert found.weights.read_bytes() == b"GGUF" + name.encode()
    assert found.sha256 == hashlib.sha256(b"GGUF" + name.encode()).hexdigest()
    assert listed(root) == sorted({**NAMES, "smol:latest": ""}.keys() - {"smol"})


def test_all_layers_are_told(root: Path, make: Made) -> None:
    make(
        NAMES["smol"],
        ("model", b"GGUFw"),
        ("adapter", b"GGUFa"),
        ("template", b"{{ .Prompt }}"),
        ("system", b"Be brief."),
        ("params", b'{"num_ctx": 1024, "stop": ["x"]}'),
        ("license", b"MIT"),
        ("projector", b"GGUFp"),
    )
    found = resolve(root, "smol")
    assert [path.read_bytes() for path in found.adapters] == [b"GGUFa"]
    assert (found.template, found.system) == ("{{ .Prompt }}", "Be brief.")
    assert found.parameters == {"num_ctx": 1024, "stop": ["x"]}
    assert found.others == ("projector",)


def test_what_is_absent_says_what_to_do(root: Path, make: Made) -> None:
    with pytest.raises(ModelNotPulled, match="smol") as caught:
        resolve(root, "smol")
    assert "OLLAMA_MODELS" in str(caught.value.hint)
    make(NAMES["smol:plain"], ("model", b"GGUF"))
    with pytest.raises(ModelNotPulled) as caught:
        resolve(root, "smol")
    assert caught.value.hint == "ollama pull smol; there are: smol:plain"
    next((root / "blobs").iterdir()).unlink()
    with pytest.raises(ModelNotPulled, match="no such file"):
        resolve(root, "smol:plain")


@pytest.mark.parametrize(
    "layers",
    [
        (),
        (("image.tensor", b"x"),),
        (("model", b"GGUF1"), ("model", b"GGUF2")),
        (("model", b"PK"),),
    ],
)
def test_what_is_not_one_gguf_file_is_refused(
    root: Path, make: Made, layers: tuple[tuple[str, bytes], ...]
) -> None:
    make(NAMES["smol"], *layers)
    with pytest.raises(ModelLoadError, match="smol"):
        resolve(root, "smol")


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"layers": 1}', '{"layers": [{"mediaType": "m", "digest": "sha256:../x"}]}'],
)
def test_a_manifest_that_can_not_be_read_is_named(root: Path, make: Made, text: str) -> None:
    make(NAMES["smol"], ("model", b"GGUF"))
    manifest = root / "manifests" / NAMES["smol"]
    manifest.write_text(text)
    with pytest.raises(ModelLoadError, match="latest"):
        resolve(root, "smol")
    manifest.write_bytes(b" " * (1 << 20) + b"{}")
    with pytest.raises(ModelLoadError, match="more than"):
        resolve(root, "smol")


@given(name=st.text(alphabet="ab./:\\\0 ~é", max_size=20))
def test_no_name_leaves_the_folder(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    root = tmp_path_factory.getbasetemp() / "none"
    with pytest.raises((ConfigError, ModelNotPulled)):
        resolve(root, name)


@pytest.mark.parametrize(
    "name", ["", "..", "../../x", "a/../b", "/etc/passwd", "a:b:c/d", "a/b/c/d"]
)
def test_what_is_no_name_is_said(root: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="no name"):
        resolve(root, name)


def test_what_can_not_be_read_is_said(root: Path, make: Made) -> None:
    make(NAMES["smol"], ("model", b"GGUF"))
    with pytest.raises(ModelLoadError, match="cannot be read"):
        resolve(root, "a" * 256)
