"""gguf's reader without most of the time that it takes.

gguf 0.19 makes arrays of NumPy of the length and the letters of every string, twice a token of the
vocabulary, and makes them from a `numpy.memmap`, of which every slice costs ten times that of a
plain array.
"""

import struct
from typing import Any

import gguf
import numpy as np

_ARRAY_HEADER = struct.Struct("<IQ")
_LENGTH = struct.Struct("<Q")


class PlainReader(gguf.GGUFReader):  # type: ignore[misc]
    """A reader that slices a plain array over the same mapped file."""

    @property
    def data(self) -> Any:
        """The whole file, as bytes."""
        return self._plain

    @data.setter
    def data(self, mapped: Any) -> None:
        self._plain = mapped.view(np.ndarray)


class RawReader(PlainReader):
    """A reader of which each array of the metadata is one piece, its bytes as they are in the file.

    `contents()` of an array is of no use; all else is as gguf's own reader has it.
    """

    def _get_field_parts(self, orig_offs: int, raw_type: int) -> Any:
        if raw_type != gguf.GGUFValueType.ARRAY or self.byte_order != "I":
            return super()._get_field_parts(orig_offs, raw_type)
        begin = int(orig_offs)
        size = self._size_of_array(begin)
        if size is None:
            return super()._get_field_parts(orig_offs, raw_type)
        return size, [self.data[begin : begin + size]], [0], [gguf.GGUFValueType.ARRAY]

    def _size_of_array(self, begin: int) -> int | None:
        """Bytes of an array with its header; None for one of arrays."""
        try:
            end = self._end_of_array(begin)
        except struct.error:
            end = len(self.data) + 1
        if end is None:
            return None
        if end > len(self.data):
            raise ValueError("an array of the metadata goes beyond the end of the file")
        return end - begin

    def _end_of_array(self, begin: int) -> int | None:
        kind, length = _ARRAY_HEADER.unpack_from(self.data, begin)
        at = begin + _ARRAY_HEADER.size
        if kind == gguf.GGUFValueType.STRING:
            for _ in range(length):
                at += _LENGTH.size + int(_LENGTH.unpack_from(self.data, at)[0])
            return at
        scalar = self.gguf_scalar_to_np.get(kind)
        return None if scalar is None else at + int(length) * scalar().nbytes
