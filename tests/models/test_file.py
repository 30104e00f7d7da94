"""models.toml: entries, inheritance, and one clear error for each mistake."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.backends.llama_cpp.spec import LlamaCppSpec
from gateway.backends.ollama.spec import OllamaSpec
from gateway.backends.registry import KINDS, load_models
from gateway.backends.transformers.spec import TransformersSpec
from gateway.core.errors import ConfigError, UnknownModel
from gateway.models.chat_template import PLAIN, ChatTemplate
from gateway.models.environment import adapters_root, ollama_host, ollama_key, shipped
from gateway.models.file import Models
from gateway.models.spec import HubSource, ModelSpec, OllamaSource, PathSource, PypiSource


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


def test_an_entry_may_be_like_a_shipped_one(tmp_path: Path) -> None:
    file = tmp_path / "models.toml"
    file.write_text('[models.mine]\nlike = "smollm2-135m"\nchat_template = "plain"\n')
    models = load_models(file)
    mine, shipped_one = models.get("mine"), models.get("smollm2-135m")
    assert (mine.source, mine.sha256) == (shipped_one.source, shipped_one.sha256)
    assert mine.chat_template == "plain"


def test_shipped_entries_name_no_file_beside_theirs() -> None:
    for spec in load_models().specs.values():
        assert not isinstance(spec.source, PathSource), spec.name
        assert spec.adapter is None
        assert spec.chat_template in ("", "plain")


def test_kernels_are_chosen_for_all_entries_at_once(tmp_path: Path) -> None:
    def kernels(models: Models) -> set[str]:
        return {s.kernels for s in models.specs.values() if isinstance(s, LlamaCppSpec)}

    assert kernels(load_models()) == {"decode"}
    assert kernels(load_models(write(tmp_path, 'kernels = "prefill"'))) == {"prefill"}
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
        system = "merge"
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
    assert (models.get("mine").system, models.get("hub").system) == ("merge", "auto")
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
        ("[models.x]\nsource = { path = 'm' }\nsystem = 'drop'", "system"),
        ("[models.x]\nsource = { path = 'm' }\nrepack = 'yes'", "repack: Input should be true or"),
        ("[models.x]\nsource = { path = 'm' }\nthreads = '2'", "threads: Input should be a valid"),
        (
            "[models.x]\nsource = { path = 'm' }\nparallel = true",
            "parallel: Input should be a valid",
        ),
        ("[models.x]\nsource = { path = 1 }", "source: path"),
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
    assert set(KINDS) == {"llama_cpp", "transformers", "ollama", "fake"}


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
    with pytest.raises(ConfigError, match=r"models\.m: .*none cannot be read"):
        load_models(file)


def test_a_wrong_name_of_an_ollama_model_is_named(tmp_path: Path) -> None:
    file = write(tmp_path, '[models.m]\nsource = { ollama = "../x" }\n')
    with pytest.raises(ConfigError, match=r"models\.toml: models\.m: '\.\./x' is no name"):
        load_models(file)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ('{ url = "x" }', "one of the keys path, hub, pypi, ollama, modelfile"),
        ('"m.gguf"', "one of the keys"),
        ('{ hub = "a/b" }', r"models\.m: source\.file: which file of the repository"),
        ('{ path = "x", sha = "y" }', "source: unknown key 'sha'"),
    ],
)
def test_a_wrong_source_says_what_its_kind_wants(tmp_path: Path, source: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_models(write(tmp_path, f"[models.m]\nsource = {source}\n"))


TORCH = '[models.m]\nbackend = "transformers"\nsource = { path = "folder" }\n'
SERVED = '[models.m]\nbackend = "ollama"\nsource = { ollama = "llama3.2:1b" }\n'


def test_an_entry_on_an_ollama_server_asks_one_thing_at_a_time_unless_it_says_so(
    tmp_path: Path,
) -> None:
    spec = load_models(write(tmp_path, SERVED)).get("m")
    assert isinstance(spec, OllamaSpec)
    assert (spec.backend, spec.source) == ("ollama", OllamaSource("llama3.2:1b"))
    assert (spec.parallel, spec.route, spec.host) == (1, None, "")
    more = 'parallel = 3\nroute = "chat"\nhost = "http://box:11434"\n'
    spec = load_models(write(tmp_path, SERVED + more)).get("m")
    assert isinstance(spec, OllamaSpec)
    assert (spec.parallel, spec.route, spec.host) == (3, "chat", "http://box:11434")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SERVED + f'sha256 = "{"0" * 64}"', "sha256: decided by the Ollama server"),
        (SERVED + 'attention = "flash"', 'attention: only with backend = "llama_cpp"'),
        (SERVED + 'host = "box:11434"', "host"),
        (SERVED + 'host = "http://box:11434/path"', "host"),
        (SERVED + 'route = "guess"', "route"),
        (TORCH + "batch_tokens = 64", 'batch_tokens: only with backend = "llama_cpp"'),
        (TORCH + 'device = "tpu"', "device"),
        ('[models.m]\nsource = { path = "x" }\ndtype = "float16"', "dtype: only with backend"),
        ('[models.m]\nbackend = "ollama"\nsource = { path = "x" }', "has a source { ollama"),
        ('[models.m]\nsource = { path = "x" }\nroute = "raw"', "route: only with backend"),
        ('[models.m]\nsource = { ollama = "x" }\nhost = "http://b"', "host: only with backend"),
    ],
)
def test_keys_that_an_entry_s_backend_does_not_have_are_refused(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        load_models(write(tmp_path, text))


def test_a_model_of_the_ollama_server_needs_no_entry_but_is_asked_for_by_name() -> None:
    models = load_models()
    with pytest.raises(UnknownModel):
        models.get("ollama:llama3.2:1b")
    spec = models.serving(["smollm2-135m", "ollama:llama3.2:1b"]).get("ollama:llama3.2:1b")
    assert (spec.backend, spec.source) == ("ollama", OllamaSource("llama3.2:1b"))
    with pytest.raises(ConfigError, match="no name of an Ollama model"):
        models.serving(["ollama:a/b/c/d"])


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("", "http://127.0.0.1:11434"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:8080", "http://127.0.0.1:8080"),
        (":8080", "http://127.0.0.1:8080"),
        ("box", "http://box:11434"),
        ("http://box", "http://box:80"),
        ("https://box/", "https://box:443"),
        ("[::1]:8080", "http://[::1]:8080"),
        (' "box:1" ', "http://box:1"),
    ],
)
def test_ollama_host_is_read_as_ollama_reads_it(
    monkeypatch: pytest.MonkeyPatch, given: str, url: str
) -> None:
    """Cases: `Host` in Ollama's `envconfig/config.go`."""
    monkeypatch.setenv("OLLAMA_HOST", given)
    assert ollama_host() == url


def test_a_port_that_is_none_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "box:99999")
    with pytest.raises(ConfigError, match="no port that is one"):
        ollama_host()


def test_the_key_is_shown_to_the_server_of_the_environment_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "https://box")
    monkeypatch.setenv("OLLAMA_API_KEY", "secret")
    assert ollama_key("https://box:443") == "secret"
    assert ollama_key("http://elsewhere:11434") == ""


def test_an_entry_on_torch_says_number_type_device_and_adapter(tmp_path: Path) -> None:
    more = 'dtype = "bfloat16"\ndevice = "cuda:1"\nadapter = "lora"\n'
    spec = load_models(write(tmp_path, TORCH + more)).get("m")
    assert isinstance(spec, TransformersSpec)
    assert (spec.backend, spec.dtype, spec.device) == ("transformers", "bfloat16", "cuda:1")
    assert spec.adapter == tmp_path / "lora"


@pytest.fixture
def adapters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root with "exported", which llama.cpp can read, and "trained", which it cannot."""
    for name in ("exported", "trained"):
        (tmp_path / name).mkdir()
    (tmp_path / "exported" / "adapter.gguf").touch()
    monkeypatch.setenv("GATEWAY_ADAPTERS", str(tmp_path))
    return tmp_path


def test_an_entry_and_an_adapter_are_a_model_by_name(adapters: Path) -> None:
    names = ["smollm2-135m-torch+trained", "smollm2-135m+exported", "smollm2-135m"]
    models = load_models().serving(names)
    on_torch, on_llama_cpp, base = map(models.get, names)
    assert on_torch.adapter == adapters / "trained"
    assert on_llama_cpp.adapter == adapters / "exported" / "adapter.gguf"
    assert replace(on_llama_cpp, name=base.name, adapter=None) == base
    assert base.adapter is None


def test_an_adapter_that_llama_cpp_can_not_read_says_how_to_export_it(adapters: Path) -> None:
    with pytest.raises(ConfigError, match=r"holds no adapter\.gguf") as caught:
        load_models().serving(["smollm2-135m+trained"])
    assert caught.value.hint == "gateway adapters export trained --base smollm2-135m"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("smollm2-135m-torch+trains", "no adapter is called 'trains'"),
        ("smollm2-135m-torch+", "'' cannot name an adapter"),
        ("smollm2-135m-torch+../trained", "cannot name an adapter"),
        ("smollm2-135m-torch+trained+exported", "cannot name an adapter"),
        ("nothing+trained", "no model is called 'nothing'"),
        ("+trained", "no model is called ''"),
        ("ollama:llama3.2:1b+trained", "has the backend ollama"),
        ("tuned+trained", "tuned has an adapter already"),
    ],
)
def test_a_name_that_makes_no_model_says_why(adapters: Path, name: str, said: str) -> None:
    file = write(adapters, '[models.tuned]\nsource = { path = "a.gguf" }\nadapter = "b.gguf"\n')
    with pytest.raises(ConfigError, match=re.escape(said)):
        load_models(file).serving([name])


def test_an_unknown_adapter_says_which_there_are(adapters: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_models().serving(["smollm2-135m-torch+trains"])
    assert caught.value.hint == "known: exported, trained, issue-triage"


def test_adapters_lie_in_the_data_folder_unless_the_environment_says_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GATEWAY_ADAPTERS", raising=False)
    monkeypatch.setenv("GATEWAY_DATA", str(tmp_path))
    assert adapters_root() == tmp_path / "adapters"
    monkeypatch.setenv("GATEWAY_ADAPTERS", "~/mine")
    assert adapters_root() == Path.home() / "mine"


def test_no_entry_has_more_sequences_than_are_asked_for(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        '[models.two]\nsource = { path = "a.gguf" }\nparallel = 2\n'
        '[models.nine]\nsource = { path = "a.gguf" }\nparallel = 9\n',
    )
    models = load_models(file)
    asked = {most: models.at_most(most) for most in (0, 1, 5, 100)}
    assert [asked[most].get("two").parallel for most in asked] == [1, 1, 2, 2]
    assert [asked[most].get("nine").parallel for most in asked] == [1, 1, 5, 9]
    assert models.get("nine").parallel == 9
