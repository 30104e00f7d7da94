"""Base and LoRA as one GGUF of 16 or 32 bits: what a ladder of quantizations is made of.

The base's file gives everything but the numbers: metadata, tokenizer, chat template. A quantized
base is dequantized by ggml's own code, as llama.cpp does when it computes with it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.errors import ConfigError
from gateway.engine.llama.blocks import decode
from gateway.models.adapters.base import Base
from gateway.models.adapters.folder import Adapter
from gateway.models.gguf_parts import parts_of
from gateway.tuning.export.export import Array, pairs_of
from gateway.tuning.export.gguf_file import Prove, new_gguf, unproved

Begin = Callable[[int], Callable[[], None]]

KINDS = {"F32": 0, "F16": 1}
"""Types of the weights -> `llama_ftype` in llama.cpp's include/llama.h: ALL_F32 and MOSTLY_F16."""
_WRITERS_OWN = ("GGUF.", "general.architecture")
"""Fields that the writer writes of itself."""
_OF_ANOTHER_FILE = (
    *("general.file_type", "general.quantization_version", "general.name"),
    *("general.alignment", "quantize.", "split."),
)
"""Fields that say how the base's file was made."""


def merge_gguf(
    adapter: Adapter,
    base: Base,
    path: Path,
    target: Path,
    kind: str,
    begin: Begin,
    prove: Prove = unproved,
) -> Path:
    """Add a LoRA to the weights of a GGUF and write them as another; vectors stay F32.

    The same adapter and base give the same bytes.

    Args:
        path: the base's file.
        target: a file that is not there; it appears when it is whole.
        kind: of `KINDS`.
        begin: told how many tensors there are; answers what is called after each.
        prove: raises where the file is not base and adapter; then none is written.

    Raises:
        ConfigError: the base is no GGUF, the adapter is no plain LoRA, or the file is there
            already or cannot be written.
        ModelLoadError: the adapter does not fit the base.
    """
    from gateway.models.gguf_reader import PlainReader

    if not path.is_file():
        raise ConfigError(
            f"{base.name} is no GGUF, whose metadata the merged file would have",
            hint="--base with an entry whose source is a GGUF; or --out with a folder",
        )
    check_new(target)
    pairs, alpha = pairs_of(adapter, base)
    first, *others = (PlainReader(part) for part in parts_of(path))
    architecture = str(first.fields["general.architecture"].contents())
    tensors = [*first.tensors, *(tensor for each in others for tensor in each.tensors)]
    with new_gguf(target, architecture, spooled=True, prove=prove) as writer:
        _copy_fields(first, writer)
        writer.add_name(f"{base.name} with {adapter.name}")
        writer.add_file_type(KINDS[kind])
        done = begin(len(tensors))
        for tensor in tensors:
            values = _values(tensor)
            if (pair := pairs.get(str(tensor.name))) is not None:
                values += _added(*pair, alpha)
            wide = values.ndim == 1 or kind == "F32"
            writer.add_tensor(str(tensor.name), values if wide else values.astype(np.float16))
            done()
    return target


def check_new(target: Path) -> None:
    """Raise ConfigError for a file that is there: before its base is read, not after."""
    if target.exists():
        raise ConfigError(f"{target} is there already", hint="name another file, or remove it")


def _copy_fields(reader: Any, writer: Any) -> None:
    from gguf import GGUFValueType

    for field in reader.fields.values():
        if field.name.startswith((*_WRITERS_OWN, *_OF_ANOTHER_FILE)):
            continue
        kind = field.types[0]
        inner = field.types[-1] if kind == GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), kind, inner)


def _values(tensor: Any) -> Array:
    """Of a tensor in float32, shaped as NumPy has it: ggml's last dimension first."""
    shape = [int(n) for n in reversed(tensor.shape)]
    kind = tensor.tensor_type.name
    return decode(kind, tensor.data.tobytes(), shape[-1]).reshape(shape)


def _added(down: Array, up: Array, alpha: float) -> Array:
    """What llama.cpp adds for a pair, summed in double precision."""
    made = up.astype(np.float64) @ down.astype(np.float64)
    return (made * (alpha / len(down))).astype(np.float32)
