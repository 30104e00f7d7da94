"""How transformers reads a GGUF: all parts of a split one, and without what takes most time.

gguf 0.19's reader goes through a `numpy.memmap`, of which every slice costs ten times that of a
plain array, and there is one slice a token of the vocabulary. transformers 5 makes the table of
tensor names (`get_gguf_hf_weights_map` in modeling_gguf_pytorch_utils.py) again for each module.
Both are looked up in the module `gguf` when they are used, and stand in for here.
"""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gguf

from gateway.models.gguf_parts import parts_of
from gateway.models.gguf_reader import PlainReader


class _WholeReader(PlainReader):
    """A reader of the first part of a split model that has the tensors of all parts."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        for part in parts_of(Path(path))[1:]:
            self.tensors += PlainReader(part).tensors


@contextmanager
def quick_reading() -> Iterator[None]:
    """The block in which transformers loads a GGUF; what it loads is the same to the last bit."""
    stand_ins = {
        "GGUFReader": _WholeReader,
        "get_tensor_name_map": functools.cache(gguf.get_tensor_name_map),
    }
    own = {name: getattr(gguf, name) for name in stand_ins}
    _put(stand_ins)
    try:
        yield
    finally:
        _put(own)


def _put(attributes: dict[str, Any]) -> None:
    for name, value in attributes.items():
        setattr(gguf, name, value)
