"""The quick reader has the bytes of gguf's own."""

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from gateway.core.errors import ModelLoadError
from gateway.models.gguf_reader import RawReader
from gateway.models.weights import gguf_contents_digest


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with a value of every kind."""
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "llama")
    writer.add_token_list(["a", "", "größer", "x" * 300])
    writer.add_token_types([1, 2, 3, 4])
    writer.add_token_scores([0.5, -1.0, 2.0, 0.0])
    writer.add_array("llama.flags", [True, False])
    writer.add_uint8("llama.small", 7)
    writer.add_float64("llama.wide", 0.1)
    writer.add_string("tokenizer.ggml.pre", "smollm")
    writer.add_tensor("blk.0.x", np.arange(64, dtype=np.float32).reshape(2, 32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return tmp_path / "m.gguf"


def bytes_of(reader: Any) -> dict[str, bytes]:
    fields = {name: b"".join(p.tobytes() for p in f.parts) for name, f in reader.fields.items()}
    return fields | {str(t.name): t.data.tobytes() for t in reader.tensors}


def test_every_field_and_tensor_has_the_bytes_that_gguf_finds(path: Path) -> None:
    found = bytes_of(RawReader(path))
    assert found == bytes_of(gguf.GGUFReader(path))
    assert {"tokenizer.ggml.tokens", "llama.flags", "blk.0.x"} <= found.keys()


def test_a_file_cut_within_an_array_is_no_readable_gguf(path: Path, tmp_path: Path) -> None:
    whole = path.read_bytes()
    end = whole.index(b"x" * 300) + 300
    cut = tmp_path / "cut.gguf"
    for size in (end - 1, end - 300, end - 304, end - 400):
        cut.write_bytes(whole[:size])
        with pytest.raises(ModelLoadError, match="no readable GGUF"):
            gguf_contents_digest(cut)


def test_a_length_that_no_file_has_is_no_readable_gguf(path: Path) -> None:
    data = bytearray(path.read_bytes())
    at = data.index(b"tokenizer.ggml.tokens") + len("tokenizer.ggml.tokens") + 8
    data[at : at + 8] = b"\xff" * 8
    path.write_bytes(data)
    with pytest.raises(ModelLoadError, match="no readable GGUF"):
        gguf_contents_digest(path)
