"""What the beginning of a GGUF file says: metadata and the list of tensors, without their data.

Reference: the GGUF specification of ggml, docs/gguf.md. The reader of the `gguf` package makes an
array object of every token of the vocabulary, which takes seconds; a list of models has none.
"""

import math
import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from gateway.core.errors import ModelLoadError
from gateway.core.files import settled_stamp
from gateway.core.lfs import refuse_pointer

GGUF = ".gguf"
"""How the name of such a file ends."""
_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_SCALARS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}
_STRING, _ARRAY = 8, 9
_SIZE = struct.Struct("<Q")
_ALIGNMENT = 32
"""Of the data, where the metadata say nothing."""
_KEPT = 32
"""Headers that stay in memory."""
_DIMENSIONS = 4
"""Most of a tensor: `GGML_MAX_DIMS`."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One entry of the list."""

    name: str
    type: str
    """As ggml names it: F32, Q4_1, ..."""
    shape: tuple[int, ...]
    """The dimension that changes fastest comes first."""
    offset: int = 0
    """Of its data, in bytes from where the data of all begin."""
    part: int = 0
    """Which file of a split model it is in, the first being 0."""

    @property
    def weights(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)

    @property
    def width(self) -> int:
        """Length of a row, which is what is cut into blocks."""
        return self.shape[0] if self.shape else 1

    @property
    def size(self) -> int:
        """Bytes of its data, by the block layout of its type (`gguf.GGML_QUANT_SIZES`)."""
        block, block_bytes = block_layout(self.type)
        return self.weights // block * block_bytes


@dataclass(frozen=True, slots=True)
class Header:
    """All that is said before the data."""

    metadata: Mapping[str, Any]
    """Keys in the order of the file; an array is None unless it was asked for."""
    tensors: tuple[Tensor, ...]
    data_begins: int = 0
    """Where in the file the tensors' data begin."""
    parts: tuple[Path, ...] = ()
    """The file, or all files of a split model in order."""
    begins: tuple[int, ...] = ()
    """Where in each of them the tensors' data begin."""

    @property
    def architecture(self) -> str:
        return str(self.metadata.get("general.architecture", ""))

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return sum(tensor.weights for tensor in self.tensors)

    def place(self, tensor: Tensor) -> tuple[Path, int]:
        """The file that a tensor's data lie in, and where in it they begin."""
        return self.parts[tensor.part], self.begins[tensor.part] + tensor.offset

    def of_architecture(self, key: str) -> Any:
        """A value of the metadata whose key begins with the architecture's name, or None."""
        return self.metadata.get(f"{self.architecture}.{key}")


def is_gguf(path: Path) -> bool:
    """Whether a file begins as one, however it is named: a blob of Ollama's is named by its digest.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def block_layout(kind: str) -> tuple[int, int]:
    """Weights and bytes of one block of a type, as ggml names it: Q4_K has (256, 144)."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    block, size = GGML_QUANT_SIZES[GGMLQuantizationType[kind]]
    return int(block), int(size)


def read_header(path: Path, *, arrays: bool = False) -> Header:
    """The header of one file; `gguf_parts.read_model` reads that of a split model.

    Args:
        arrays: keep arrays, such as the whole vocabulary.

    Raises:
        ModelLoadError: the file is absent or no GGUF that can be read.
    """
    try:
        if not arrays and (seen := settled_stamp(path)):
            return _kept(path, seen)
        return _read(path, arrays)
    except (OSError, ValueError, struct.error, IndexError, OverflowError) as exc:
        raise _unreadable(path, exc) from exc


@lru_cache(maxsize=_KEPT)
def _kept(path: Path, stamp: str) -> Header:
    """Of a file as it is: a load asks for it in ten places. Without arrays it is small."""
    return _read(path, False)


def _read(path: Path, arrays: bool) -> Header:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        read = _Cursor(data, arrays).header()
    return replace(read, parts=(path,), begins=(read.data_begins,))


def _unreadable(path: Path, exc: Exception) -> ModelLoadError:
    if isinstance(exc, _OtherEndian):
        return ModelLoadError(
            f"{path}: a GGUF for big-endian machines",
            hint=f"gguf-convert-endian {path.name} little, which the package gguf brings",
        )
    refuse_pointer(path)
    return ModelLoadError(f"{path}: no readable GGUF: {exc}")


class _OtherEndian(ValueError):
    """Its numbers are written the other way round."""


class _Cursor:
    """Reads one value after the other."""

    def __init__(self, data: mmap.mmap, arrays: bool) -> None:
        self._data = data
        self._arrays = arrays
        self._at = 0

    def header(self) -> Header:
        if self._take(4) != _MAGIC:
            raise ValueError("it does not begin as one")
        (version,) = self._unpack("I")
        if int.from_bytes(version.to_bytes(4, "little"), "big") in _VERSIONS:
            raise _OtherEndian
        if version not in _VERSIONS:
            raise ValueError(f"version {version} is not known")
        tensors, keys = self._unpack("QQ")
        metadata = {}
        for _ in range(keys):
            name = self._text()
            metadata[name] = self._value(*self._unpack("I"))
        found = tuple(self._tensor() for _ in range(tensors))
        alignment = metadata.get("general.alignment", _ALIGNMENT)
        if not isinstance(alignment, int) or alignment < 1:
            raise ValueError(f"its data cannot be aligned to {alignment!r}")
        return Header(metadata, found, -(-self._at // alignment) * alignment)

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._text()
        if kind == _ARRAY:
            return self._array(*self._unpack("IQ"))
        if kind not in _SCALARS:
            raise ValueError(f"a value has the unknown type {kind}")
        return self._unpack(_SCALARS[kind])[0]

    def _array(self, kind: int, length: int) -> list[Any] | None:
        if kind in _SCALARS and not self._arrays:
            self._skip(struct.calcsize(_SCALARS[kind]) * length)
            return None
        if kind == _STRING and not self._arrays:
            self._skip_texts(length)
            return None
        values = [self._value(kind) for _ in range(length)]
        return values if self._arrays else None

    def _skip_texts(self, length: int) -> None:
        """In one loop: a vocabulary and its merges are a hundred thousand, at every start."""
        at, data, size = self._at, self._data, _SIZE.unpack_from
        for _ in range(length):
            at += _SIZE.size + size(data, at)[0]
        self._at = at
        self._skip(0)

    def _tensor(self) -> Tensor:
        from gguf import GGMLQuantizationType

        name = self._text()
        (dimensions,) = self._unpack("I")
        if dimensions > _DIMENSIONS:
            raise ValueError(f"{name} has {dimensions} dimensions")
        shape = self._unpack("Q" * dimensions)
        kind, offset = self._unpack("IQ")
        return Tensor(name, GGMLQuantizationType(kind).name, shape, offset)

    def _text(self) -> str:
        return self._take(*self._unpack("Q")).decode("utf-8", "replace")

    def _unpack(self, form: str) -> tuple[Any, ...]:
        form = f"<{form}"
        return struct.unpack(form, self._take(struct.calcsize(form)))

    def _take(self, size: int) -> bytes:
        begin = self._at
        self._skip(size)
        return self._data[begin : self._at]

    def _skip(self, size: int) -> None:
        self._at += size
        if self._at > len(self._data):
            raise ValueError("it ends too early")
