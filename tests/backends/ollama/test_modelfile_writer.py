"""A Modelfile that is written says what the entry is, and Ollama's grammar reads it back."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.backends.fake import FakeSpec
from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.backends.llama_cpp.spec import LlamaCppSpec
from gateway.backends.ollama.modelfile_writer import quoted, save_modelfile, write_modelfile
from gateway.backends.ollama.templates.check import conversation
from gateway.backends.ollama.templates.go.ollama import OllamaTemplate
from gateway.backends.registry import load_models
from gateway.core.errors import ConfigError, ModelLoadError, ModelNotPulled
from gateway.core.types import GenerationRequest
from gateway.models.environment import shipped
from gateway.models.modelfile import parse
from gateway.models.spec import PathSource
from tests.conftest import spec_and_path

GREEDY = (
    ("temperature", "0"),
    ("top_k", "0"),
    ("top_p", "1"),
    ("min_p", "0"),
    ("repeat_penalty", "1"),
)
SHIPPED = "SmolLM2-135M-Instruct.Q4_1.Modelfile"


def smol(**changes: object) -> LlamaCppSpec:
    return replace(spec_and_path("smollm2-135m")[0], **changes)  # type: ignore[arg-type]


def test_it_says_weights_template_and_every_sampling_parameter() -> None:
    spec, path = spec_and_path("smollm2-135m")
    text = write_modelfile(spec, seed=7)
    read = parse(text)
    assert read.source == str(path)
    assert read.adapters == ()
    assert read.system == ""
    assert read.parameters == (
        ("num_ctx", "4096"),
        *GREEDY,
        ("seed", "7"),
        ("stop", "<|im_end|>"),
    )
    assert text.startswith("# gateway models modelfile smollm2-135m --seed 7\n")
    assert f"# {spec.sha256}.\n" in text
    assert "36 conversations, and of 34" in text


@pytest.mark.parametrize("name", ["smollm2-135m", "gemma3-270m-plain"])
@pytest.mark.parametrize("roles", ["u", "su", "suau"])
def test_ollama_is_told_to_read_the_tokens_that_the_gateway_reads(
    smollm2: LlamaCppBackend, gemma: LlamaCppBackend, name: str, roles: str
) -> None:
    backend = smollm2 if name == "smollm2-135m" else gemma
    messages = conversation(roles, [f"Text {number}." for number in range(len(roles))])
    own = backend.render(GenerationRequest(name, messages))
    template = OllamaTemplate(parse(write_modelfile(backend.spec)).template)
    told = backend.render(GenerationRequest(name, prompt=template.render(messages)))
    assert told.token_ids == own.token_ids


def test_the_context_is_lowered_to_what_the_model_was_trained_for() -> None:
    assert parse(write_modelfile(smol(context_length=1 << 20))).last("num_ctx") == "8192"


def test_an_answer_ends_where_the_entry_says() -> None:
    spec, _ = spec_and_path("gemma3-270m-plain")
    stops = [value for name, value in parse(write_modelfile(spec)).parameters if name == "stop"]
    assert stops == ["\n"]
    ends = write_modelfile(smol(end_of_turn='"Q:"'))
    stops = [value for name, value in parse(ends).parameters if name == "stop"]
    assert stops == ['"Q:"', "<|im_end|>"]


def test_an_adapter_is_named_and_its_scale_can_not_be(tmp_path: Path) -> None:
    adapter = tmp_path / "my adapter.gguf"
    with pytest.raises(ModelLoadError, match="no such file"):
        write_modelfile(smol(adapter=adapter))
    adapter.write_bytes(b"GGUF")
    assert parse(write_modelfile(smol(adapter=adapter))).adapters == (str(adapter),)
    with pytest.raises(ConfigError, match=r"adapter_scale = 0\.5"):
        write_modelfile(smol(adapter=adapter, adapter_scale=0.5))


def test_what_can_not_be_said_is_refused_with_a_way_out(tmp_path: Path) -> None:
    base, _ = spec_and_path("gemma3-270m")
    path = PathSource(spec_and_path("smollm2-135m")[1])
    with pytest.raises(ConfigError, match='chat_template = "plain"'):
        write_modelfile(base)
    with pytest.raises(ConfigError, match="model smollm2-135m: the chat template is of no family"):
        write_modelfile(smol(chat_template="{{ messages | tojson }}"))
    with pytest.raises(ConfigError, match="backend is fake"):
        write_modelfile(FakeSpec.like(smol()))
    with pytest.raises(ModelLoadError, match="sha256"):
        write_modelfile(smol(source=path, sha256="0" * 64))
    with pytest.raises(ModelNotPulled):
        write_modelfile(smol(source=PathSource(tmp_path / "absent.gguf")))
    with pytest.raises(ConfigError, match="three quotes"):
        write_modelfile(smol(chat_template='{% for m in messages %}"""{{ m.content }}{% endfor %}'))
    with pytest.raises(ConfigError, match=r"U\+200B"):
        write_modelfile(smol(end_of_turn="\u200b"))


def test_it_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    save_modelfile(tmp_path / "new" / "Modelfile", "FROM x\n")
    assert (tmp_path / "new" / "Modelfile").read_text() == "FROM x\n"
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        save_modelfile(tmp_path / "file" / "Modelfile", "FROM x\n")


@given(
    template=st.text(alphabet="{}\"' \n\t#aé▁<|", max_size=20),
    stop=st.text(min_size=1, max_size=6),
)
@example(template="", stop=" \n")
def test_a_value_comes_back_or_is_refused(template: str, stop: str) -> None:
    try:
        values = quoted(template), quoted(stop)
    except ConfigError:
        return
    read = parse(f"FROM m\nTEMPLATE {values[0]}\nPARAMETER stop {values[1]}\nPARAMETER seed 0\n")
    assert read.template == template
    assert read.parameters == (("stop", stop), ("seed", "0"))


def test_the_shipped_modelfile_is_what_is_written_today() -> None:
    """It is made by the command in its first line; FROM is the bare name of the file."""
    file = shipped("modelfiles") / SHIPPED
    lines = file.read_text(encoding="utf-8").splitlines()
    written = write_modelfile(load_models().get("smollm2-135m")).splitlines()
    weights = [number for number, line in enumerate(written) if line.startswith("FROM ")]
    assert [lines[number] for number in weights] == ["FROM ./SmolLM2-135M-Instruct.Q4_1.gguf"]
    assert len(lines) == len(written)
    assert [n for n, pair in enumerate(zip(lines, written, strict=True)) if len(set(pair)) > 1] == (
        weights
    )
