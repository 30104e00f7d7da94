"""What an adapter's numbers tell before it is run: that they are not finite, or change nothing."""

import json
import mmap
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.errors import ModelLoadError
from gateway.core.lists import first_names
from gateway.models.adapters.folder import place
from gateway.models.gguf import is_gguf, read_header

_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
"""As safetensors names them -> as numpy reads them; the others are no weights."""
_WHOLE = ("weight", "bias")
"""Parts of a module that is saved whole: zeros in it are no sign of anything."""


def oddities(weights: Path) -> tuple[str, ...]:
    """What is odd about the numbers of an adapter, in one sentence each.

    An adapter whose `lora_B` are zero is fresh: it was never trained, and answers as its base.
    A file that cannot be read has none; whoever loads it says why.

    Args:
        weights: an `adapter_model.safetensors`, or a GGUF of an adapter.
    """
    broken: list[str] = []
    whole: list[str] = []
    zero: dict[str, bool] = defaultdict(lambda: True)
    try:
        for name, part, values in _of_gguf(weights) if is_gguf(weights) else _of(weights):
            if values is None:
                whole.append(name)
                continue
            if not np.isfinite(values).all():
                broken.append(name)
            zero[part] &= not values.any()
    except (OSError, ValueError, KeyError, ModelLoadError):
        return ()
    said = [f"numbers that are not finite (NaN or infinite): {first_names(broken)}"] * bool(broken)
    said += [f"numbers that are no fractions, as weights are: {first_names(whole)}"] * bool(whole)
    if nothing := sorted(part for part, is_zero in zero.items() if is_zero and part not in _WHOLE):
        said.append(f"all numbers of {', '.join(nothing)} are zero: it may change nothing")
    return tuple(said)


def _of(path: Path) -> Iterator[tuple[str, str, Any]]:
    """Name, part and numbers of each tensor of floats, read as they are asked for.

    Layout: eight bytes of length, a JSON header with `data_offsets` behind it, the data
    (https://github.com/huggingface/safetensors, "Format").
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        begin = 8 + int.from_bytes(data[:8], "little")
        for name, each in json.loads(data[8:begin]).items():
            if each.get("dtype") in _TYPES:
                start, end = (begin + offset for offset in each["data_offsets"])
                yield name, place(name)[1], _numbers(data[start:end], each["dtype"])
            elif str(each.get("dtype"))[0] in "IUB":
                yield name, place(name)[1], None


def _of_gguf(path: Path) -> Iterator[tuple[str, str, Any]]:
    header = read_header(path)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for each in header.tensors:
            if each.type in _TYPES:
                start = header.data_begins + each.offset
                part = each.name.rpartition(".")[2]
                yield each.name, part, _numbers(data[start : start + each.size], each.type)


def _numbers(data: bytes, kind: str) -> Any:
    """numpy has no bfloat16, which is the upper half of a float32."""
    values = np.frombuffer(data, _TYPES[kind])
    return (values.astype(np.uint32) << 16).view(np.float32) if kind == "BF16" else values
