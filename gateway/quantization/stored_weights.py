"""What an entry's weights are on disk: by which method, at which level, and how many bits each."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.backends.transformers.packed import Packing, packing_of
from gateway.backends.transformers.spec import TransformersSpec
from gateway.models.gguf import GGUF
from gateway.models.gguf_parts import read_model
from gateway.models.shards import header_of
from gateway.models.spec import ModelSpec
from gateway.quantization.contents import contents_of

_WHOLE = "none"
_NOT_WEIGHTS = (
    *(".qzeros", ".scales", ".g_idx", ".SCB", ".weight_format"),
    *(".absmax", ".quant_map", ".nested_absmax", ".nested_quant_map"),
)
"""How tensors are called that say how others are packed."""
_STATE = ".quant_state."
_WORD = 32


@dataclass(frozen=True, slots=True)
class Held:
    """The weights of one entry, as its files hold them."""

    method: str
    """"gguf", "gptq", "awq", "bitsandbytes" or "none"."""
    level: str
    """"Q4_K_M", "4 bits, groups of 64", "nf4", "bfloat16"."""
    size: int
    """Bytes of all tensors."""
    bits_per_weight: float
    unpacked: bool
    """It is computed with in another form than on disk: as whole weights."""


def held_by(spec: ModelSpec, path: Path) -> Held | None:
    """What lies at an entry's path; None where nothing says what it holds.

    Raises:
        ModelLoadError: a GGUF or a file of safetensors cannot be read, or a folder is packed in a
            way that is not read here.
    """
    if path.is_dir():
        return _of_folder(spec, path)
    if path.suffix != GGUF and not spec.can.runs_quantized:
        return None
    contents = contents_of(read_model(path), path, spec.quantization)
    named = contents.level.name if contents.level else next(iter(contents.types), "")
    whole = spec.backend == TransformersSpec.backend
    return Held("gguf", named, contents.total.size, contents.total.bits_per_weight, whole)


def _of_folder(spec: ModelSpec, folder: Path) -> Held | None:
    packing = packing_of(folder)
    tensors = list(_tensors(folder))
    weights = sum(_weights(name, kind, shape, packing) for name, kind, shape, _ in tensors)
    if not weights:
        return None
    size = sum(length for *_, length in tensors)
    bits = 8 * size / weights
    if packing is not None:
        return Held(*_named(packing), size, bits, packing.unpacked)
    if isinstance(spec, TransformersSpec) and spec.quantize:
        return Held("bitsandbytes", f"{spec.quantize}, made as it is loaded", size, bits, False)
    most = max(tensors, key=lambda tensor: tensor[3])
    return Held(_WHOLE, most[1], size, bits, False)


def _named(packing: Packing) -> tuple[str, str]:
    """Method and level."""
    if packing.unpacked:
        method, _, level = packing.named.partition(", ")
        return method, level
    return "bitsandbytes", packing.method


def _tensors(folder: Path) -> Iterator[tuple[str, str, tuple[int, ...], int]]:
    """Name, type, shape and bytes of each tensor, from the headers alone.

    Reference: the format of safetensors, https://huggingface.co/docs/safetensors.

    Raises:
        ModelLoadError: a file is broken.
    """
    for file in sorted(folder.glob("*.safetensors")):
        for name, said in header_of(file).items():
            if name != "__metadata__":
                start, end = said["data_offsets"]
                yield name, _type(said["dtype"]), tuple(said["shape"]), end - start


def _type(name: str) -> str:
    return {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}.get(name, name)


def _weights(name: str, kind: str, shape: tuple[int, ...], packing: Packing | None) -> int:
    """How many of the model's weights a tensor stands for."""
    count = math.prod(shape)
    if packing is None:
        return count
    if name.endswith(_NOT_WEIGHTS) or _STATE in name:
        return 0
    if name.endswith(".qweight"):
        return count * _WORD // packing.bits
    return 2 * count if packing.method in ("nf4", "fp4") and kind == "U8" else count
