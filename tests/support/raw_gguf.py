"""A GGUF taken apart into keys, tensors and data, to be damaged and written again."""

import struct
from dataclasses import dataclass
from typing import Any, Self

TEXT, ARRAY = 8, 9
FORMS = {
    0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d",
}  # fmt: skip
"""Types of values, and how struct packs them."""
ALIGNMENT = 32


@dataclass
class Entry:
    """One of the list of tensors."""

    name: bytes
    shape: list[int]
    kind: int
    offset: int


class RawGguf:
    """What `data` holds."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 8
        count, keys = self._unpack("QQ")
        self.values: dict[str, tuple[int, bytes]] = {}
        for _ in range(keys):
            name = self._text().decode()
            (kind,) = self._unpack("I")
            begin = self._at
            self._skip(kind)
            self.values[name] = (kind, data[begin : self._at])
        self.tensors = [self._entry() for _ in range(count)]
        self.begins = -(-self._at // ALIGNMENT) * ALIGNMENT
        self.data = data[self.begins :]

    def with_value(self, key: str, kind: int, packed: bytes) -> Self:
        """Itself, with a key of that type and those bytes."""
        self.values[key] = (kind, packed)
        return self

    def build(self) -> bytes:
        made = b"GGUF" + struct.pack("<IQQ", 3, len(self.tensors), len(self.values))
        for name, (kind, packed) in self.values.items():
            made += text(name.encode()) + struct.pack("<I", kind) + packed
        for each in self.tensors:
            shape = struct.pack(f"<I{len(each.shape)}Q", len(each.shape), *each.shape)
            made += text(each.name) + shape + struct.pack("<IQ", each.kind, each.offset)
        return made + bytes(-len(made) % ALIGNMENT) + self.data

    def texts(self, key: str) -> list[bytes]:
        """Those of an array."""
        found = RawGguf.__new__(RawGguf)
        found._data, found._at = self.values[key][1], 4
        (count,) = found._unpack("Q")
        return [found._text() for _ in range(count)]

    def _entry(self) -> Entry:
        name = self._text()
        (dimensions,) = self._unpack("I")
        shape = self._unpack("Q" * dimensions)
        return Entry(name, list(shape), *self._unpack("IQ"))

    def _unpack(self, form: str) -> tuple[Any, ...]:
        found = struct.unpack_from(f"<{form}", self._data, self._at)
        self._at += struct.calcsize(f"<{form}")
        return found

    def _text(self) -> bytes:
        (size,) = self._unpack("Q")
        self._at += size
        return self._data[self._at - size : self._at]

    def _skip(self, kind: int) -> None:
        if kind == TEXT:
            self._text()
        elif kind == ARRAY:
            inner, count = self._unpack("IQ")
            for _ in range(count):
                self._skip(inner)
        else:
            self._unpack(FORMS[kind])


def text(value: bytes) -> bytes:
    """As a GGUF has one."""
    return struct.pack("<Q", len(value)) + value


def array(kind: int, values: list[Any]) -> bytes:
    """Of texts or numbers."""
    packed = (text(v) if kind == TEXT else struct.pack(f"<{FORMS[kind]}", v) for v in values)
    return struct.pack("<IQ", kind, len(values)) + b"".join(packed)
