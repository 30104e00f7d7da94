"""The models of an Ollama server."""

from gateway.backends.ollama.client import Server, same_name
from gateway.backends.ollama.spec import OllamaSpec
from gateway.core.sizes import readable
from gateway.report.sections import Section, by_rows, numbers

_DIGITS = 12
"""Of a digest that is shown to people."""


async def listing(server: Server) -> Section:
    """One row a model of the server, with the name by which every command takes it."""
    rows = []
    loaded = await server.running()
    for listed in await server.models():
        context = [r.context_length for r in loaded if same_name(r.name, listed.name)]
        rows.append(
            (
                f"{OllamaSpec.prefix}{listed.name}",
                f"{listed.details.parameter_size} {listed.details.quantization_level}",
                readable(listed.size),
                f"loaded, {context[0]} tokens" if context else "",
                listed.digest[:_DIGITS],
            )
        )
    where = f"Ollama {await server.version()} at {server.host}"
    if not rows:
        first = f"no models; the first: gateway models pull {OllamaSpec.prefix}llama3.2:1b"
        return Section(lines=(first, where))
    table = by_rows(("model", "type", *numbers("size"), "context", "digest"), rows)
    return Section(tables=(table,), lines=(where,))
