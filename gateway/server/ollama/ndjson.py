"""Streams of lines, each a JSON object. What is wrong with a request is found before the first line
and gets a status of its own; what fails later comes as a last line with the error object."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.server.exchange import current
from gateway.server.failures import failure_of
from gateway.server.ollama.errors import error_json
from gateway.server.streams import ClientGone, Emit, events_of, unless_gone

_MEDIA_TYPE = "application/x-ndjson"

DOCUMENTED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The answer, or, unless `stream` is false, lines of which each is a part",
        "content": {_MEDIA_TYPE: {}},
    }
}
"""What a route that can stream says of it in the OpenAPI document."""


async def streamed(request: Request, produce: Callable[[Emit[str]], Awaitable[None]]) -> Response:
    """The answer that streams the lines which `produce` emits, begun once the first is there.

    Args:
        produce: does the work and emits JSON objects without line ends.

    Raises:
        Exception: whatever `produce` raises before its first line.
    """
    lines = events_of(produce)
    try:
        first = await unless_gone(request.receive, _first(lines))
    except BaseException:
        await lines.aclose()
        raise
    return _Lines(first, lines)


class _Lines(Response):
    """Sends lines, and ends their work when the client is gone."""

    def __init__(self, first: str, rest: AsyncGenerator[str, None]) -> None:
        super().__init__(media_type=_MEDIA_TYPE, headers={"cache-control": "no-cache"})
        del self.headers["content-length"]
        self._first = first
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await unless_gone(receive, self._send_all(send))
        except ClientGone:
            current().error = "client_gone"
        finally:
            await self._rest.aclose()

    async def _send_all(self, send: Send) -> None:
        headers = self.raw_headers
        await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
        await _send_line(send, self._first)
        try:
            async with aclosing(self._rest) as lines:
                async for line in lines:
                    await _send_line(send, line)
        except Exception as error:  # noqa: BLE001 - the status is sent: the client is told in a line
            failure = failure_of(error)
            current().error = failure.code or ""
            await _send_line(send, error_json(failure))
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _first(lines: AsyncGenerator[str, None]) -> str:
    return await anext(lines)


async def _send_line(send: Send, line: str) -> None:
    await send({"type": "http.response.body", "body": f"{line}\n".encode(), "more_body": True})
