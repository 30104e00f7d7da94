"""How transformers reads a GGUF, without the two things that take most of its time.

gguf 0.19's reader goes through a `numpy.memmap`, of which every slice costs ten times that of a
plain array, and there is one slice a token of the vocabulary. transformers 5 makes the table of
tensor names (`get_gguf_hf_weights_map` in modeling_gguf_pytorch_utils.py) again for each module.
Both are looked up in the module `gguf` when they are used, and stand in for here.
"""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gguf
import numpy as np


class _PlainReader(gguf.GGUFReader):  # type: ignore[misc]
    """A reader that slices a plain array over the same mapped file."""

    @property
    def data(self) -> Any:
        """The whole file, as bytes."""
        return self._plain

    @data.setter
    def data(self, mapped: Any) -> None:
        self._plain = mapped.view(np.ndarray)


@contextmanager
def quick_reading() -> Iterator[None]:
    """The block in which transformers loads a GGUF; what it loads is the same to the last bit."""
    stand_ins = {
        "GGUFReader": _PlainReader,
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
