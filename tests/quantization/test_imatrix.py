"""Importance matrices: the file as llama.cpp reads and writes it, and what is collected."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFWriter, dequantize

from gateway.core.errors import DataError
from gateway.engine.llama.quantizer import quantize
from gateway.engine.llama.vocabulary import GgufVocabulary
from gateway.models.gguf_reader import RawReader
from gateway.quantization import activations
from gateway.quantization.activations import collect
from gateway.quantization.chunks import chunks_of, read_text
from gateway.quantization.imatrix import Imatrix, read_imatrix, write_imatrix
from gateway.quantization.importance import matrix_file
from gateway.quantization.names import parse_level
from gateway.quantization.source import Given
from tests.quantization.conftest import TEXT
from tests.quantization.tiny import LAYERS, write_tiny

LENGTH = 32


def made(width: int) -> Imatrix:
    draw = np.random.default_rng(1)
    names = [
        f"blk.{layer}.{name}.weight"
        for layer in range(LAYERS)
        for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
    ]
    sums = {n: draw.uniform(1, 100, (1, width)).astype(np.float32) for n in names}
    return Imatrix(sums, {n: np.array([50], np.float32) for n in names}, ("text",), 2, 25)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    matrix = made(256)
    write_imatrix(matrix, tmp_path / "imatrix.gguf")
    found = read_imatrix(tmp_path / "imatrix.gguf")
    assert (found.datasets, found.chunks, found.chunk_tokens) == (("text",), 2, 25)
    assert found.sums.keys() == matrix.sums.keys()
    for name, mean in found.importance().items():
        assert np.array_equal(mean, matrix.sums[name][0] / 50)


def test_an_expert_that_met_no_token_counts_all_inputs_alike() -> None:
    sums = np.array([[4, 8], [0, 0]], np.float32)
    matrix = Imatrix({"x": sums}, {"x": np.array([2, 0], np.float32)}, (), 1, 2)
    assert matrix.importance()["x"].tolist() == [2, 4, 1, 1]


@pytest.mark.needs("llama_cpp")
def test_with_it_a_level_of_two_bits_is_made(tmp_path: Path) -> None:
    source = write_tiny(tmp_path / "tiny.gguf")
    number = parse_level("IQ2_XXS").number
    assert number is not None
    without = quantize(
        source,
        tmp_path / "made.gguf",
        number,
        importance=made(256).importance(),
        threads=2,
        on_tensor=lambda _: None,
    )
    assert without == ("token_embd.weight",)


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "imatrix.dat"
    text.write_bytes(b"\1\0\0\0legacy")
    with pytest.raises(DataError, match="no GGUF importance matrix"):
        read_imatrix(text)
    with pytest.raises(DataError, match="no such file"):
        read_imatrix(tmp_path / "absent")
    with pytest.raises(DataError, match=r"lacks imatrix\.datasets"):
        read_imatrix(write_tiny(tmp_path / "model.gguf"))
    broken = made(256)
    broken.sums["blk.0.attn_q.weight"][0, 3] = np.inf
    write_imatrix(broken, tmp_path / "broken.gguf")
    with pytest.raises(DataError, match="no numbers"):
        read_imatrix(tmp_path / "broken.gguf")


def test_a_matrix_without_its_counts_is_refused(tmp_path: Path) -> None:
    writer = GGUFWriter(tmp_path / "half.gguf", "")
    writer.add_array("imatrix.datasets", ["x"])
    writer.add_uint32("imatrix.chunk_count", 1)
    writer.add_uint32("imatrix.chunk_size", 1)
    writer.add_tensor("blk.0.attn_q.weight.in_sum2", np.ones((1, 4), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(DataError, match="no readable importance matrix"):
        read_imatrix(tmp_path / "half.gguf")


def test_what_is_collected_are_the_squared_inputs(smollm2_file: Given) -> None:
    """Of the first block's queries they follow from the file: embeddings, normalized."""
    text = read_text(TEXT)[:400]
    done: list[None] = []
    found = collect(
        smollm2_file,
        text,
        "text.txt",
        length=LENGTH,
        threads=1,
        begin=lambda _: lambda: done.append(None),
    )
    vocabulary = GgufVocabulary(smollm2_file.path)
    chunks = chunks_of(vocabulary, text, LENGTH)
    vocabulary.close()
    tokens = [token for chunk in chunks for token in chunk]
    assert len(done) == found.chunks == len(chunks)
    assert {int(count[0]) for count in found.counts.values()} == {len(tokens)}
    matrices = {
        t.name for t in smollm2_file.header.tensors if ".attn_" in t.name or "ffn" in t.name
    }
    assert found.sums.keys() == {name for name in matrices if "norm" not in name}
    tensors = {tensor.name: tensor for tensor in RawReader(smollm2_file.path).tensors}
    embedding = tensors["token_embd.weight"]
    states = dequantize(embedding.data, embedding.tensor_type)[tokens].astype(np.float64)
    epsilon = smollm2_file.header.of_architecture("attention.layer_norm_rms_epsilon")
    states /= np.sqrt((states**2).mean(axis=1, keepdims=True) + epsilon)
    states *= tensors["blk.0.attn_norm.weight"].data
    np.testing.assert_allclose(
        found.sums["blk.0.attn_q.weight"][0], (states**2).sum(axis=0), rtol=1e-4
    )


def test_a_text_s_matrix_is_kept_and_made_once_for_a_model(
    smollm2_file: Given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "data.csv"
    table.write_text("title,label\n" + '"A long enough title, again and again",bug\n' * 12)
    monkeypatch.setattr(activations, "CHUNK_TOKENS", LENGTH)
    begun: list[int] = []

    def begin(chunks: int) -> Callable[[], None]:
        begun.append(chunks)
        return lambda: None

    made = [
        matrix_file(smollm2_file, table, tmp_path / "out", threads=1, begin=begin) for _ in range(2)
    ]
    assert made[0] == made[1] == tmp_path / "out" / "smollm2-135m.imatrix.gguf"
    assert len(begun) == 1
    (dataset,) = read_imatrix(made[0]).datasets
    assert dataset.startswith("data.csv ")
    assert matrix_file(smollm2_file, made[0], tmp_path) == made[0]
    table.write_text("title,label\n" + "another title,question\n" * 18)
    matrix_file(smollm2_file, table, tmp_path / "out", threads=1, begin=begin)
    assert len(begun) == 2
