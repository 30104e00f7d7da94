"""A GGUF that cannot be run: what it is, and what is to be done about it."""

from pathlib import Path

import gguf
import pytest

from gateway.core.errors import ModelLoadError
from gateway.engine.llama.vocabulary import GgufVocabulary
from gateway.models.gguf import read_header
from gateway.models.gguf_kind import refuse_no_model
from tests.support.gguf_adapters import write_adapter
from tests.support.tiny_gguf import write_gguf


def _mmproj(path: Path, *, said: bool) -> Path:
    writer = gguf.GGUFWriter(path, "clip")
    if said:
        writer.add_type("mmproj")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path


@pytest.mark.needs("llama_cpp")
@pytest.mark.parametrize("said", [True, False], ids=["by its type", "by its architecture"])
def test_a_projector_is_told_by_name(tmp_path: Path, said: bool) -> None:
    with pytest.raises(ModelLoadError, match="no model but a projector") as raised:
        GgufVocabulary(_mmproj(tmp_path / "mmproj.gguf", said=said))
    assert "language model beside it" in raised.value.hint


def test_an_adapter_is_no_model(tmp_path: Path) -> None:
    path = write_adapter(tmp_path / "a.gguf", 0, targets={"blk.0.attn_q.weight": (64, 64)})
    with pytest.raises(ModelLoadError, match="no model but an adapter"):
        refuse_no_model(path, read_header(path))


@pytest.mark.needs("llama_cpp")
def test_an_unknown_architecture_is_not_to_be_pulled_again(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "new.gguf", architecture="quux")[0]
    with pytest.raises(ModelLoadError, match="unknown model architecture") as raised:
        GgufVocabulary(path)
    assert "the file is whole" in raised.value.hint
    assert "'quux'" in raised.value.hint


def test_a_file_for_big_endian_machines_is_told_with_the_tool_that_turns_it(
    tmp_path: Path,
) -> None:
    path = write_gguf(tmp_path / "big.gguf", endian=gguf.GGUFEndian.BIG)[0]
    with pytest.raises(ModelLoadError, match="for big-endian machines") as raised:
        read_header(path)
    assert "gguf-convert-endian big.gguf little" in raised.value.hint


@pytest.mark.needs("llama_cpp")
def test_a_file_that_is_cut_off_is_told_by_its_bytes(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "cut.gguf")[0]
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(ModelLoadError, match=r"it is cut off: .* bytes, and its tensors take"):
        GgufVocabulary(path, vocab_only=False)


def test_a_pointer_of_git_lfs_is_told_by_name(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 99\n" * 3)
    with pytest.raises(ModelLoadError, match="a pointer of Git LFS"):
        read_header(path)
