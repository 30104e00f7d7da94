"""Files of safetensors that cannot be read, said by name: not fetched, cut off, or missing.

Layout: eight bytes of length, a JSON header with `data_offsets` behind it, the data
(https://github.com/huggingface/safetensors, "Format").
"""

import json
from pathlib import Path
from typing import Any

from gateway.core.errors import ModelLoadError
from gateway.core.lfs import refuse_pointer
from gateway.core.lists import first_names

_INDEX = "model.safetensors.index.json"
_WHOLE = "model.safetensors"
ADAPTER = "adapter_config.json"
"""What tells a folder with an adapter of PEFT."""
_LENGTH = 8
_PACKED = b"quantization_config"


def refuse_broken_folder(folder: Path) -> None:
    """Raise ModelLoadError where a file of a model's folder is broken, or one that its index names
    is missing, or where an adapter lies in it: transformers would take the base that the adapter's
    configuration names, and the adapter on it, instead of what was asked for."""
    if (folder / ADAPTER).is_file():
        raise ModelLoadError(
            f"{folder}: it holds an adapter of PEFT ({ADAPTER})",
            hint="name the base as the entry's source, and this folder as its adapter",
        )
    for file in sorted(folder.glob("*.safetensors")):
        refuse_broken(file)
    index = folder / _INDEX
    if (folder / _WHOLE).exists():
        return
    if not index.is_file():
        _refuse_unnamed(folder)
        return
    try:
        named = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
        raise ModelLoadError(f"{index}: no index of shards: {exc}") from exc
    if missing := {str(each) for each in named if not (folder / str(each)).is_file()}:
        raise ModelLoadError(
            f"{folder}: its index names {len(named)} files, and of them is missing: "
            f"{first_names(missing)}",
            hint="fetch it again",
        )


def _refuse_unnamed(folder: Path) -> None:
    """Weights of a name that transformers does not look for: a shard without the index, a variant,
    the form of a model's maker. config.json may name them, and one file of packed weights may have
    any name."""
    found = [file.name for file in folder.glob("*.safetensors")]
    config = folder / "config.json"
    said = config.read_bytes() if config.is_file() else b""
    if found and not any(key in said for key in (b"transformers_weights", _PACKED)):
        raise ModelLoadError(
            f"{folder}: neither {_WHOLE} nor {_INDEX} is in it, but {first_names(found)}",
            hint=f"fetch the other files too; or rename whole weights to {_WHOLE}",
        )


def refuse_broken(file: Path) -> None:
    """Raise ModelLoadError for a file of safetensors that is cut off, none, or a pointer of Git
    LFS."""
    header_of(file)


def header_of(file: Path) -> dict[str, Any]:
    """What the header of a file of safetensors says, which is whole.

    Raises:
        ModelLoadError: it is cut off, none, or a pointer of Git LFS.
    """
    try:
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(_LENGTH), "little")
            size = file.stat().st_size
            said = opened.read(length) if length < size else b""
        refuse_pointer(file)
        header: dict[str, Any] = json.loads(said) if said else {}
        wanted = _LENGTH + length + _end_of_data(header)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
        raise ModelLoadError(f"{file}: no readable safetensors: {exc}") from exc
    if size < wanted:
        raise ModelLoadError(
            f"{file}: it is cut off: {size} bytes, and by its header {wanted}",
            hint="fetch it again",
        )
    return header


def _end_of_data(header: dict[str, Any]) -> int:
    ends = (each["data_offsets"][1] for name, each in header.items() if name != "__metadata__")
    return max(map(int, ends), default=0)
