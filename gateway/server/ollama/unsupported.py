"""What Ollama has and the gateway does not: fields that cannot be honoured, and endpoints with
which clients change what models there are.

A field's empty values ask for nothing and are accepted; anything else is refused, by name and with
the reason. An endpoint's refusal says what to do instead.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import BeforeValidator, Field

from gateway.server.http_errors import Forbidden


def _only_empty(reason: str) -> BeforeValidator:
    def check(value: Any) -> Any:
        if value is None or value is False or value in ("", []):
            return value
        raise ValueError(reason)

    return BeforeValidator(check)


def _only(allowed: float | None, reason: str) -> BeforeValidator:
    def check(value: Any) -> Any:
        if value is None or (type(value) in (int, float) and value == allowed):
            return value
        raise ValueError(reason)

    return BeforeValidator(check)


NoImages = Annotated[
    Annotated[list[str], Field(max_length=0)] | None,
    _only_empty("the model reads text only, no images"),
]
NoThinking = Annotated[Literal[False] | None, _only_empty("the model does not support thinking")]
NoThoughts = Annotated[
    Literal[""] | None, _only_empty("a chat template is not shown what a model thought earlier")
]
NoSuffix = Annotated[
    Literal[""] | None,
    _only_empty("does not support insert: what a model writes before a suffix does not know it"),
]
NoTemplate = Annotated[
    Literal[""] | None,
    _only_empty(
        "Go templates are not rendered; send messages to /api/chat, or a raw prompt, or give the "
        "model's entry in models.toml a chat_template"
    ),
]
NoContext = Annotated[
    Annotated[list[int], Field(max_length=0)] | None,
    _only_empty("earlier turns are sent to /api/chat as messages, not as token ids"),
]
NoTruncation = Annotated[
    Literal[False] | None, _only_empty("input that does not fit the context is refused, never cut")
]
NoShift = Annotated[
    Literal[False] | None,
    _only_empty("an answer ends where the context does; nothing of the prompt is dropped for it"),
]
NoDimensions = Annotated[None, _only_empty("vectors have the model's own number of dimensions")]
NoPicture = Annotated[None, _only_empty("the model writes text only, no images")]

OperatorsChoice = Annotated[
    None, _only_empty("is decided by whoever runs the server, in models.toml")
]
NoSampler = Annotated[None, _only_empty("is a way of sampling that the gateway does not have")]
NoMirostat = Annotated[Literal[0] | None, _only(0, "Mirostat sampling is not supported; send 0")]
NoTypical = Annotated[float | None, _only(1, "typical sampling is not supported; send 1")]
WholeText = Annotated[
    Literal[-1] | None,
    _only(-1, "repeat_penalty looks at the whole prompt and answer, which is -1"),
]

_REFUSED = {
    ("POST", "/pull"): "models are pulled where the server runs: gateway models pull NAME",
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
