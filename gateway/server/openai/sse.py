"""Server-sent events as OpenAI's clients read them."""

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gateway.server import streaming
from gateway.server.openai.errors import error_json
from gateway.server.streaming import Produce

DONE = "data: [DONE]\n\n"

_EVENT = {
    "type": "object",
    "description": "One event. `data` is JSON, or [DONE] at the end.",
    "properties": {"event": {"type": "string"}, "data": {"type": "string"}},
    "required": ["data"],
}
DOCUMENTED: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {"schema": _EVENT}}}
}
"""What a route that can stream says of it in the OpenAPI document."""


def data(json_text: str) -> str:
    """An event without a name."""
    return f"data: {json_text}\n\n"


def named(name: str, json_text: str) -> str:
    """An event with a name."""
    return f"event: {name}\ndata: {json_text}\n\n"


async def streamed(
    request: Request, produce: Produce, *, on_error: Callable[[str], str] = data
) -> Response:
    """The answer that streams what `produce` emits, begun once its first event is there.

    Args:
        produce: emits whole events, each ending with an empty line.
        on_error: from the error object's JSON to the event that tells it.

    Raises:
        Exception: whatever `produce` raises before its first event.
    """
    return await streaming.streamed(
        request,
        produce,
        media_type="text/event-stream",
        tell=lambda failure: on_error(error_json(failure)),
    )
