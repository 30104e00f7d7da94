"""What every request passes before a route sees it, from the outside in.

`Exchanges` gives it a number, logs and counts it. `Guard` keeps web pages of other origins out.
`Authentication` asks for a key. `BodyLimit` bounds what is read, and how long that takes.
"""

import asyncio
import contextlib
import ipaddress
import logging
import re
import secrets
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.core.errors import GatewayError
from gateway.server.exchange import Exchange, begin, current
from gateway.server.http_errors import (
    Failure,
    Forbidden,
    TooLarge,
    TooSlow,
    Unauthorized,
    noted,
)
from gateway.server.keys import KeyFile
from gateway.server.rates import Rates

logger = logging.getLogger("gateway.server")

Render = Callable[[str, Failure], Response]
"""From a path and a failure to the answer, in the wire format that the path speaks."""

_DISCARD_S, _DISCARD_LIMITS = 1.0, 4

_PUBLIC = ("/health", "/docs", "/redoc", "/openapi.json")
"""Paths that say nothing about models or callers, and so need no key."""

_ASKING = ("http", "websocket")
"""What comes from a client."""
_BEGINNINGS = ("http.response.start", "websocket.http.response.start")
_SWITCHED = 101
"""Status of a connection that became a WebSocket."""

_OPEN = "/"
"""The path that names models to who shows a key, and none to who shows none."""


class Exchanges:
    """Begins an `Exchange` for each request, and hands it to `finished` when the answer is sent.

    Whatever the routes did not catch becomes an error object here, and a trace in the log.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        render: Render,
        finished: Callable[[Exchange], None],
        hidden: Callable[[str], str],
    ) -> None:
        self._app = app
        self._render = render
        self._finished = finished
        self._hidden = hidden

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in _ASKING:
            await self._app(scope, receive, send)
            return
        method = scope.get("method", "GET")
        exchange = Exchange(f"req_{secrets.token_hex(12)}", method, scope["path"], self._hidden)
        begin(exchange)

        async def answer(message: Message) -> None:
            if message["type"] == "websocket.accept":
                exchange.status = _SWITCHED
            elif message["type"] == "websocket.close":
                exchange.status = exchange.status or 403
            elif message["type"] in _BEGINNINGS:
                exchange.status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = exchange.id
            await send(message)

        try:
            await self._app(scope, receive, answer)
        except Exception as error:  # the server outlives every request
            logger.exception("request %s failed", exchange.id)
            failure = noted(error)
            if not exchange.status:
                await self._render(scope["path"], failure)(scope, receive, answer)
        finally:
            exchange.route = getattr(scope.get("route"), "path", "unknown")
            # What is asked over a WebSocket are exchanges of their own.
            if exchange.status != _SWITCHED:
                self._finished(exchange)


class Guard:
    """Refuses what a page of a foreign web site makes a browser send.

    A Host that is neither an address, nor localhost, nor one of `hosts` is a name that somebody
    pointed here (DNS rebinding). An Origin other than the server's own that the expression
    `origins` does not match is a page that has no business here.
    """

    def __init__(self, app: ASGIApp, *, render: Render, hosts: Sequence[str], origins: str) -> None:
        self._app = app
        self._render = render
        self._hosts = {host.lower() for host in hosts} | {"localhost"}
        self._origins = re.compile(origins) if origins else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in _ASKING and (refusal := self._refusal(Headers(scope=scope))):
            await _refused(self._render, scope, refusal)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _refusal(self, headers: Headers) -> Forbidden | None:
        host = headers.get("host", "")
        name = _host_name(host)
        if name not in self._hosts and not _is_address(name):
            return Forbidden(
                "this server is not asked under that host name", hint="its --allow-host names more"
            )
        origin = headers.get("origin")
        if origin is None or urlsplit(origin).netloc == host:
            return None
        if self._origins is not None and self._origins.fullmatch(origin):
            return None
        return Forbidden(
            "pages of that origin may not ask this server", hint="its --allow-origin names more"
        )


class Authentication:
    """Asks for a key on every path that is not public, and holds each key to its rate.

    At the root no key is asked for, and one that is shown is looked at all the same.
    """

    def __init__(self, app: ASGIApp, *, render: Render, keys: KeyFile | None) -> None:
        self._app = app
        self._render = render
        self._keys = keys
        self._rates = Rates()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in _ASKING and self._keys is not None:
            headers = Headers(scope=scope)
            try:
                if _is_private(scope["path"], headers):
                    self._admit(self._keys, headers)
            except GatewayError as error:
                await _refused(self._render, scope, error)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _admit(self, keys: KeyFile, headers: Headers) -> None:
        scheme, _, shown = headers.get("authorization", "").partition(" ")
        if not scheme and (plain := headers.get("x-api-key")):
            # As Anthropic's clients show theirs.
            scheme, shown = "bearer", plain
        if scheme.lower() != "bearer" or not shown.strip():
            raise Unauthorized("no API key", hint="send the header Authorization: Bearer KEY")
        key = keys.find(shown.strip())
        if key is None:
            raise Unauthorized("this API key is not known")
        current().key = key
        self._rates.count(key)


class BodyLimit:
    """Refuses a body with more bytes than the limit, announced or not, and one that does not
    arrive: nobody holds a connection open by sending a byte now and then.

    Args:
        most: bytes.
        within: seconds, from the end of the headers to the end of the body.
        keep: put the body into the exchange, for the log.
    """

    def __init__(
        self, app: ASGIApp, *, render: Render, most: int, within: float, keep: bool
    ) -> None:
        self._app = app
        self._render = render
        self._most = most
        self._within = within
        self._keep = keep

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "0")
        large = TooLarge(f"a request has at most {self._most} bytes")
        if not announced.isdecimal() or int(announced) > self._most:
            await self._discard(receive)
            await self._refuse(large, scope, receive, send)
            return
        try:
            async with asyncio.timeout(self._within):
                body = await self._read(receive)
        except TimeoutError:
            slow = TooSlow(f"a request's body has to arrive within {self._within:g} seconds")
            await self._refuse(slow, scope, receive, send)
            return
        if body is None:
            await self._refuse(large, scope, receive, send)
            return
        if self._keep:
            current().body = body.decode("utf-8", "replace")
        given = False

        async def replay() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, replay, send)

    async def _read(self, receive: Receive) -> bytes | None:
        """The body; None where it is too large, or its client is gone."""
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return None
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > self._most:
                if more:
                    await self._discard(receive)
                return None
            if not more:
                return bytes(body)

    async def _discard(self, receive: Receive) -> None:
        """Read on for some times the limit, and a moment at most.

        A connection that is closed with bytes unread is reset, and the client may lose the answer
        that says why. Whoever sends still more than this loses it.
        """
        left, more = _DISCARD_LIMITS * self._most, True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DISCARD_S):
                while more and left > 0:
                    message = await receive()
                    left -= len(message.get("body", b""))
                    more = message["type"] == "http.request" and message.get("more_body", False)

    async def _refuse(
        self, refusal: GatewayError, scope: Scope, receive: Receive, send: Send
    ) -> None:
        response = _refused(self._render, scope, refusal)
        # What is left of the body is not read, so the connection cannot be used again.
        response.headers["connection"] = "close"
        await response(scope, receive, send)


def _refused(render: Render, scope: Scope, error: GatewayError) -> Response:
    """The answer that says why, noted in the exchange."""
    return render(scope["path"], noted(error))


def _is_private(path: str, headers: Headers) -> bool:
    if path == _OPEN:
        return "authorization" in headers
    return not path.startswith(_PUBLIC)


def _host_name(host: str) -> str:
    """The name of a Host header, without its port."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
