"""What Ollama has and the gateway does not: fields that cannot be honoured, and endpoints with
which clients change what models there are.

A field's empty values ask for nothing and are accepted; anything else is refused, by name and with
the reason. An endpoint's refusal says what to do instead.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from gateway.core.whole import Whole
from gateway.server.http_errors import Forbidden
from gateway.server.wire import UNREAD, only_default, only_empty

NoImages = Annotated[None, only_empty("the model reads text only, no images")]
NoSuffix = Annotated[
    None,
    only_empty("does not support insert: what a model writes before a suffix does not know it"),
]
NoTemplate = Annotated[
    None,
    only_empty(
        "Go templates are not rendered; send messages to /api/chat, or a raw prompt, or give the "
        "model's entry in models.toml a chat_template"
    ),
]
NoContext = Annotated[
    None,
    only_empty("earlier turns are sent to /api/chat as messages, not as token ids"),
]
NoOverride = Annotated[None, only_empty("models are shown as they are")]
WhereItFits = Annotated[bool | None, UNREAD]
"""Input that does not fit the context is refused, never cut, and an answer ends where the context
does: so to allow more, or not to, asks for nothing."""
NoPicture = Annotated[None, only_default(0, reason="the model writes text only, no images")]

OperatorsChoice = Annotated[bool | Annotated[Whole, Field(ge=-1)] | None, UNREAD]
"""Of how a model is loaded and with how many threads, which whoever runs the server decides, in
models.toml. It changes no byte of an answer, so it is read as a wish."""
NotAModel = Annotated[None, only_default(False, reason="asks for no answer of the model")]
OfMirostat = Annotated[float | None, UNREAD]
"""Means nothing without Mirostat, which is refused."""
NoMirostat = Annotated[None, only_default(0, reason="Mirostat sampling is not supported; send 0")]
NoTypical = Annotated[None, only_default(0, 1, reason="typical sampling is not supported; send 1")]

_REFUSED = {
    ("POST", "/push"): "models are not sent anywhere",
    ("POST", "/create"): "models are entries of models.toml",
    ("POST", "/copy"): "models are entries of models.toml",
    ("DELETE", "/delete"): "models are entries of models.toml",
    ("HEAD", "/blobs/{digest}"): "files are not taken from clients",
    ("POST", "/blobs/{digest}"): "files are not taken from clients",
}


def add_refusals(router: APIRouter) -> None:
    """One route for each; it reads no body."""
    for (method, path), reason in _REFUSED.items():
        router.add_api_route(
            path,
            _refusing(path, reason),
            methods=[method],
            include_in_schema="{" not in path,
            status_code=403,
            summary="Refused",
            name=f"refuse{path.split('/{')[0].replace('/', '_')}_{method.lower()}",
        )


def _refusing(path: str, reason: str) -> Callable[[], Awaitable[None]]:
    async def refuse() -> None:
        """This server's models are its operator's; clients do not change them."""
        raise Forbidden(f"/api{path} is not enabled on this server", hint=reason)

    return refuse
