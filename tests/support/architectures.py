"""GGUF files of some 100 kilobytes for each architecture of a table: drawn weights, and the
vocabulary of bytes of `tests.support.tiny_gguf`.

The table has what a file of an architecture must say: hyperparameters, and tensors by their shape,
the dimension that changes fastest first. A name without "!" at its end ends with ".weight".
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from gguf import GGUFValueType, GGUFWriter

from tests.support.tiny_gguf import Array, add_vocabulary

_TABLE = Path(__file__).parents[1] / "fixtures" / "architectures.json"
_HEAD = "cls.output"
_WHOLE_KEYS = ("tokenizer.", "xielu.")
"""Keys that do not begin with the architecture's name."""
_SPREAD = 1.5
"""Of a product's outputs: enough that what was read before matters."""


@dataclass(frozen=True)
class Architecture:
    """One row of the table."""

    name: str
    architecture: str
    metadata: Mapping[str, Any]
    tensors: Mapping[str, Sequence[str]]

    @property
    def shapes(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Tensors, as NumPy has their shapes."""
        for written, names in self.tensors.items():
            shape = tuple(map(int, reversed(written.split("x"))))
            for name in names:
                yield name[:-1] if name.endswith("!") else f"{name}.weight", shape


@cache
def table() -> Mapping[str, Architecture]:
    """All of them, by name."""
    rows = json.loads(_TABLE.read_text(encoding="utf-8"))
    return {row["name"]: Architecture(**row) for row in rows}


def write(
    name: str,
    folder: Path,
    *,
    says: Mapping[str, Any] | None = None,
    as_: str = "",
    seed: int = 0,
    classes: int = 0,
) -> Path:
    """The file NAME.gguf, where it is not there yet.

    Args:
        says: metadata that are added, or stand instead of the table's; of the tokenizer where the
            key begins so, else mostly of the architecture.
        as_: another name of the file.
        classes: of a reranker's last layer, where they are others than the table's.
    """
    path = folder / f"{as_ or name}.gguf"
    row = table()[name]
    if path.is_file():
        return path
    writer = GGUFWriter(path, row.architecture)
    add_vocabulary(writer)
    for key, value in {**row.metadata, **(says or {})}.items():
        full = key if key.startswith(_WHOLE_KEYS) else f"{row.architecture}.{key}"
        if key != "vocab_size":
            _add(writer, full, value)
    for tensor, shape in row.shapes:
        if tensor.startswith(_HEAD) and classes:
            shape = (classes, *shape[1:])
        writer.add_tensor(tensor, drawn(tensor, shape, seed))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add(writer: GGUFWriter, key: str, value: Any) -> None:
    if isinstance(value, list):
        writer.add_array(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        kinds = {bool: GGUFValueType.BOOL, int: GGUFValueType.UINT32}
        writer.add_key_value(key, value, kinds.get(type(value), GGUFValueType.FLOAT32))


def drawn(name: str, shape: tuple[int, ...], seed: int) -> Array:
    """Numbers such that a pass stays finite and every tensor matters to it."""
    draw = np.random.default_rng([seed, crc32(name.encode())])
    around = draw.normal(0.0, 1.0, shape)
    if "rope_" in name:
        values = 1.0 + np.abs(around)
    elif name.endswith("ssm_a"):
        values = -0.2 - np.abs(around)  # A state must fade.
    elif "norm" in name and not name.endswith("bias"):
        values = 1.0 + 0.1 * around
    elif len(shape) == 1 or name.endswith("bias"):
        values = 0.1 * around
    elif "conv" in name or name.startswith("token_embd"):
        values = 0.5 * around
    else:
        values = around * _SPREAD / shape[-1] ** 0.5
    return np.asarray(values, dtype=np.float32)
