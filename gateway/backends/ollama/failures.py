"""What goes wrong between here and an Ollama server, as errors of the gateway.

| what happens                                      | error                |
|---------------------------------------------------|----------------------|
| nobody listens, or the connection drops           | `BackendUnavailable` |
| 408, 429, 502, 503, 504                           | `BackendUnavailable` |
| no answer in time                                 | `BackendTimeout`     |
| 404, but for a path that the server lacks         | `ModelNotPulled`     |
| prompt and answer do not fit the context          | `ContextOverflow`    |
| 400, or a format that the server cannot read     | `InvalidRequest`     |
| 501                                               | `Unsupported`        |
| any other status, a line `{"error": ...}`,        | `BackendError`       |
| a line that is no JSON or not what was asked for  |                      |
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import ollama
from pydantic import ValidationError

from gateway.core.errors import (
    BackendError,
    BackendTimeout,
    BackendUnavailable,
    ContextOverflow,
    GatewayError,
    InvalidRequest,
    ModelNotPulled,
    Unsupported,
)

_BUSY = {408, 429, 502, 503, 504}
_IN_A_STREAM = -1
"""The client's status of an error that came as a line."""
_NO_SUCH_PATH = "404 page not found"
"""What Go's HTTP server says; nothing is known of the model then."""
_TOO_LONG = re.compile(
    r"exceeds the available context size|longer than the context length"
    r"|exceeds the context length"
)
_SIZES = re.compile(r"\((\d+) tokens\).*\((\d+) tokens\)")


@contextmanager
def translated(host: str, model: str) -> Iterator[None]:
    """Raise what the block meets as an error of the gateway.

    Args:
        host: the server's URL, for the message.
        model: the name on the server, empty where none is asked for.
    """
    try:
        yield
    except ollama.ResponseError as exc:
        # The client takes the error out of its body, and that may be an object and no text.
        raise of_status(exc.status_code, json.dumps(exc.error), host, model) from exc
    except httpx.TimeoutException as exc:
        raise BackendTimeout(
            f"the Ollama server at {host} did not answer in time: {type(exc).__name__}",
            hint="a large model may take long to load; ask again",
        ) from exc
    except (ConnectionError, httpx.ConnectError) as exc:
        raise BackendUnavailable(
            f"no Ollama server answers at {host}",
            hint="start it with `ollama serve`; OLLAMA_HOST, or host in models.toml, says where "
            "it is",
        ) from exc
    except (httpx.TransportError, httpx.StreamError) as exc:
        raise BackendUnavailable(
            f"the connection to the Ollama server at {host} broke: {exc or type(exc).__name__}"
        ) from exc
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as exc:
        raise InvalidRequest(f"{host}: no URL of a server: {exc}") from exc
    except (ValidationError, ValueError, TypeError, AttributeError) as exc:
        # A line that is no JSON, or JSON of another shape, at which the client itself stumbles.
        said = str(exc).replace("\n", " ")
        raise BackendError(
            f"{host} answers what is not Ollama's API: {said:.200}",
            hint="does an Ollama server listen there?",
        ) from exc


def of_status(status: int, text: str, host: str, model: str) -> GatewayError:
    """The error of an answer that is none.

    Args:
        text: the body, or the error of a line.
    """
    said = innermost(text)
    if status == 404 and model and said != _NO_SUCH_PATH:
        return ModelNotPulled(
            f"{model} is not on the Ollama server at {host}: {said}",
            hint=f"gateway models pull ollama:{model}",
        )
    if _TOO_LONG.search(said):
        sizes = _SIZES.search(said)
        needed, available = map(int, sizes.groups()) if sizes else (0, 0)
        return ContextOverflow(needed, available)
    if status in (400, 413) or said.startswith("invalid format"):
        return InvalidRequest(f"the Ollama server refuses the request: {said}")
    if status == 501:
        return Unsupported("embeddings of this model", hint=said)
    if status in _BUSY:
        return BackendUnavailable(f"the Ollama server at {host} has no time: {status} {said}")
    where = "in the middle of an answer" if status == _IN_A_STREAM else f"with status {status}"
    return BackendError(f"the Ollama server at {host} failed {where}: {said}")


def innermost(text: str) -> str:
    """The message in an error, which may be JSON, and JSON inside that again."""
    for _ in range(5):
        try:
            found = json.loads(text)
        except ValueError:
            break
        while isinstance(found, dict):
            found = found.get("error") or found.get("message") or ""
        if not isinstance(found, str) or not found:
            break
        text = found
    return text.strip()
