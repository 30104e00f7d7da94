"""A model with several chat templates: each is found by its name, wherever it is kept."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.backends.registry import load_models
from gateway.backends.transformers.tokenizer import FolderTokenizer
from gateway.core.errors import ConfigError, NoChatTemplate
from gateway.core.types import GenerationRequest, Message
from gateway.engine.llama.vocabulary import GgufVocabulary
from gateway.engine.reader import Reader
from gateway.engine.tokenizer import Tokenizer
from gateway.models.spec import ModelSpec, PathSource
from gateway.models.writing import put_entries
from tests.support.bases import write_tokenizer
from tests.support.tiny_gguf import write_gguf

pytestmark = pytest.mark.needs("tokenizers", "transformers", "llama_cpp")

USUAL, TOOLS = "{{ messages[0].content }} w1", "{{ messages[0].content }} w2"
ASKED = GenerationRequest("m", (Message("user", "w7"),))


def in_the_configuration(folder: Path) -> Tokenizer:
    """As a list in tokenizer_config.json."""
    write_tokenizer(folder)
    file = folder / "tokenizer_config.json"
    named = [{"name": "default", "template": USUAL}, {"name": "tool_use", "template": TOOLS}]
    file.write_text(json.dumps({**json.loads(file.read_text()), "chat_template": named}))
    return FolderTokenizer(folder)


def in_files(folder: Path) -> Tokenizer:
    """As chat_template.jinja, and others in a folder beside it."""
    write_tokenizer(folder)
    (folder / "chat_template.jinja").write_text(USUAL)
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "tool_use.jinja").write_text(TOOLS)
    return FolderTokenizer(folder)


def in_a_gguf(folder: Path) -> Tokenizer:
    named = [{"name": "default", "template": USUAL}, {"name": "tool_use", "template": TOOLS}]
    return GgufVocabulary(write_gguf(folder / "m.gguf", template=named)[0])


PLACES = [in_the_configuration, in_files, in_a_gguf]
Place = Callable[[Path], Tokenizer]


def spec_of(folder: Path, said: str) -> ModelSpec:
    file = folder / "models.toml"
    put_entries(file, {"m": {"source": {"path": str(folder)}, "chat_template": said}})
    return load_models(file).get("m")


@pytest.mark.parametrize("place", PLACES)
def test_the_usual_one_is_taken_and_another_by_name(tmp_path: Path, place: Place) -> None:
    tokenizer = place(tmp_path)
    plain = Reader(ModelSpec("m", PathSource(tmp_path)), tokenizer)
    named = Reader(spec_of(tmp_path, "tool_use"), tokenizer)
    assert plain.render(ASKED).text == "w7 w1"
    assert named.render(ASKED).text == "w7 w2"
    assert plain.identity != named.identity


@pytest.mark.parametrize("place", PLACES)
def test_a_name_that_the_model_lacks_is_told_with_those_that_it_has(
    tmp_path: Path, place: Place
) -> None:
    tokenizer = place(tmp_path)
    with pytest.raises(ConfigError, match="it has default, tool_use"):
        Reader(spec_of(tmp_path, "tool_us"), tokenizer)


def test_without_a_usual_one_the_names_are_told(tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    file = tmp_path / "tokenizer_config.json"
    named = [{"name": "rag", "template": USUAL}, {"name": "tool_use", "template": TOOLS}]
    file.write_text(json.dumps({**json.loads(file.read_text()), "chat_template": named}))
    reader = Reader(ModelSpec("m", PathSource(tmp_path)), FolderTokenizer(tmp_path))
    with pytest.raises(NoChatTemplate, match="has the chat templates rag, tool_use"):
        reader.render(ASKED)


def test_a_file_beside_the_entries_comes_before_a_name(tmp_path: Path) -> None:
    (tmp_path / "tool_use").write_text("{{ messages[0].content }} w3")
    reader = Reader(spec_of(tmp_path, "tool_use"), in_files(tmp_path))
    assert reader.render(ASKED).text == "w7 w3"
