"""A sentence encoder: its vectors, what it refuses, and what is kept of them."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from gateway.backends import embeddings as kept
from gateway.backends.embeddings import EmbeddingStore, embeddings
from gateway.backends.encoder import Encoder, embed, find_encoder, read_encoder
from gateway.core.errors import ConfigError, MissingExtra, ModelLoadError, StoreError
from tests.support.encoders import MOST_TOKENS, WIDTH, write_encoder, write_pooling, write_steps

pytestmark = pytest.mark.needs("torch", "transformers")

TEXTS = ["w3 w5 w7", "w3", "w9 w9 w2 w1 w4", " ".join(f"w{n}" for n in range(30)), "", "w3 w5 w7 "]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def encoder(folder: Path) -> Encoder:
    return read_encoder(folder)


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """The encoder's folder, to be damaged."""
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def vectors(encoder: Encoder, *texts: str, threads: int = 1) -> NDArray[np.float32]:
    return np.array([each.vector for each in embed(encoder, texts, lambda: None, threads=threads)])


def test_a_vector_is_the_mean_of_the_last_states_and_of_length_one(encoder: Encoder) -> None:
    import torch
    from transformers import BertModel

    model = BertModel.from_pretrained(encoder.folder).eval()
    with torch.no_grad():
        states = model(input_ids=torch.tensor([[3, 5, 7]])).last_hidden_state[0]
    mean = states.mean(dim=0)
    (found,) = vectors(encoder, "w3 w5 w7")
    np.testing.assert_allclose(found, mean / mean.norm(), atol=1e-6)
    assert found.shape == (WIDTH,)


def test_a_vector_depends_on_no_other_text_and_on_no_number_of_threads(encoder: Encoder) -> None:
    together = vectors(encoder, *TEXTS, threads=3)
    assert together.tobytes() == vectors(encoder, *TEXTS).tobytes()
    for row, text in enumerate(TEXTS):
        assert vectors(encoder, text).tobytes() == together[row].tobytes()


def test_of_a_long_text_the_beginning_is_read_and_that_is_said(encoder: Encoder) -> None:
    found = list(embed(encoder, TEXTS, lambda: None, threads=1))
    assert [each.cut for each in found] == [False, False, False, True, False, False]
    beginning = " ".join(TEXTS[3].split()[:MOST_TOKENS])
    assert vectors(encoder, beginning).tobytes() == found[3].vector.tobytes()


@pytest.mark.parametrize(
    ("own", "tokenizers", "most"),
    [
        ({"max_seq_length": 12}, {"model_max_length": 8}, 12),
        ({}, {"model_max_length": 8}, 8),
        ({}, {"model_max_length": 10**30}, 40),
        ({}, {}, 40),
    ],
)
def test_where_the_encoder_does_not_say_how_much_it_reads_its_tokenizer_does(
    copy: Path, own: dict[str, int], tokenizers: dict[str, int], most: int
) -> None:
    (copy / "sentence_bert_config.json").write_text(json.dumps(own))
    (copy / "tokenizer_config.json").write_text(json.dumps(tokenizers))
    assert read_encoder(copy).most_tokens == most


def test_text_that_no_tokenizer_reads_is_read_all_the_same(encoder: Encoder) -> None:
    assert np.isfinite(vectors(encoder, "w3 \ud800 w5")).all()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda f: (f / "config.json").unlink(), "no sentence encoder in it"),
        (lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"), "no safetensors"),
        (lambda f: write_steps(f, "Transformer", "Pooling", "Dense"), "Pooling, Dense, and read"),
        (lambda f: write_steps(f, "WordEmbeddings", "Pooling"), "WordEmbeddings, Pooling, and"),
        (lambda f: (f / "modules.json").write_text("{}"), "no list of steps"),
        (lambda f: (f / "modules.json").write_text("[1"), "cannot be read"),
        (lambda f: write_pooling(f, pooling_mode_cls_token=True), "pooling_mode_cls_token, and"),
        (lambda f: write_pooling(f), "of no known kind"),
    ],
)
def test_what_is_no_encoder_of_this_kind_is_refused(
    copy: Path, damage: Callable[[Path], object], said: str
) -> None:
    damage(copy)
    with pytest.raises(ModelLoadError, match=said):
        read_encoder(copy)


def test_weights_that_cannot_be_read_are_one_error(copy: Path) -> None:
    (copy / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(ModelLoadError, match=str(copy)):
        vectors(read_encoder(copy), "w3")


def test_other_weights_are_another_encoder(copy: Path, encoder: Encoder) -> None:
    assert read_encoder(copy).digest == encoder.digest
    (copy / "model.safetensors").write_bytes(b"others")
    assert read_encoder(copy).digest != encoder.digest


def test_the_environment_names_an_encoder_or_none(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_ENCODER", str(folder))
    assert find_encoder() == find_encoder(True) == read_encoder(folder)
    assert find_encoder(False) is None
    monkeypatch.setenv("GATEWAY_ENCODER", "off")
    assert find_encoder() is None
    with pytest.raises(ConfigError, match="GATEWAY_ENCODER is off"):
        find_encoder(True)


def test_without_the_extra_there_is_none_and_who_wants_one_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("GATEWAY_ENCODER")
    monkeypatch.setattr("gateway.backends.encoder._PACKAGE", "a-package-that-is-not-there")
    monkeypatch.setattr("gateway.core.extras.is_installed", lambda _: False)
    assert find_encoder() is None
    with pytest.raises(MissingExtra, match='"encoders" brings it'):
        find_encoder(True)


# What is kept.


def test_a_text_is_encoded_once(
    encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[int] = []

    @contextmanager
    def counting(total: int) -> Iterator[Callable[[], None]]:
        counted.append(total)
        yield lambda: counted.append(1)

    file = tmp_path / "embeddings.sqlite"
    first = embeddings(encoder, [*TEXTS, *TEXTS], file, counting, threads=1)
    assert counted == [len(TEXTS), *[1] * len(TEXTS)]
    monkeypatch.setattr(kept, "embed", None)
    again = embeddings(encoder, TEXTS, file, counting, threads=1)
    assert counted[0] == sum(counted[1:]) == len(TEXTS)
    assert [e.vector.tobytes() for e in [*again, *again]] == [e.vector.tobytes() for e in first]
    assert [e.cut for e in again] == [e.cut for e in first[: len(TEXTS)]]


def test_what_another_encoder_made_is_not_taken(encoder: Encoder, tmp_path: Path) -> None:
    file = tmp_path / "embeddings.sqlite"
    embeddings(encoder, ["w3"], file, threads=1)
    for other in (
        Encoder(encoder.folder, "0" * 64, encoder.most_tokens),
        Encoder(encoder.folder, encoder.digest, 4),
    ):
        assert EmbeddingStore(file, other).get("w3") is None


def test_the_oldest_are_forgotten_first(
    encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "MOST_BYTES", 2 * 4 * WIDTH)
    file = tmp_path / "embeddings.sqlite"
    embeddings(encoder, ["w1", "w2", "w3"], file, threads=1)
    store = EmbeddingStore(file, encoder)
    assert [store.get(text) is None for text in ("w1", "w2", "w3")] == [True, False, False]


def test_a_store_of_another_kind_is_refused(encoder: Encoder, tmp_path: Path) -> None:
    file = tmp_path / "embeddings.sqlite"
    file.write_text("no database, " * 100)
    with pytest.raises(StoreError, match="store of embeddings"):
        embeddings(encoder, ["w3"], file, threads=1)
