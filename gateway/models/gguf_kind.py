"""GGUF files that are no language model, and what is to be done with one that cannot be loaded."""

from pathlib import Path

from gateway.core.errors import ModelLoadError
from gateway.models.gguf import Header
from gateway.models.gguf_parts import read_model

_PROJECTOR = (
    "a projector of images or sound for another model, which has no text of its own",
    "name the GGUF of the language model beside it",
)
_NO_MODELS = {
    "adapter": (
        "an adapter",
        'name its base as the source, and this file as the entry\'s adapter = "..."',
    ),
    "mmproj": _PROJECTOR,
    "imatrix": ("an importance matrix", "give it to gateway quantize --imatrix"),
}
"""Value of `general.type` -> what such a file is, and where it belongs."""
_PROJECTORS = {"clip"}
"""Architectures of projectors; older ones have no `general.type`."""


def refuse_no_model(path: Path, header: Header) -> None:
    """Raise ModelLoadError for a GGUF that is whole and still no language model."""
    kind = str(header.metadata.get("general.type", "model"))
    found = _PROJECTOR if header.architecture in _PROJECTORS else _NO_MODELS.get(kind)
    if found is None and kind != "model":
        found = (f"of the type {kind!r}", "name a GGUF of a language model")
    if found is not None:
        raise ModelLoadError(f"{path}: no model but {found[0]}", hint=found[1])


def refuse_incomplete(header: Header) -> None:
    """Raise ModelLoadError where a file ends before the tensors that it lists."""
    for number, path in enumerate(header.parts):
        own = [tensor for tensor in header.tensors if tensor.part == number]
        wanted = max((header.place(tensor)[1] + tensor.size for tensor in own), default=0)
        if (size := path.stat().st_size) < wanted:
            raise ModelLoadError(
                f"{path}: it is cut off: {size} bytes, and its tensors take {wanted}",
                hint="fetch it again",
            )


def cure(path: Path, said: str, version: str) -> str:
    """What to do about a GGUF that llama.cpp did not load.

    Args:
        said: llama.cpp's own words.
        version: of llama-cpp-python.

    Raises:
        ModelLoadError: there is a better reason than llama.cpp's: it is no model, or not whole.
    """
    header = read_model(path)
    refuse_no_model(path, header)
    refuse_incomplete(header)
    if "unknown model architecture" in said:
        return (
            f"the file is whole; llama-cpp-python {version} does not know the architecture "
            f"{header.architecture!r}: a newer one may, or the backend transformers"
        )
    if not header.tensors:
        return "it holds a vocabulary and no weights: name the GGUF that holds them"
    if "alloc" in said or "memory" in said:
        return "memory does not suffice for it: a smaller quantization, or other programs closed"
    return f"the file is whole; llama-cpp-python {version} does not read a model made like this"
