"""/v1/responses over a WebSocket: a message asks, and the events of its answer are messages too.

Each message is sent through the whole application as a POST is, so that keys, rates, limits, logs
and answers are those of HTTP. The connection keeps its last answer, so that the next message may go
on from it (`previous_response_id`); nothing of it outlives the connection. A message with
`generate: false` has its prompt read, and is answered by nothing that the next may go on from.

https://www.openresponses.org/specification, "WebSocket Transport"
https://developers.openai.com/api/docs/guides/websocket-mode
"""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from fastapi import APIRouter, WebSocket
from starlette.datastructures import Headers
from starlette.types import Message, Scope
from starlette.websockets import WebSocketDisconnect

from gateway.core.whole import whole
from gateway.server.openai.fields import NO_LIMIT
from gateway.server.wire import is_empty

_LONGEST_S = 3600.0
"""Seconds that a connection lasts; an answer that has begun is told to its end."""
_MOST_WAITING = 4
"""Messages that wait behind the one that is answered."""
_OF_THE_HANDSHAKE = ("connection", "upgrade", "content-length", "content-type", "transfer-encoding")
_TOO_MUCH = 1008


class ResponseSocket:
    """The endpoint.

    Args:
        lasts: seconds.
    """

    def __init__(self, lasts: float = _LONGEST_S) -> None:
        self._lasts = lasts

    def add_to(self, router: APIRouter) -> None:
        router.websocket("/responses")(self.serve)

    async def serve(self, socket: WebSocket) -> None:
        """Answer messages, one after the other, until the client is gone."""
        await socket.accept()
        connection = _Connection(socket)
        reading = asyncio.create_task(connection.read())
        try:
            await connection.answer_all(time.monotonic() + self._lasts)
        finally:
            reading.cancel()
            with suppress(WebSocketDisconnect, RuntimeError):  # it may be closed already
                await socket.close(_TOO_MUCH if connection.too_much else 1000)


@dataclass(frozen=True, slots=True)
class _Answered:
    """What the next message may go on from."""

    id: str
    items: list[Any]
    """All that was asked, and what was answered."""


class _Refused(Exception):
    """A message that is no request."""

    def __init__(self, message: str, code: str = "invalid_value", param: str | None = None) -> None:
        super().__init__(message)
        self.error = {
            "type": "invalid_request_error",
            "code": code,
            "message": message,
            "param": param,
        }


class _Connection:
    """One client's."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._waiting: asyncio.Queue[str | None] = asyncio.Queue()
        self._gone = asyncio.Event()
        self._last: _Answered | None = None
        self.too_much = False

    async def read(self) -> None:
        """Take what the client sends, while an answer is told too."""
        while not self.too_much:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                break
            self.too_much = self._waiting.qsize() >= _MOST_WAITING
            self._waiting.put_nowait(_text_of(message))
        self._gone.set()
        self._waiting.put_nowait(None)

    async def answer_all(self, until: float) -> None:
        """Every message up to a moment of the clock that only grows."""
        while True:
            try:
                async with asyncio.timeout(until - time.monotonic()):
                    text = await self._waiting.get()
            except TimeoutError:
                error = _Refused("connect again", "websocket_connection_limit_reached").error
                await self._tell_error(400, error)
                return
            if text is None or self._gone.is_set():
                return
            await self._answer(text)

    async def _answer(self, text: str) -> None:
        try:
            body = _request_in(text)
            shown = _as_it_is if _answers(body) else _begun_only(body)
            previous = body.pop("previous_response_id", None)
            items = _items_of(body.get("input"))
            if previous:
                items = [*self._items_before(previous), *items]
            asked = _as_body({**body, "stream": True, **({"input": items} if previous else {})})
        except _Refused as refused:
            await self._tell_error(400, refused.error)
            return
        done = await self._ask(asked, previous or None, shown)
        if done is not None:
            self._last = _Answered(done["id"], [*items, *done["output"]])
        elif previous:
            self._last = None

    def _items_before(self, previous: object) -> list[Any]:
        if self._last is None or previous != self._last.id:
            raise _Refused(
                "this connection's last answer has another id, or there is none: send the earlier "
                "turns as input",
                "previous_response_not_found",
                "previous_response_id",
            )
        return self._last.items

    async def _ask(
        self, body: bytes, previous: str | None, shown: Callable[[str], str]
    ) -> dict[str, Any] | None:
        """Send a request through the application; the answer, if it did not fail.

        Args:
            shown: what is told of an event; empty: nothing.
        """
        asked: list[bytes] = [body]
        status, refusal = 0, b""
        done: dict[str, Any] | None = None

        async def receive() -> Message:
            if asked:
                return {"type": "http.request", "body": asked.pop(), "more_body": False}
            await self._gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            nonlocal status, refusal, done
            status = message.get("status", status)
            piece = message.get("body", b"")
            if status != 200:
                refusal += piece
                return
            for event in _events_in(piece):
                if told := shown(event):
                    done = await self._tell(told, previous) or done

        await self._socket.app(_as_post(self._socket.scope, len(body)), receive, send)
        if refusal:
            await self._tell_error(status, json.loads(refusal)["error"])
        return done

    async def _tell(self, event: str, previous: str | None) -> dict[str, Any] | None:
        """Send an event; the answer, if it is the event of its end."""
        if '"response": {' not in event:
            await self._send(event)
            return None
        told = json.loads(event)
        told["response"]["previous_response_id"] = previous
        await self._send(json.dumps(told))
        ended = told["type"] in ("response.completed", "response.incomplete")
        return dict(told["response"]) if ended else None

    async def _tell_error(self, status: int, error: dict[str, Any]) -> None:
        shown = {**error, "code": error["code"] or error["type"]}
        await self._send(json.dumps({"type": "error", "status": status, "error": shown}))

    async def _send(self, text: str) -> None:
        with suppress(WebSocketDisconnect, RuntimeError):  # `read` learns that it is gone
            await self._socket.send_text(text)


def _text_of(message: Message) -> str:
    text = message.get("text")
    return text if isinstance(text, str) else message.get("bytes", b"").decode("utf-8", "replace")


def _request_in(text: str) -> dict[str, Any]:
    """The body that a message holds.

    Raises:
        _Refused: it holds none.
    """
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise _Refused("a message is a JSON object", "invalid_json")
    if (kind := given.pop("type", None)) != "response.create":
        raise _Refused(
            f"a message has the type response.create, not {json.dumps(kind):.40}", param="type"
        )
    return given


def _answers(body: dict[str, Any]) -> bool:
    """Whether a message asks for an answer.

    Raises:
        _Refused: it does not say so by true or false.
    """
    said = body.pop("generate", None)
    if said is not None and not isinstance(said, bool):
        raise _Refused("generate is true or false", param="generate")
    return said is not False


def _as_it_is(event: str) -> str:
    return event


def _begun_only(body: dict[str, Any]) -> Callable[[str], str]:
    """Make it one of an answer of a single token, behind which its prompt has been read; what is
    told of an event. A limit that is none is left to be refused."""
    limit = whole(body.get("max_output_tokens"))
    if is_empty(limit) or (type(limit) is int and (limit > 0 or limit == NO_LIMIT)):
        body["max_output_tokens"] = 1
    return partial(without_answer, limit=None if is_empty(limit) else limit)


def without_answer(event: str, limit: int | None = None) -> str:
    """An event of a response whose answer is not told; empty where it is about the answer.

    Args:
        limit: the most tokens that were asked for.
    """
    told = json.loads(event)
    kind, response = told["type"], told.get("response")
    if response is None:
        return "" if kind.startswith("response.") else event
    response["max_output_tokens"] = limit
    if kind in ("response.completed", "response.incomplete"):
        usage = response["usage"]
        read = {**usage, "output_tokens": 0, "total_tokens": usage["input_tokens"]}
        read["output_tokens_details"] = {"reasoning_tokens": 0}
        response |= {"status": "completed", "incomplete_details": None, "output": [], "usage": read}
        # Behind those of its beginning, which are 0 and 1.
        told |= {"type": "response.completed", "sequence_number": 2}
    return json.dumps(told)


def _as_body(asked: dict[str, Any]) -> bytes:
    """Raises:
    _Refused: it is nested too deep to be written.
    """
    try:
        return json.dumps(asked).encode()
    except RecursionError as exc:
        raise _Refused("nested too deep", "invalid_json") from exc


def _items_of(given: Any) -> list[Any]:
    """An input as items; what is wrong with them the application says."""
    if isinstance(given, list | None):
        return given or []
    return [{"role": "user", "content": given}]


def _events_in(piece: bytes) -> Iterator[str]:
    """The data of server-sent events, of which a piece holds whole ones."""
    for line in piece.decode().split("\n"):
        if line.startswith("data: "):
            yield line.removeprefix("data: ")


def _as_post(scope: Scope, length: int) -> Scope:
    """The handshake's request as one that posts a body of so many bytes."""
    kept = [
        (name, value)
        for name, value in Headers(scope=scope).raw
        if name.decode() not in _OF_THE_HANDSHAKE and not name.startswith(b"sec-websocket-")
    ]
    own = [(b"content-type", b"application/json"), (b"content-length", str(length).encode())]
    taken = ("asgi", "path", "raw_path", "root_path", "client", "server", "state")
    return {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "query_string": b"",
        "headers": [*kept, *own],
        **{key: scope[key] for key in taken if key in scope},
    }
