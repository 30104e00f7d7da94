"""The file of a probe, of labels or of numbers: tensors, and what they mean in its metadata."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open

from gateway.core.errors import ConfigError, ModelLoadError

Tensors = Mapping[str, NDArray[np.float64]]
About = TypeVar("About")
Made = TypeVar("Made")


def read_file(
    path: Path, key: str, about: type[About], make: Callable[[About, Tensors], Made]
) -> Made:
    """What a file holds.

    Args:
        key: of the metadata, under which the JSON of `about` stands.
        make: raises KeyError or ValueError where a tensor is missing or of another shape.

    Raises:
        ModelLoadError: there is none, or the file is damaged.
        ConfigError: what it says of itself is not understood.
    """
    try:
        with safe_open(path, framework="np") as file:
            said = (file.metadata() or {}).get(key, "{}")
            tensors = {name: np.asarray(file.get_tensor(name), np.float64) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as exc:
        raise ModelLoadError(f"{path}: no readable probe: {exc}") from exc
    try:
        found = TypeAdapter(about).validate_json(said)
    except (ValidationError, ValueError) as exc:
        raise ConfigError(
            f"{path}: no probe that this version reads", hint="make it again: gateway tune"
        ) from exc
    try:
        return make(found, tensors)
    except (KeyError, ValueError) as exc:
        raise ModelLoadError(f"{path}: a probe without all of its numbers: {exc}") from exc


def shaped(tensors: Tensors, name: str, *shape: int) -> NDArray[np.float64]:
    """A tensor of a shape.

    Raises:
        KeyError, ValueError: there is none, it has another one, or a number is none.
    """
    tensor = tensors[name]
    if tensor.shape != shape or not np.isfinite(tensor).all():
        raise ValueError(f"{name} has the shape {tensor.shape}, or numbers that are none")
    return tensor
