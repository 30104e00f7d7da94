"""llama.cpp's own quantizer, `llama_model_quantize`: told which level, it reads and writes files.

It has no callback for its progress and answers a failure with a number alone; what it does and why
it failed is read from its log. A call cannot be interrupted: `gateway.quantization.worker` runs
one in a process of its own.
"""

import ctypes
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.core.errors import BackendError
from gateway.engine.llama import library
from gateway.models.gguf import Tensor

Importance = Mapping[str, NDArray[np.float32]]
"""By tensor: the mean square of each of its inputs, shape (width,), or (experts x width,)."""
OnTensor = Callable[[str], None]
"""Called as each tensor is begun, with its name."""

_BEGUN = re.compile(r"\[ *\d+/ *\d+\] +(?P<name>\S+) +- \[")
_PLANNED = re.compile(r"MiB -> .* MiB \((?P<type>\w+)\)\s*$")
_NEEDS_IMATRIX = "will require an imatrix"
_FAILED = "failed to quantize: "
_WITHOUT = "did not find weights for "


@dataclass(frozen=True, slots=True)
class QuantizationPlan:
    """What a level would hold."""

    tensors: tuple[Tensor, ...]
    """The source's, each with the type that it would get."""
    needs_imatrix: bool


def plan(
    source: Path, tensors: Sequence[Tensor], number: int, *, imatrix: bool = False
) -> QuantizationPlan:
    """Ask the library which type each tensor of a file would get; nothing is written.

    Args:
        tensors: those of the source.
        number: the level's, in `llama_ftype`.
        imatrix: plan as if an importance matrix were given, which changes some types.

    Raises:
        BackendError: the library cannot read the file or make the level.
    """
    from gguf import GGMLQuantizationType

    names = {kind.name.lower(): kind.name for kind in GGMLQuantizationType}
    types: dict[str, str] = {}
    log = _Log()

    def planned(name: str, rest: str) -> None:
        if found := _PLANNED.search(rest):
            types[name] = names[found["type"].lower()]

    log.on_size = planned
    entry = {"output_norm.weight": np.ones(1, np.float32)} if imatrix else {}
    _call(source, Path(), number, entry, threads=1, log=log, dry_run=True)
    made = tuple(replace(tensor, type=types.get(tensor.name, tensor.type)) for tensor in tensors)
    return QuantizationPlan(made, log.needs_imatrix)


def quantize(
    source: Path,
    target: Path,
    number: int,
    *,
    importance: Importance,
    threads: int,
    on_tensor: OnTensor,
) -> tuple[str, ...]:
    """Write a file of another level; a quantized source is dequantized tensor by tensor.

    Args:
        number: the level's, in `llama_ftype`.
        importance: empty where there is none.

    Returns:
        Tensors that were quantized without importance though a matrix was given.

    Raises:
        BackendError: the library failed; what of the target is written is of no use.
    """
    log = _Log()
    log.on_begun = on_tensor
    _call(source, target, number, importance, threads=threads, log=log, dry_run=False)
    return tuple(log.without)


class _Log:
    """Reads what the quantizer says, as it comes."""

    def __init__(self) -> None:
        self.on_begun: OnTensor = lambda _: None
        self.on_size: Callable[[str, str], None] = lambda *_: None
        self.needs_imatrix = False
        self.without: list[str] = []
        self.reason = ""
        self._name = ""

    def __call__(self, text: str) -> None:
        if found := _BEGUN.search(text):
            self._name = found["name"]
            self.on_begun(self._name)
        elif self._name and "size =" in text:
            self.on_size(self._name, text)
            self._name = ""
        if _NEEDS_IMATRIX in text:
            self.needs_imatrix = True
        if _WITHOUT in text:
            self.without.append(text.partition(_WITHOUT)[2].strip())
        if _FAILED in text:
            self.reason = text.partition(_FAILED)[2].strip()


def _call(
    source: Path,
    target: Path,
    number: int,
    importance: Importance,
    *,
    threads: int,
    log: _Log,
    dry_run: bool,
) -> None:
    lib = library.load()
    params = lib.llama_model_quantize_default_params()
    params.ftype = number
    params.nthread = threads
    params.allow_requantize = True
    params.dry_run = dry_run
    entries = _entries(lib, importance)
    if importance:
        params.imatrix = entries
    library.forget_errors()
    with library.listening(log):
        code = lib.llama_model_quantize(str(source).encode(), str(target).encode(), params)
    if code != 0:
        raise BackendError(f"{source}: llama.cpp cannot quantize it: {log.reason or code}")


def _entries(lib: Any, importance: Importance) -> Any:
    """The C array of the importance matrix; an entry without a name ends it."""
    made = (lib.llama_model_imatrix_data * (len(importance) + 1))()
    for entry, (name, values) in zip(made, importance.items(), strict=False):
        entry.name = name.encode()
        entry.data = values.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        entry.size = values.size
    return made
