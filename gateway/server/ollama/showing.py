"""The texts of POST /api/show."""

import struct
from typing import Any

from gateway.models.gguf import Header
from gateway.server.ollama.describing import Description

_DIGITS = 10
"""Nine tell every 32 bit float from every other."""
_NAME_WIDTH = 31
"""Columns of a parameter's name, as Ollama aligns them."""


def license_of(found: Description) -> str:
    """Of the entry, or else of the file."""
    return found.spec.license or str(found.header.metadata.get("general.license", ""))


def parameters(found: Description) -> str:
    """The defaults that apply where a request says nothing, one a line."""
    return "\n".join(f"{name:<{_NAME_WIDTH}}{value}" for name, value in _defaults(found).items())


def modelfile(found: Description) -> str:
    """The entry as a Modelfile. Files go by their names alone: where they lie is not told."""
    lines = ["# An entry of models.toml, shown as a Modelfile; its chat template is Jinja."]
    if found.path.name:
        lines.append(f"FROM ./{found.path.name}")
    else:
        lines.append("# Its weights are on another server.")
    if found.spec.adapter is not None:
        lines.append(f"ADAPTER ./{found.spec.adapter.name}")
    lines += [f"PARAMETER {name} {value}" for name, value in _defaults(found).items()]
    if license_text := license_of(found):
        lines.append(f"LICENSE {license_text}")
    return "\n".join(lines) + "\n"


def model_info(found: Description, header: Header) -> dict[str, Any]:
    """The file's metadata. Arrays are null where the header was read without them."""
    count = {"general.parameter_count": header.parameters} if header.tensors else {}
    known = {**header.metadata, **count}
    trained = f"{found.family}.context_length"
    if isinstance(known.get(trained), int):
        # Clients ask for as much as this says: it is what is served here.
        known[trained] = min(known[trained], found.spec.context_held)
    return {
        name: _shortest(value) if isinstance(value, float) else value
        for name, value in sorted(known.items())
    }


def _shortest(value: float) -> float:
    """A 32 bit float as the shortest decimal that means it: 1e-05, not 9.999999747378752e-06."""
    try:
        data = struct.pack("<f", value)
    except OverflowError:
        return value
    if struct.unpack("<f", data)[0] != value:
        return value
    digits = (float(f"{value:.{count}g}") for count in range(1, _DIGITS))
    return next((short for short in digits if struct.pack("<f", short) == data), value)


def _defaults(found: Description) -> dict[str, str]:
    trained = found.number("context_length") or found.spec.context_held
    return {
        "temperature": "0",
        "seed": "0",
        "repeat_penalty": "1",
        "num_ctx": str(min(found.spec.context_held, trained)),
    }
