"""Server-sent events as OpenAI's clients read them.

Everything that can be wrong with a request is found before the first event, so that it gets a
status of its own; what fails later comes as an event with the error object.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.server.exchange import current
from gateway.server.failures import failure_of
from gateway.server.openai.errors import error_json
from gateway.server.streams import ClientGone, Emit, events_of, unless_gone

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

Produce = Callable[[Emit[str]], Awaitable[None]]
"""Does the work and emits whole events, each ending with an empty line."""


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
        on_error: from the error object's JSON to the event that tells it.

    Raises:
        Exception: whatever `produce` raises before its first event.
    """
    events = events_of(produce)
    try:
        first = await unless_gone(request.receive, anext(events))
    except BaseException:
        await events.aclose()
        raise
    return EventStream(first, events, on_error)


class EventStream(Response):
    """Sends events, and ends their work when the client is gone."""

    def __init__(
        self, first: str, rest: AsyncGenerator[str, None], on_error: Callable[[str], str]
    ) -> None:
        super().__init__(media_type="text/event-stream", headers={"cache-control": "no-cache"})
        del self.headers["content-length"]
        self._first = first
        self._rest = rest
        self._on_error = on_error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await unless_gone(receive, self._send_all(send))
        except ClientGone:
            current().error = "client_gone"
        finally:
            await self._rest.aclose()

    async def _send_all(self, send: Send) -> None:
        headers = self.raw_headers
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await _send_text(send, self._first)
        try:
            async with aclosing(self._rest) as events:
                async for event in events:
                    await _send_text(send, event)
        except Exception as error:  # noqa: BLE001 - the status is sent: the client is told in an event
            failure = failure_of(error)
            current().error = failure.code or ""
            await _send_text(send, self._on_error(error_json(failure)))
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _send_text(send: Send, text: str) -> None:
    await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
