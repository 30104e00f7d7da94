"""Importance matrices: how much each input of a tensor matters, in the file that llama.cpp writes.

A quantizer that knows the mean square of each input loses bits where they matter least.
Format: a GGUF with, for a tensor NAME, the tensors NAME.in_sum2, sums of the squared inputs, and
NAME.counts, how many tokens they are sums of, one a expert (`common/imatrix-loader.cpp` and
`tools/imatrix/imatrix.cpp` of llama.cpp).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.core.errors import DataError
from gateway.engine.llama.quantizer import Importance
from gateway.models.gguf import is_gguf

_SUMS, _COUNTS = ".in_sum2", ".counts"
_KEYS = ("imatrix.datasets", "imatrix.chunk_count", "imatrix.chunk_size")


@dataclass(frozen=True, slots=True)
class Imatrix:
    """Squared inputs of a model's tensors, summed over the tokens of some text."""

    sums: Mapping[str, NDArray[np.float32]]
    """By tensor, shape (experts, width); one expert where there are none."""
    counts: Mapping[str, NDArray[np.float32]]
    """By tensor, shape (experts,): tokens in the sums."""
    datasets: tuple[str, ...]
    """What the text was called."""
    chunks: int
    chunk_tokens: int

    def importance(self) -> Importance:
        """Means for the quantizer; an expert that met no token counts all inputs alike."""
        return {name: self._mean(name) for name in self.sums}

    def _mean(self, name: str) -> NDArray[np.float32]:
        sums, counts = self.sums[name], self.counts[name][:, None]
        means = np.where(counts > 0, sums / np.maximum(counts, 1), 1.0)
        return np.ascontiguousarray(means.reshape(-1), dtype=np.float32)


def read_imatrix(path: Path) -> Imatrix:
    """Read a GGUF importance matrix.

    Raises:
        DataError: it is none, or its parts do not fit together.
    """
    from gguf import GGUFReader

    if not path.is_file():
        raise DataError(f"{path}: no such file")
    if not is_gguf(path):
        raise DataError(
            f"{path}: no GGUF importance matrix",
            hint="llama-imatrix writes one with --output-format gguf",
        )
    try:
        reader = GGUFReader(path)
        return _read(path, reader)
    except (ValueError, KeyError, IndexError) as exc:
        raise DataError(f"{path}: no readable importance matrix: {exc}") from exc


def _read(path: Path, reader: Any) -> Imatrix:
    missing = [key for key in _KEYS if key not in reader.fields]
    tensors = {tensor.name: np.asarray(tensor.data) for tensor in reader.tensors}
    names = [name.removesuffix(_SUMS) for name in tensors if name.endswith(_SUMS)]
    if missing or not names:
        raise DataError(f"{path}: no importance matrix: it lacks {', '.join(missing) or 'entries'}")
    datasets, chunks, chunk_tokens = (reader.fields[key].contents() for key in _KEYS)
    counts = {name: tensors[f"{name}{_COUNTS}"].reshape(-1) for name in names}
    sums = {name: tensors[f"{name}{_SUMS}"].reshape(counts[name].size, -1) for name in names}
    if not all(np.isfinite(array).all() for array in (*sums.values(), *counts.values())):
        raise DataError(f"{path}: the importance matrix holds values that are no numbers")
    return Imatrix(sums, counts, tuple(datasets), int(chunks), int(chunk_tokens))


def write_imatrix(made: Imatrix, path: Path) -> None:
    """Write it as llama.cpp does, so that its own tools read it too."""
    from gguf import GGUFWriter

    writer = GGUFWriter(path, "")
    # GGUFWriter names an architecture; llama.cpp's file has none and nobody reads it.
    writer.add_string("general.type", "imatrix")
    writer.add_array("imatrix.datasets", list(made.datasets))
    writer.add_uint32("imatrix.chunk_count", made.chunks)
    writer.add_uint32("imatrix.chunk_size", made.chunk_tokens)
    for name in sorted(made.sums):
        writer.add_tensor(f"{name}{_SUMS}", made.sums[name])
        writer.add_tensor(f"{name}{_COUNTS}", made.counts[name][:, None])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
