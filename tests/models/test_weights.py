"""What makes two models one, and two results comparable."""

import json
import os
import shutil
from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.digests import digest_json, digest_text, file_digest
from gateway.core.errors import ModelLoadError
from gateway.core.files import write_atomically
from gateway.engine.llama.quantizer import quantize
from gateway.models import weights as identity
from gateway.models.weights import gguf_contents_digest, weights_digests
from gateway.quantization.names import parse_level
from tests.conftest import spec_and_path
from tests.quantization.tiny import write_tiny
from tests.support import tiny_gguf

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), json_values, min_size=2))
def test_the_digest_of_a_mapping_does_not_depend_on_its_order(value: dict[str, object]) -> None:
    backwards = dict(reversed(value.items()))
    assert digest_json(value) == digest_json(backwards)


@given(st.text(alphabet=st.characters()))
def test_any_text_has_a_digest(text: str) -> None:
    assert len(digest_text(text)) == 64


def write_gguf(
    path: Path, *, order: list[str], name: str = "m", scale: float = 1.0, vocab: str = "b"
) -> Path:
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(name)
    writer.add_block_count(1)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(["a", vocab])
    for tensor in order:
        data = np.arange(64, dtype=np.float32).reshape(2, 32) * len(tensor) * scale
        writer.add_tensor(tensor, data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_rewritten_file_holds_the_same_model(tmp_path: Path) -> None:
    one = write_gguf(tmp_path / "one.gguf", order=["x", "yy", "zzz"])
    other = write_gguf(tmp_path / "other.gguf", order=["zzz", "x", "yy"], name="renamed")
    assert file_digest(one) != file_digest(other)
    assert gguf_contents_digest(one) == gguf_contents_digest(other)


def test_one_changed_weight_or_token_is_another_model(tmp_path: Path) -> None:
    same = gguf_contents_digest(write_gguf(tmp_path / "a.gguf", order=["x"]))
    weights = write_gguf(tmp_path / "b.gguf", order=["x"], scale=1.0001)
    tokens = write_gguf(tmp_path / "c.gguf", order=["x"], vocab="c")
    assert gguf_contents_digest(weights) != same
    assert gguf_contents_digest(tokens) != same


def test_a_changed_file_under_an_unchanged_name_is_another_model(tmp_path: Path) -> None:
    memory = tmp_path / "digests.json"
    path = write_gguf(tmp_path / "m.gguf", order=["x"])
    before = weights_digests(path, memory)
    assert weights_digests(path, memory) == before
    path.unlink()
    write_gguf(path, order=["x", "yy"])
    assert weights_digests(path, memory) != before


@pytest.mark.needs("llama_cpp")
def test_the_types_that_a_file_really_holds_are_counted(tmp_path: Path) -> None:
    wide, path = write_tiny(tmp_path / "wide.gguf", 320), tmp_path / "tiny-Q4_K_M.gguf"
    number = parse_level("Q4_K_M").number
    assert number is not None
    quantize(wide, path, number, importance={}, threads=1, on_tensor=lambda _: None)
    types = weights_digests(path, tmp_path / "digests.json").types
    assert next(iter(types)) == "Q5_0", "the name says Q4_K_M; 320 does not divide by 256"
    assert types["Q5_0"] > types["Q8_0"] > types["F32"]
    assert json.loads((tmp_path / "digests.json").read_text()).popitem()[1]["types"] == types


def test_a_memory_of_an_earlier_version_is_made_again(tmp_path: Path) -> None:
    memory = tmp_path / "digests.json"
    path = write_gguf(tmp_path / "m.gguf", order=["x"])
    whole = weights_digests(path, memory)
    known = json.loads(memory.read_text())
    for entry in known.values():
        del entry["types"]
    memory.write_text(json.dumps(known))
    assert weights_digests(path, memory) == whole


def test_digests_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = tmp_path / "deep" / "digests.json"
    path = write_gguf(tmp_path / "m.gguf", order=["x"])
    first = weights_digests(path, memory)

    def never(_: Path) -> str:
        raise AssertionError("computed twice")

    monkeypatch.setattr(identity, "file_digest", never)
    monkeypatch.setattr(identity, "_read_gguf", never)
    assert weights_digests(path, memory) == first


def test_a_damaged_memory_is_made_again(tmp_path: Path) -> None:
    memory = tmp_path / "digests.json"
    memory.write_text("{ half")
    path = write_gguf(tmp_path / "m.gguf", order=["x"])
    assert weights_digests(path, memory).file == file_digest(path)


def test_the_default_model_s_file_is_the_one_that_its_entry_names() -> None:
    spec, path = spec_and_path("smollm2-135m")
    assert file_digest(path) == spec.sha256


def test_a_file_that_is_no_gguf_has_no_contents(tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(b"not a model")
    with pytest.raises(ModelLoadError, match=r"x\.gguf"):
        weights_digests(path, tmp_path / "digests.json")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "report.md"
    write_atomically(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "\ud800")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["report.md"]


def test_a_written_file_has_the_rights_of_any_new_file(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a", "x")
    (tmp_path / "b").write_text("x")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_cp_p_of_another_file_is_noticed(tmp_path: Path) -> None:
    memory = tmp_path / "digests.json"
    path = write_gguf(tmp_path / "m.gguf", order=["x"])
    other = write_gguf(tmp_path / "other.gguf", order=["x"], scale=2.0)
    before, then = weights_digests(path, memory), path.stat()
    os.utime(other, ns=(then.st_atime_ns, then.st_mtime_ns))
    shutil.copy2(other, path)
    now = path.stat()
    assert (now.st_size, now.st_mtime_ns) == (then.st_size, then.st_mtime_ns)
    assert weights_digests(path, memory) != before
    assert len(json.loads(memory.read_text())) == 1


def test_a_split_model_has_the_contents_of_the_whole(tmp_path: Path) -> None:
    memory = tmp_path / "digests.json"
    (whole,) = tiny_gguf.write_gguf(tmp_path / "whole.gguf")
    parts = tiny_gguf.write_gguf(tmp_path / "split.gguf", tensors_a_part=8)
    found = [weights_digests(part, memory) for part in parts]
    assert len(parts) > 2
    assert {each.contents for each in found} == {gguf_contents_digest(whole)}
    assert {each.first for each in found} == {identity._contents_digest([_reader(parts[0])])}
    assert weights_digests(whole, memory).first == ""
    assert weights_digests(whole, memory).types == found[0].types


def _reader(path: Path) -> gguf.GGUFReader:
    return gguf.GGUFReader(path)


def test_a_changed_part_is_another_model(tmp_path: Path) -> None:
    memory = tmp_path / "digests.json"
    parts = tiny_gguf.write_gguf(tmp_path / "split.gguf", tensors_a_part=8)
    before = weights_digests(parts[0], memory)
    data = bytearray(parts[-1].read_bytes())
    data[-1] ^= 1
    parts[-1].write_bytes(data)
    after = weights_digests(parts[0], memory)
    assert after.file == before.file
    assert after.contents != before.contents
    parts[-1].unlink()
    with pytest.raises(ModelLoadError, match=parts[-1].name):
        weights_digests(parts[0], memory)


def test_a_token_that_is_there_twice_is_an_error(tmp_path: Path) -> None:
    """It ends the whole process in llama.cpp."""
    path = write_gguf(tmp_path / "m.gguf", order=["x"], vocab="a")
    with pytest.raises(ModelLoadError, match="tokens twice: a"):
        weights_digests(path, tmp_path / "digests.json")
