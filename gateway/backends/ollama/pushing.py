"""An entry of models.toml becomes a model of an Ollama server, as its Modelfile says."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from gateway.backends.ollama.admin import show_progress
from gateway.backends.ollama.client import Server, same_name
from gateway.backends.ollama.modelfile_writer import write_modelfile
from gateway.backends.ollama.wire import Listed
from gateway.core.digests import file_digest
from gateway.core.errors import ConfigError
from gateway.core.sizes import readable
from gateway.models import modelfile, ollama_store
from gateway.models.spec import ModelSpec

_LISTS = {"stop"}
"""Parameters of which there may be several."""


async def push(
    server: Server,
    spec: ModelSpec,
    name: str,
    notes: Console,
    *,
    seed: int = 0,
    force: bool = False,
) -> Listed:
    """Create a model on a server: weights, adapter, template and parameters.

    Files that the server has are not sent again. The server may rewrite the weights: another file,
    the same tensors.

    Args:
        name: what it is to be called there.
        seed: as `write_modelfile` takes it.
        force: also where the server has a model of that name, which is lost then.

    Raises:
        ConfigError: the name is taken or none, or there is no Modelfile for the entry.
        BackendError: the server does not create it.
    """
    ollama_store.parts_of(name)
    said = modelfile.parse(write_modelfile(spec, seed=seed))
    if not force and any(same_name(each.name, name) for each in await server.models()):
        raise ConfigError(
            f"the Ollama server at {server.host} has a model {name} already",
            hint="another name with --as, or --force to replace it",
        )
    weights, adapters = Path(said.source), [Path(path) for path in said.adapters]
    fields = {
        "files": await _uploaded(server, [weights], notes),
        "template": said.template,
        "parameters": parameters(said.parameters),
    }
    if adapters:
        fields["adapters"] = await _uploaded(server, adapters, notes)
    await show_progress(server.create(name, **fields), notes)
    return await server.model(name)


def parameters(pairs: Sequence[tuple[str, str]]) -> Mapping[str, Any]:
    """Parameters of a Modelfile as the JSON that POST /api/create takes."""
    made: dict[str, Any] = {}
    for key, value in pairs:
        if key in _LISTS:
            made[key] = [*made.get(key, []), value]
        else:
            made[key] = _number(value)
    return made


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


async def _uploaded(server: Server, files: Sequence[Path], notes: Console) -> dict[str, str]:
    """The digest of each file by its name, once the server has all of them."""
    digests = {}
    for file in files:
        digest = f"sha256:{file_digest(file)}"
        if not await server.has_file(digest):
            with notes.status(f"sending {file.name}, {readable(file.stat().st_size)}"):
                await server.upload(file)
        digests[file.name] = digest
    return digests
