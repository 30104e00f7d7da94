"""A person writes a Modelfile, and the gateway and Ollama's grammar both read it."""

from pathlib import Path

import pytest

from gateway.models.modelfile import parse
from tests.cli.conftest import Gateway
from tests.conftest import spec_and_path
from tests.support.ollama_stores import write_model


def test_it_is_printed_or_written_to_a_file(gateway: Gateway, tmp_path: Path) -> None:
    _, path = spec_and_path("smollm2-135m")
    printed = gateway("models", "modelfile", "smollm2-135m")
    assert (printed.code, printed.err) == (0, "")
    assert parse(printed.out).source == str(path)
    file = tmp_path / "Modelfile"
    written = gateway("models", "modelfile", "smollm2-135m", "--output", file)
    assert (written.code, written.out) == (0, "")
    assert str(file) in written.err
    assert file.read_text(encoding="utf-8") == printed.out


def test_what_is_written_is_an_entry_s_source_again(
    gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, path = spec_and_path("smollm2-135m")
    gateway("models", "modelfile", "smollm2-135m", "-o", tmp_path / "Modelfile")
    models = tmp_path / "models.toml"
    models.write_text('[models.again]\nsource = { modelfile = "Modelfile" }\n')
    monkeypatch.setenv("GATEWAY_MODELS", str(models))
    again = gateway("models", "modelfile", "again")
    assert again.code == 0, again.err
    assert parse(again.out) == parse((tmp_path / "Modelfile").read_text(encoding="utf-8"))
    assert parse(again.out).source == str(path)


def test_a_model_of_ollama_s_own_store_gets_its_own_template_back(
    gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, path = spec_and_path("smollm2-135m")
    root = tmp_path / "ollama"
    manifest = "registry.ollama.ai/library/smol/plain"
    blob, _ = write_model(root, manifest, ("model", path), ("template", b"{{ .Prompt }}"))
    models = tmp_path / "models.toml"
    models.write_text('[models.stored]\nsource = { ollama = "smol:plain" }\n')
    monkeypatch.setenv("OLLAMA_MODELS", str(root))
    monkeypatch.setenv("GATEWAY_MODELS", str(models))
    stored, own = (gateway("models", "modelfile", name) for name in ("stored", "smollm2-135m"))
    assert stored.code == 0, stored.err
    assert parse(stored.out).source == str(blob)
    assert parse(stored.out).template == parse(own.out).template


def test_what_can_not_be_written_is_said_with_a_way_out(gateway: Gateway, tmp_path: Path) -> None:
    spec_and_path("gemma3-270m")
    base = gateway("models", "modelfile", "gemma3-270m")
    assert (base.code, base.out) == (2, "")
    assert 'chat_template = "plain"' in base.err
    unknown = gateway("models", "modelfile", "nothing")
    assert unknown.code == 2
    assert "smollm2-135m" in unknown.err
    (tmp_path / "file").write_text("")
    refused = gateway("models", "modelfile", "smollm2-135m", "-o", tmp_path / "file" / "Modelfile")
    assert refused.code == 2
    assert "--output" in refused.err


@pytest.mark.needs("llama_cpp")
def test_a_model_that_is_not_here_is_one_to_pull(
    gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = tmp_path / "models.toml"
    models.write_text(
        '[models.far]\nsource = { hub = "owner/repo", file = "x.gguf" }\nsha256 = "'
        + "0" * 64
        + '"\n'
    )
    monkeypatch.setenv("GATEWAY_MODELS", str(models))
    done = gateway("models", "modelfile", "far")
    assert done.code == 2
    assert "gateway models pull far" in done.err


def test_help_shows_how_it_is_used(gateway: Gateway) -> None:
    said = gateway("models", "modelfile", "--help").out
    assert "gateway models modelfile smollm2-135m --output Modelfile" in said
    assert "ollama create" in said
