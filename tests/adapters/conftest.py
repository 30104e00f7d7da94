"""A base of two layers with a tokenizer, which takes milliseconds, and facts of it."""

from pathlib import Path

import pytest

from gateway.adapters.base import Base, read_base
from gateway.config import ModelSpec, PathSource
from tests.backends.transformers.tiny import write_model
from tests.conftest import spec_and_path
from tests.torch_models import NAME


def entry(folder: Path, **changes: object) -> ModelSpec:
    return ModelSpec("tiny", PathSource(folder), backend="transformers", **changes)  # type: ignore[arg-type]


def facts(folder: Path) -> Base:
    return read_base(entry(folder), folder)


def write_tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(WordLevel({f"w{n}": n for n in range(160)}, unk_token="w0"))
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="w0").save_pretrained(folder)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_model(tmp_path_factory.mktemp("tiny"))
    write_tokenizer(folder)
    return folder


@pytest.fixture(scope="session")
def smollm2_base() -> Base:
    """Facts of the GGUF file."""
    return read_base(*spec_and_path(NAME))
