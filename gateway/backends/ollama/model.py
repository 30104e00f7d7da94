"""What a server says of one of its models when it is loaded, and whether that still holds."""

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.backends.ollama.client import Server, same_name
from gateway.backends.ollama.conversation import UNTOLD_TEMPLATE
from gateway.backends.ollama.wire import Shown
from gateway.core.digests import digest_json
from gateway.core.errors import BackendError, ModelLoadError
from gateway.models.environment import digest_memory
from gateway.models.ollama_store import Stored
from gateway.models.spec import ModelSpec
from gateway.models.weights import weights_digests


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model, loaded by its server."""

    name: str
    """As the server lists it."""
    version: str
    """Of the server."""
    digest: str
    """SHA-256 of the manifest: of weights, adapter, template and parameters together."""
    shown: Shown
    context_length: int
    """Tokens, the effective ones."""
    was_loaded: bool
    """It was in memory before, perhaps with something in its cache."""


async def load(server: Server, name: str, context_length: int, threads: int) -> ServedModel:
    """Have a model loaded with a context and find out what it is.

    Args:
        context_length: tokens; lowered to what the model was trained for, as the server would do
            in silence.
        threads: 0: as many as the server chooses.

    Raises:
        ModelNotPulled: the server does not have it.
        ModelLoadError: the server gives it another context than it was asked for.
    """
    version = await server.version()
    listed = await server.model(name)
    shown = await server.show(listed.name, verbose=False)
    wanted = min(context_length, shown.number("context_length") or context_length)
    loaded_before = await _context(server, listed.name) is not None
    await server.load(listed.name, load_options(wanted, threads))
    effective = await _context(server, listed.name)
    if effective is None:
        raise ModelLoadError(f"{server.host} does not list {name} as loaded, though it loaded it")
    if effective and effective < wanted:
        raise ModelLoadError(
            f"{server.host} gives {name} a context of {effective} tokens instead of {wanted}",
            hint=f"context_length = {effective} in models.toml",
        )
    return ServedModel(listed.name, version, listed.digest, shown, wanted, loaded_before)


def load_options(context_length: int, threads: int) -> dict[str, int]:
    """Options that decide how a model is loaded: sent with every request, or it loads again."""
    return {"num_ctx": context_length} | ({"num_thread": threads} if threads else {})


async def check_unchanged(server: Server, known: ServedModel) -> None:
    """Make sure that the name still means the same model, on a server of the same version.

    Raises:
        BackendError: it does not: what is answered from now on has another identity.
    """
    version, listed = await server.version(), await server.model(known.name)
    if (version, listed.digest) != (known.version, known.digest):
        what = f"{known.digest[:12]} on Ollama {known.version}"
        now = f"{listed.digest[:12]} on Ollama {version}"
        raise BackendError(
            f"{known.name} was {what} when it was loaded and is {now}",
            hint="run the same command again: the answers so far are kept under what gave them",
        )


def identity_of(
    served: ServedModel,
    spec: ModelSpec,
    route: str,
    rendering: Mapping[str, str],
    stored: Stored | None,
    merges_system: bool = False,
) -> Mapping[str, str]:
    """Everything that is known to change a byte, by name.

    Args:
        rendering: what the gateway renders messages with; unused on route "chat".
        merges_system: on that route, system messages go into the user's turn.
    """
    shown = served.shown
    identity = {
        "backend": "ollama",
        "model": served.digest,
        "route": route,
        "context_length": str(served.context_length),
        "version": served.version,
        "settings": f"num_thread={spec.threads}",
        "end_of_turn": spec.end_of_turn,
    }
    if route == "raw":
        identity |= rendering
    else:
        leaking = [shown.template, shown.system, shown.messages]
        identity["chat_template"] = digest_json(leaking)
        identity |= {"system": "merged"} if merges_system else {}
        identity |= {"reasoning": spec.reasoning} if spec.reasoning else {}
    if stored is not None:
        identity["weights"] = weights_digests(stored.weights, digest_memory()).contents
    return identity


def weaknesses(served: ServedModel, route: str) -> tuple[str, ...]:
    """What of the server's cannot be switched off or is not known, each in one sentence."""
    said = []
    if route == "chat":
        if served.shown.template.strip() == UNTOLD_TEMPLATE:
            said.append(
                f"{served.name} has no chat template: Ollama renders conversations by a template "
                "that it does not tell"
            )
        if served.shown.system:
            said.append(
                f"{served.name} on Ollama: the system prompt of its Modelfile is put before "
                "conversations without one"
            )
        if served.shown.messages:
            said.append(
                f"{served.name} on Ollama: the {len(served.shown.messages)} messages of its "
                "Modelfile are put before every conversation"
            )
    if served.was_loaded:
        said.append(
            f"{served.name} was in the Ollama server's memory before: what it has cached may "
            "change results"
        )
    return tuple(said)


async def _context(server: Server, name: str) -> int | None:
    """Tokens of context of a loaded model, 0 where the server does not say; None: not loaded."""
    for running in await server.running():
        if same_name(running.name, name):
            return running.context_length
    return None
