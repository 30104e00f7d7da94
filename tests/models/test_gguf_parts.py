"""The parts of a split GGUF: found from any of them, and read as one model."""

from pathlib import Path

import pytest
from gguf import GGUFReader, GGUFWriter

from gateway.core.errors import ModelLoadError
from gateway.models.gguf import read_header
from gateway.models.gguf_parts import part_names, parts_of, read_model
from tests.support.tiny_gguf import drawn, write_gguf


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(tmp_path_factory.mktemp("whole") / "tiny.gguf")[0]


@pytest.fixture
def parts(tmp_path: Path) -> tuple[Path, ...]:
    return write_gguf(tmp_path / "größe 1 b.gguf", tensors_a_part=8)


def test_a_whole_file_is_its_only_part(whole: Path) -> None:
    assert parts_of(whole) == (whole,)
    assert read_model(whole) == read_header(whole)


def test_all_parts_are_found_from_any_of_them(parts: tuple[Path, ...]) -> None:
    assert len(parts) == 3
    assert {parts_of(each) for each in parts} == {parts}


def test_a_split_model_reads_as_the_whole_one(whole: Path, parts: tuple[Path, ...]) -> None:
    expected = read_model(whole, arrays=True)
    for part in parts:
        header = read_model(part, arrays=True)
        assert header.parameters == expected.parameters
        assert header.metadata == expected.metadata
        assert {t.name: t.shape for t in header.tensors} == {
            t.name: t.shape for t in expected.tensors
        }


def test_it_says_where_each_tensor_lies(parts: tuple[Path, ...]) -> None:
    header = read_model(parts[1])
    expected = {str(t.name): (p, int(t.data_offset)) for p in parts for t in GGUFReader(p).tensors}
    assert {tensor.name: header.place(tensor) for tensor in header.tensors} == expected


def test_missing_parts_are_named(parts: tuple[Path, ...]) -> None:
    parts[2].unlink()
    with pytest.raises(ModelLoadError, match=r"one of 3 parts.* missing: größe 1 b-00003-of"):
        read_model(parts[0])


def test_a_part_under_another_name_is_told_how_parts_are_named(parts: tuple[Path, ...]) -> None:
    other = parts[0].with_name("model.gguf")
    parts[0].rename(other)
    with pytest.raises(ModelLoadError, match="part 1 of 3 of one model, and its name") as raised:
        parts_of(other)
    assert "NAME-00001-of-00003.gguf" in raised.value.hint


def test_parts_of_two_models_are_no_model(parts: tuple[Path, ...], tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    tensors = dict(list(drawn().items())[::-1])
    other = write_gguf(tmp_path / "other" / "o.gguf", tensors, tensors_a_part=8)
    parts[1].write_bytes(other[1].read_bytes())
    parts[2].write_bytes(other[2].read_bytes())
    with pytest.raises(ModelLoadError, match=r"hold .* tensors, and it says 21"):
        read_model(parts[0])
    parts[1].write_bytes(parts[2].read_bytes())
    with pytest.raises(ModelLoadError, match="it is not part 2 of 3"):
        read_model(parts[0])


def test_a_split_into_one_is_a_whole_model(tmp_path: Path) -> None:
    path = tmp_path / "one-00001-of-00001.gguf"
    writer = GGUFWriter(path, "llama")
    writer.add_uint16("split.no", 0)
    writer.add_uint16("split.count", 1)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    assert parts_of(path) == (path,)


def test_names_of_all_parts_follow_from_one() -> None:
    names = tuple(f"a-0000{n}-of-00003.gguf" for n in (1, 2, 3))
    assert part_names("a-00002-of-00003.gguf") == names
    assert part_names("a.gguf") == ("a.gguf",)
    assert part_names("a-2-of-3.gguf") == ("a-2-of-3.gguf",)
