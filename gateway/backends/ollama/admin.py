"""The models of an Ollama server: which there are, fetching one, forgetting one."""

from collections.abc import AsyncIterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from gateway.backends.ollama import wire
from gateway.backends.ollama.client import Server, server_at
from gateway.backends.ollama.spec import OllamaSpec
from gateway.core.errors import ConfigError
from gateway.models.spec import ModelSpec


def server_of(spec: ModelSpec) -> tuple[Server, str]:
    """Where an entry's model is, and what it is called there.

    Raises:
        ConfigError: it is not on a server.
    """
    if not isinstance(spec, OllamaSpec):
        raise ConfigError(
            f"{spec.name!r} is no model of an Ollama server",
            hint=f"such as {OllamaSpec.prefix}llama3.2:1b; gateway models list --ollama",
        )
    return server_at(spec.host), spec.model


async def pull(server: Server, model: str, notes: Console) -> wire.Listed:
    """Have the server fetch a model; returns what it then has."""
    await show_progress(server.pull(model), notes)
    return await server.model(model)


async def show_progress(lines: AsyncIterator[wire.Progress], notes: Console) -> None:
    """Draw a bar for each file that is transferred, and print each other step once."""
    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=notes,
        disable=not notes.is_terminal,
    )
    tasks: dict[str, TaskID] = {}
    said = ""
    with bars:
        async for line in lines:
            if line.digest and line.total:
                if line.digest not in tasks:
                    tasks[line.digest] = bars.add_task(line.status, total=line.total)
                bars.update(tasks[line.digest], completed=line.completed, total=line.total)
            elif line.status != said:
                bars.console.print(line.status, markup=False, highlight=False)
            said = line.status
