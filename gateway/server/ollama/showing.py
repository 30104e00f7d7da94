"""The texts of POST /api/show."""

from typing import Any

from gateway.server.ollama.describing import Description
from gateway.server.ollama.header import Header

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
    lines.append(f"FROM ./{found.path.name}")
    if found.spec.adapter is not None:
        lines.append(f"ADAPTER ./{found.spec.adapter.name}")
    lines += [f"PARAMETER {name} {value}" for name, value in _defaults(found).items()]
    if license_text := license_of(found):
        lines.append(f"LICENSE {license_text}")
    return "\n".join(lines) + "\n"


def model_info(found: Description, header: Header) -> dict[str, Any]:
    """The file's metadata. Arrays are null where the header was read without them."""
    count = {"general.parameter_count": header.parameters} if header.tensors else {}
    return dict(sorted({**header.metadata, **count}.items()))


def _defaults(found: Description) -> dict[str, str]:
    trained = found.number("context_length") or found.spec.context_length
    return {
        "temperature": "0",
        "seed": "0",
        "repeat_penalty": "1",
        "num_ctx": str(min(found.spec.context_length, trained)),
    }
