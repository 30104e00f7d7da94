"""Answers that are streamed, whatever the wire format.

Everything that can be wrong with a request is found before the first piece, so that it gets a
status of its own; what fails later comes as a last piece with the error object.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.server.client_work import ClientGone, Emit, events_of, unless_gone
from gateway.server.exchange import current
from gateway.server.http_errors import Failure, noted

Produce = Callable[[Emit[str]], Awaitable[None]]
"""Does the work and emits its pieces."""

Tell = Callable[[Failure], str]
"""From a failure to the piece that tells it."""


async def streamed(request: Request, produce: Produce, *, media_type: str, tell: Tell) -> Response:
    """The answer that streams what `produce` emits as it is, begun once its first piece is there.

    Raises:
        Exception: whatever `produce` raises before its first piece.
    """
    pieces = events_of(produce)
    try:
        first = await unless_gone(request.receive, anext(pieces))
    except BaseException:
        await pieces.aclose()
        raise
    return _Streamed(first, pieces, media_type, tell)


class _Streamed(Response):
    """Sends pieces, and ends their work when the client is gone."""

    def __init__(
        self, first: str, rest: AsyncGenerator[str, None], media_type: str, tell: Tell
    ) -> None:
        super().__init__(media_type=media_type, headers={"cache-control": "no-cache"})
        del self.headers["content-length"]
        self._first = first
        self._rest = rest
        self._tell = tell

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
        await _send_piece(send, self._first)
        try:
            async with aclosing(self._rest) as pieces:
                async for piece in pieces:
                    await _send_piece(send, piece)
        except Exception as error:  # noqa: BLE001 - the status is sent: the client is told in a piece
            await _send_piece(send, self._tell(noted(error)))
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _send_piece(send: Send, piece: str) -> None:
    await send({"type": "http.response.body", "body": piece.encode(), "more_body": True})
