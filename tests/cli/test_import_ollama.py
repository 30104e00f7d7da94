"""A model of an Ollama store becomes an entry, and the entry answers as the same file elsewhere."""

import json
import tomllib
from pathlib import Path

import pytest

from tests.cli.conftest import Gateway
from tests.conftest import recorded_exchange, spec_and_path
from tests.support.ollama_stores import write_model

MANIFEST = "registry.ollama.ai/library/smol/plain"
SAID = (("system", b"Be brief."), ("params", b'{"num_ctx": 512}'))


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's models.toml, beside a store with the default model in it."""
    _, path = spec_and_path("smollm2-135m")
    root = tmp_path / "ollama"
    write_model(root, MANIFEST, ("model", path), *SAID)
    monkeypatch.setenv("OLLAMA_MODELS", str(root))
    own = tmp_path / "own" / "models.toml"
    monkeypatch.setenv("GATEWAY_MODELS", str(own))
    return own


def add_adapter(models: Path) -> Path:
    """Make Ollama's model one with an adapter."""
    _, path = spec_and_path("smollm2-135m")
    root = models.parent.parent / "ollama"
    return write_model(root, MANIFEST, ("model", path), *SAID, ("adapter", b"GGUF"))[-1]


def test_the_store_is_listed(gateway: Gateway, models: Path) -> None:
    done = gateway("models", "import-ollama")
    assert (done.code, done.out) == (0, "smol:plain\n")


def test_an_entry_is_written_and_is_the_same_model(gateway: Gateway, models: Path) -> None:
    done = gateway("models", "import-ollama", "smol:plain")
    assert done.code == 0, done.err
    assert "Be brief." in done.err
    assert tomllib.loads(models.read_text())["models"]["smol:plain"] == {
        "source": {"ollama": "smol:plain"},
        "sha256": spec_and_path("smollm2-135m")[0].sha256,
        "context_length": 512,
    }
    asked = ("classify", "--json", "The app crashes at start.")
    answers = [gateway(*asked, "-m", name) for name in ("smol:plain", "smollm2-135m")]
    assert [done.code for done in answers] == [0, 0]
    found = [json.loads(done.out) for done in answers]
    assert found[0]["probabilities"] == found[1]["probabilities"]
    shown = gateway("models", "show", "smol:plain").out
    assert "ollama:smol:plain" in shown
    assert "Q4_1" in shown


def test_what_is_in_the_file_stays_and_no_name_is_taken_twice(
    gateway: Gateway, models: Path
) -> None:
    models.parent.mkdir()
    models.write_text('# mine\n[models.own]\nsource = { path = "x.gguf" }\n')
    assert gateway("models", "import-ollama", "smol:plain", "--as", "smol").code == 0
    written = models.read_text()
    assert written.startswith('# mine\n[models.own]\nsource = { path = "x.gguf" }\n\n[models.smol]')
    for taken in ("smol", "own", "smollm2-135m", "no name"):
        done = gateway("models", "import-ollama", "smol:plain", "--as", taken)
        assert done.code != 0
        assert "--as" in done.err
    assert models.read_text() == written


def test_an_adapter_of_ollama_s_is_never_left_out_in_silence(
    gateway: Gateway, models: Path
) -> None:
    assert gateway("models", "import-ollama", "smol:plain", "--as", "before").code == 0
    blob = add_adapter(models)
    assert gateway("models", "import-ollama", "smol:plain", "--as", "after").code == 0
    assert tomllib.loads(models.read_text())["models"]["after"]["adapter"] == str(blob)
    done = gateway("classify", "-m", "before", "It crashes.")
    assert done.code != 0
    assert str(blob) in done.err
    listed = gateway("models", "list")
    assert listed.code == 0
    assert "unusable" in listed.out


def test_what_is_not_there_says_what_there_is(gateway: Gateway, models: Path) -> None:
    done = gateway("models", "import-ollama", "llama3.2:1b")
    assert done.code != 0
    assert "ollama pull llama3.2:1b" in done.err
    assert "smol:plain" in done.err
    assert not models.exists()


def test_where_ollama_s_template_differs_from_the_model_s_own_is_shown(
    gateway: Gateway, models: Path
) -> None:
    """Ollama's built-in template for this model loses its default system prompt."""
    shown = json.loads(recorded_exchange("026-show"))["response"]["json"]
    assert gateway("models", "import-ollama", "smol:plain").code == 0
    _, path = spec_and_path("smollm2-135m")
    template = ("template", str(shown["template"]).encode())
    write_model(models.parent.parent / "ollama", MANIFEST, ("model", path), template)
    said = " ".join(gateway("models", "show", "smol:plain").out.split())
    assert "renders otherwise than the model's own: a user's message" in said
    assert "You are a helpful AI assistant named SmolLM" in said
