"""The header of a GGUF file, against what the `gguf` package reads and writes."""

from pathlib import Path

import pytest

from gateway.core.errors import ModelLoadError
from gateway.core.files import stamps
from gateway.models import gguf
from gateway.models.gguf import Header, read_header
from gateway.models.gguf_reader import PlainReader
from tests.conftest import spec_and_path
from tests.support.gguf_adapters import write_adapter

CHAT = "smollm2-135m"
read = gguf._read


def test_the_header_says_what_the_gguf_package_reads() -> None:
    path = spec_and_path(CHAT)[1]
    header = read_header(path, arrays=True)
    reader = PlainReader(path)
    own = {name: field for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    assert list(header.metadata) == list(own)
    assert all(header.metadata[name] == field.contents() for name, field in own.items())
    assert [(t.name, t.type, t.shape, t.size) for t in header.tensors] == [
        (t.name, t.tensor_type.name, tuple(int(n) for n in t.shape), t.n_bytes)
        for t in reader.tensors
    ]
    begins = [header.data_begins + tensor.offset for tensor in header.tensors]
    assert begins == [int(tensor.data_offset) for tensor in reader.tensors]


def test_without_arrays_only_their_values_are_missing() -> None:
    path = spec_and_path(CHAT)[1]
    bare, whole = read_header(path), read_header(path, arrays=True)
    assert bare.tensors == whole.tensors
    assert bare.metadata == {
        name: None if isinstance(value, list) else value for name, value in whole.metadata.items()
    }


@pytest.mark.parametrize("kept", [0, 3, 4, 8, 20, 60, 200])
def test_a_file_that_ends_too_early_is_no_gguf(tmp_path: Path, kept: int) -> None:
    whole = write_adapter(tmp_path / "whole.gguf", 1).read_bytes()
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(whole[:kept])
    with pytest.raises(ModelLoadError, match=r"cut\.gguf"):
        read_header(cut)


def test_what_is_no_gguf_or_lies_about_its_lengths_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "bad.gguf"
    for data in (
        b"not a model at all, but long enough",
        b"GGUF" + b"\x63\0\0\0" + bytes(64),
        b"GGUF\x03\0\0\0" + b"\xff" * 64,
        b"GGUF\x03\0\0\0" + bytes(8) + b"\x01" + bytes(7) + b"\xff" * 8 + bytes(64),
    ):
        file.write_bytes(data)
        with pytest.raises(ModelLoadError, match="no readable GGUF"):
            read_header(file)


def test_a_header_is_read_once_while_its_file_is_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_adapter(tmp_path / "a.gguf", 1)
    bytes_of = path.read_bytes()
    stamps([path])  # Waits until another write is seen by the file's times.
    reads: list[Path] = []

    def counted(of: Path, arrays: bool) -> Header:
        reads.append(of)
        return read(of, arrays)

    monkeypatch.setattr(gguf, "_read", counted)
    first = read_header(path)
    assert read_header(path) is first
    assert reads == [path]
    path.write_bytes(bytes_of.replace(b"llama", b"other"))
    assert read_header(path).architecture == "other", "written a moment ago, and of the same size"
    stamps([path])
    assert read_header(path).architecture == "other"
    read_header(path, arrays=True)
    assert len(reads) == 4, "a vocabulary is not kept"
