"""Folders whose matrices are packed into few bits: what their configuration says, what they hold.

A matrix of GPTQ or AWQ is unpacked as it is read, as one of a GGUF is: into the entry's dtype, as
an ordinary layer, so that every promise holds that holds for one. The libraries' own kernels are
not taken: they are chosen by card and shape, and some need a card. bitsandbytes computes with what
it packed. Every other method is refused by its name.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gateway.core.errors import ModelLoadError

if TYPE_CHECKING:
    import torch

    from gateway.backends.transformers.packing import Numbers

Method = Literal["gptq", "awq", "nf4", "fp4", "int8"]
_INDEX = "model.safetensors.index.json"
_WHOLE = "model.safetensors"
_PARTS = ("qweight", "qzeros", "scales", "g_idx")
_LAYOUTS: Mapping[str, tuple[str, ...]] = {"gptq": ("gptq", "gptq_v2"), "awq": ("gemm",)}
_OTHERS = (
    "a folder of the same model in 16 bits, one packed by GPTQ, AWQ (gemm) or bitsandbytes, or a "
    "GGUF of it"
)
_UNREAD = ("rotation", "adapter")
"""Keys of GPTQModel's that make more of a layer than its matrix."""


@dataclass(frozen=True, slots=True)
class Packing:
    """How the matrices of a folder are packed, as its configuration says."""

    method: Method
    bits: int
    group: int = 0
    """Inputs that share a scale; -1: all of them. 0: not told."""
    layout: str = ""
    """Of GPTQ and AWQ, in the words of their libraries: "gptq", "gptq_v2", "gemm"."""
    ordered: bool = True
    """Groups follow each other; else only g_idx tells which input is in which (`desc_act`)."""
    of_their_own: bool = False
    """Some layers have other bits than the rest (GPTQModel's `dynamic`)."""

    @property
    def unpacked(self) -> bool:
        """Whether it is unpacked as it is read."""
        return self.method in _LAYOUTS

    @property
    def named(self) -> str:
        """In words: "gptq, 4 bits, groups of 128"."""
        if not self.unpacked:
            return f"{self.method}, bitsandbytes"
        group = f"groups of {self.group}" if self.group > 0 else "one group"
        return f"{self.method}, {self.bits} bits, {group}"


def packing_of(folder: Path) -> Packing | None:
    """How a folder is packed; None where it is not.

    Raises:
        ModelLoadError: in a way that is not read here, which it names.
    """
    said = _said(folder)
    if said is None:
        return None
    method = str(said.get("quant_method") or "").lower()
    if said.get("load_in_4bit") or said.get("load_in_8bit"):
        method = "bitsandbytes"
    if method == "bitsandbytes":
        return _of_bitsandbytes(said)
    if method not in _LAYOUTS:
        raise _refused(folder, f"packed by {method or 'a method that it does not name'}")
    return _of_integers(folder, said, "gptq" if method == "gptq" else "awq")


def _said(folder: Path) -> Mapping[str, Any] | None:
    """What config.json says of the packing; transformers says what is wrong with a broken one."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    said = config.get("quantization_config") if isinstance(config, dict) else None
    return said if isinstance(said, dict) else None


def _of_bitsandbytes(said: Mapping[str, Any]) -> Packing:
    if said.get("load_in_8bit"):
        return Packing("int8", 8)
    return Packing("nf4" if said.get("bnb_4bit_quant_type") == "nf4" else "fp4", 4)


def _of_integers(folder: Path, said: Mapping[str, Any], method: Literal["gptq", "awq"]) -> Packing:
    default = _LAYOUTS[method][0]
    names = ("checkpoint_format", "format") if method == "gptq" else ("version", "format")
    layout = str(next((said[n] for n in names if said.get(n)), default)).lower()
    if said.get("is_marlin_format"):
        layout = "marlin"
    if layout not in _LAYOUTS[method]:
        raise _refused(folder, f"packed by {method.upper()} in the layout {layout!r}")
    for key in _UNREAD:
        if said.get(key):
            raise _refused(folder, f"packed by {method.upper()} with {key} = {said[key]!r}")
    if (word := str(said.get("pack_dtype") or "int32").removeprefix("torch.")) != "int32":
        raise _refused(folder, f"packed by {method.upper()} into {word}")
    bits = said.get("bits", said.get("w_bit"))
    if bits not in ((4,) if method == "awq" else (2, 3, 4, 8)):
        raise _refused(folder, f"packed by {method.upper()} with {bits} bits")
    group = said.get("group_size", said.get("q_group_size", 128))
    if not isinstance(group, int) or (group < 1 and group != -1):
        raise _refused(folder, f"packed by {method.upper()} with group_size = {group}")
    return Packing(method, bits, group, layout, not said.get("desc_act"), bool(said.get("dynamic")))


def _refused(folder: Path, what: str) -> ModelLoadError:
    return ModelLoadError(f"{folder}: {what}, which is not read here", hint=_OTHERS)


# The tensors of GPTQ and AWQ.


def tensors(folder: Path, packing: Packing, dtype: "torch.dtype") -> "dict[str, torch.Tensor]":
    """All tensors of a folder, its packed matrices as weights of linear layers in `dtype`.

    A matrix is computed in float32, which is exact for scales in 16 bits, and rounded once.

    Raises:
        ModelLoadError: a layer is not whole, or is none of this packing.
        OSError, SafetensorError, ValueError: a file cannot be read.
    """
    found: dict[str, torch.Tensor] = {}
    held = dict(_read(folder))
    layers = sorted({name.rpartition(".")[0] for name in held if name.endswith(".qweight")})
    if not layers:
        raise ModelLoadError(
            f"{folder}: config.json says {packing.named}, and no tensor is packed so",
            hint="take quantization_config out of config.json, or pull the folder again",
        )
    for layer in layers:
        parts = {part: held.pop(f"{layer}.{part}", None) for part in _PARTS}
        if f"{layer}.weight" in held:
            raise ModelLoadError(
                f"{folder}: {layer} is there twice, packed and not",
                hint="which of them is meant, nothing says: pull the folder again",
            )
        try:
            found[f"{layer}.weight"] = _numbers(parts, packing).weights().to(dtype)
        except ValueError as exc:
            raise ModelLoadError(
                f"{folder}: {layer} is not packed as config.json says: {exc}",
                hint="a file may be of another model than the configuration: pull it again",
            ) from exc
    return held | found


def _read(folder: Path) -> "Iterator[tuple[str, torch.Tensor]]":
    # What describes a folder, and reads no tensor, does without it.
    from safetensors import safe_open

    for file in _files(folder):
        with safe_open(file, framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118 (no mapping)
                yield name, opened.get_tensor(name)


def _files(folder: Path) -> list[Path]:
    """As transformers chooses, and the one file whatever its name, as AutoGPTQ gave it."""
    if (whole := folder / _WHOLE).is_file():
        return [whole]
    if (index := folder / _INDEX).is_file():
        places = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        return [folder / name for name in sorted(set(places.values()))]
    files = sorted(folder.glob("*.safetensors"))
    if len(files) != 1:
        raise ModelLoadError(
            f"{folder}: {len(files)} files of weights, and neither {_WHOLE} nor {_INDEX}",
            hint="pull it again",
        )
    return files


def _numbers(parts: "Mapping[str, torch.Tensor | None]", packing: Packing) -> "Numbers":
    """One matrix; ValueError says what is wrong with it."""
    from gateway.backends.transformers import packing as layouts

    qweight, qzeros, scales = (parts[name] for name in _PARTS[:3])
    if qweight is None or qzeros is None or scales is None:
        lacking = [name for name in _PARTS[:3] if parts[name] is None]
        raise ValueError(f"it lacks {', '.join(lacking)}")
    if {str(qweight.dtype), str(qzeros.dtype)} != {"torch.int32"} or not scales.is_floating_point():
        raise ValueError(f"numbers of {qweight.dtype}, scales of {scales.dtype}")
    bits = _bits(qzeros, scales, packing)
    if packing.method == "awq":
        _check(qweight.shape[0], qweight.shape[1] * 32 // bits, scales, packing)
        return layouts.unpack_awq(qweight, qzeros, scales)
    inputs = qweight.shape[0] * 32 // bits
    _check(inputs, qweight.shape[1], scales, packing)
    return layouts.unpack_gptq(
        qweight,
        qzeros,
        scales,
        _groups(parts["g_idx"], inputs, scales, packing),
        bits,
        zeros_less_one=packing.layout == "gptq",
    )


def _bits(qzeros: "torch.Tensor", scales: "torch.Tensor", packing: Packing) -> int:
    """As the sizes of the layer's own tensors say."""
    if qzeros.ndim != 2 or scales.ndim != 2 or len(qzeros) != len(scales):
        raise ValueError(f"zeros {_by(qzeros)}, scales {_by(scales)}")
    bits, rest = divmod(int(qzeros.shape[1]) * 32, int(scales.shape[1]))
    fits = bits in (2, 3, 4, 8) and not rest
    if not fits or (bits != packing.bits and not packing.of_their_own):
        raise ValueError(f"zeros {_by(qzeros)} are not those of {packing.bits} bits")
    return bits


def _check(inputs: int, outputs: int, scales: "torch.Tensor", packing: Packing) -> None:
    if scales.shape[1] != outputs:
        raise ValueError(f"scales of {scales.shape[1]} outputs, numbers of {outputs}")
    size = packing.group if packing.group > 0 else inputs
    if not packing.of_their_own and len(scales) != -(-inputs // size):
        raise ValueError(f"{len(scales)} groups; {inputs} inputs in groups of {size} are others")
    if packing.method == "awq" and inputs % len(scales):
        raise ValueError(f"{inputs} inputs are not {len(scales)} groups of one size")


def _groups(
    given: "torch.Tensor | None", inputs: int, scales: "torch.Tensor", packing: Packing
) -> "torch.Tensor":
    import torch

    if given is None:
        if not packing.ordered:
            raise ValueError("it lacks g_idx, which tells the groups where desc_act is true")
        size = packing.group if packing.group > 0 else inputs
        if len(scales) != -(-inputs // size):
            raise ValueError(f"it lacks g_idx, and has {len(scales)} groups of its own")
        return torch.arange(inputs) // size
    if given.shape != (inputs,) or given.min() < 0 or given.max() >= len(scales):
        raise ValueError(f"g_idx {_by(given)} does not tell a group of {inputs} inputs")
    return given


def _by(tensor: "torch.Tensor") -> str:
    return " x ".join(map(str, tensor.shape))
