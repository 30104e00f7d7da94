"""models.toml: entries, inheritance, and one clear error for each mistake."""

from pathlib import Path

import pytest

from gateway.backends.base import backend_names
from gateway.chat_template import PLAIN, ChatTemplate
from gateway.config import (
    HubSource,
    ModelSpec,
    OllamaSource,
    PathSource,
    PypiSource,
    load_models,
    shipped,
)
from gateway.errors import ConfigError, UnknownModel


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "models.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_shipped_entries_load_and_the_default_is_one_of_them() -> None:
    models = load_models()
    spec = models.get(models.default)
    assert isinstance(spec.source, PypiSource)
    assert len(spec.sha256) == 64
    assert (shipped("prompts") / "issue-triage" / "task.toml").is_file()


def test_an_entry_takes_what_it_does_not_set_from_the_one_it_is_like() -> None:
    models = load_models()
    base, plain = models.get("gemma3-270m"), models.get("gemma3-270m-plain")
    assert plain.source == base.source
    assert plain.sha256 == base.sha256
    assert (base.chat_template, plain.chat_template) == ("", "plain")


def test_kernels_are_chosen_for_all_entries_at_once(tmp_path: Path) -> None:
    assert {spec.kernels for spec in load_models().specs.values()} == {"decode"}
    own = load_models(write(tmp_path, 'kernels = "prefill"'))
    assert {spec.kernels for spec in own.specs.values()} == {"prefill"}
    with pytest.raises(ConfigError, match="kernels"):
        load_models(write(tmp_path, 'kernels = "fast"'))


def test_a_user_s_entry_adds_to_the_shipped_ones_and_may_replace_one(tmp_path: Path) -> None:
    (tmp_path / "chat.jinja").write_text("{{ messages[0].content }}")
    path = write(
        tmp_path,
        """
        default = "mine"
        [models.mine]
        source = { path = "weights/m.gguf" }
        chat_template = "chat.jinja"
        [models.hub]
        source = { hub = "owner/repo", file = "x.gguf" }
        [models.smollm2-135m]
        source = { path = "/elsewhere.gguf" }
        """,
    )
    models = load_models(path)
    assert models.default == "mine"
    assert models.get("mine").source == PathSource(tmp_path / "weights" / "m.gguf")
    assert models.get("mine").chat_template == "{{ messages[0].content }}"
    assert models.get("hub").source == HubSource("owner/repo", "x.gguf", "main")
    assert models.get("smollm2-135m").source == PathSource(Path("/elsewhere.gguf"))
    assert "gemma3-270m" in models.specs


def test_the_environment_names_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "[models.mine]\nsource = { path = 'm.gguf' }")
    monkeypatch.setenv("GATEWAY_MODELS", str(path))
    assert "mine" in load_models().specs


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[models.x", "no valid TOML"),
        ("[models.x]", "source"),
        ("[models.x]\nsource = { path = 'm' }\ncontext = 5", "context"),
        ("[models.x]\nsource = { path = 'm' }\ncontext_length = 1", "context_length"),
        ("[models.x]\nsource = { path = 'm' }\nparallel = 1000", "parallel"),
        ("[models.x]\nsource = { path = 'm' }\nsha256 = 'abc'", "sha256"),
        ("[models.x]\nsource = { path = 'm' }\nbackend = 'gpt'", "backend"),
        ("[models.x]\nsource = { path = 'm' }\nchat_template = 'no.jinja'", "no such file"),
        ("[models.x]\nlike = 'nobody'", "nobody"),
        ("[models.'../x']\nsource = { path = 'm' }", "models"),
        ("default = 'nobody'", "nobody"),
        ("surprise = 1", "surprise"),
    ],
)
def test_a_mistake_is_named_with_its_file(tmp_path: Path, text: str, said: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_models(path)
    assert str(path) in caught.value.message
    assert said in caught.value.message


def test_a_named_file_that_is_absent_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_models(tmp_path / "absent.toml")


def test_an_unknown_model_is_never_answered_by_another() -> None:
    with pytest.raises(UnknownModel, match="smollm2-135m"):
        load_models().get("gpt-5")


def test_every_backend_that_an_entry_may_name_is_registered() -> None:
    assert set(backend_names()) == {"llama_cpp", "fake"}


def test_the_plain_template_compiles() -> None:
    assert ChatTemplate(PLAIN)


MODELFILE = """FROM {weights}
ADAPTER lora.gguf
SYSTEM Be brief.
PARAMETER num_ctx 512
PARAMETER top_k 5
MESSAGE user hello
"""


def of_modelfile(folder: Path, text: str, more: str = "") -> ModelSpec:
    (folder / "Modelfile").write_text(text)
    file = folder / "models.toml"
    file.write_text(f'[models.m]\nsource = {{ modelfile = "Modelfile" }}\n{more}')
    return load_models(file).get("m")


def test_a_modelfile_gives_weights_adapter_and_context(tmp_path: Path) -> None:
    spec = of_modelfile(tmp_path, MODELFILE.format(weights="./m.gguf"))
    assert spec.source == PathSource(tmp_path / "m.gguf")
    assert (spec.adapter, spec.context_length) == (tmp_path / "lora.gguf", 512)
    said = " ".join(spec.left_out)
    assert all(what in said for what in ("Be brief.", "top_k", "MESSAGE"))
    assert "num_ctx" not in said
    spec = of_modelfile(tmp_path, MODELFILE.format(weights="smol:plain"), "context_length = 256")
    assert spec.source == OllamaSource("smol:plain")
    assert spec.context_length == 256


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("FORM x", "Modelfile: line 1"),
        ("FROM m\nPARAMETER num_ctx many", "context_length"),
        ("FROM m\nADAPTER a\nADAPTER b", "2 adapters"),
    ],
)
def test_a_wrong_modelfile_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        of_modelfile(tmp_path, text)


def test_an_absent_modelfile_is_named(tmp_path: Path) -> None:
    file = tmp_path / "models.toml"
    file.write_text('[models.m]\nsource = { modelfile = "none" }\n')
    with pytest.raises(ConfigError, match=r"models\.m: .*none can not be read"):
        load_models(file)


def test_a_wrong_name_of_an_ollama_model_is_named(tmp_path: Path) -> None:
    file = write(tmp_path, '[models.m]\nsource = { ollama = "../x" }\n')
    with pytest.raises(ConfigError, match=r"models\.toml: '\.\./x' is no name"):
        load_models(file)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ('{ url = "x" }', "one of the keys path, hub, pypi, ollama, modelfile"),
        ('"m.gguf"', "one of the keys"),
        ('{ hub = "a/b" }', r"models\.m\.source\.hub\.file: Field required"),
        ('{ path = "x", sha = "y" }', r"source\.path\.sha: Extra"),
    ],
)
def test_a_wrong_source_says_what_its_kind_wants(tmp_path: Path, source: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_models(write(tmp_path, f"[models.m]\nsource = {source}\n"))
