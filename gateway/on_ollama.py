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
from gateway.backends.ollama.server import Server, same_name, server_at
from gateway.config import ON_OLLAMA, ModelSpec, OllamaSource
from gateway.errors import ConfigError
from gateway.memory import readable
from gateway.report.table import numbers, print_rows, say

_DIGITS = 12
"""Of a digest that is shown to people."""


def server_of(spec: ModelSpec) -> tuple[Server, str]:
    """Where an entry's model is, and what it is called there.

    Raises:
        ConfigError: it is not on a server.
    """
    if spec.backend != "ollama" or not isinstance(spec.source, OllamaSource):
        raise ConfigError(
            f"{spec.name!r} is no model of an Ollama server",
            hint=f"such as {ON_OLLAMA}llama3.2:1b; gateway models list --ollama",
        )
    return server_at(spec.host), spec.source.name


async def models_table(server: Server, console: Console) -> None:
    """One row a model of the server, with the name by which every command takes it."""
    rows = []
    loaded = await server.running()
    for listed in await server.models():
        context = [r.context_length for r in loaded if same_name(r.name, listed.name)]
        rows.append(
            (
                f"{ON_OLLAMA}{listed.name}",
                f"{listed.details.parameter_size} {listed.details.quantization_level}",
                readable(listed.size),
                f"loaded, {context[0]} tokens" if context else "",
                listed.digest[:_DIGITS],
            )
        )
    if rows:
        print_rows(("model", "type", *numbers("size"), "context", "digest"), rows, console)
    else:
        say(console, f"no models; the first: gateway models pull {ON_OLLAMA}llama3.2:1b")
    say(console, f"Ollama {await server.version()} at {server.host}")


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
