"""Every body is read as JSON, whatever its content type says: `curl -d` calls it a form.

Pages of foreign sites, which may send such bodies unasked, are kept out by their origin.
"""

import json
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.datastructures import MutableHeaders


class JsonRoute(APIRoute):
    """A route whose body is JSON."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_json(request: Request) -> Response:
            scope = dict(request.scope)
            headers = MutableHeaders(raw=list(request.headers.raw))
            headers["content-type"] = "application/json"
            scope["headers"] = headers.raw
            return await handle(_JsonRequest(scope, request.receive))

        return handle_json


class _JsonRequest(Request):
    """A request whose body is JSON as the standard has it: without NaN and Infinity."""

    async def json(self) -> Any:
        body = await self.body()
        try:
            return json.loads(body, parse_constant=_refuse)
        except (ValueError, RecursionError) as exc:
            # Whatever it is, the client is told one thing of it.
            raise json.JSONDecodeError("no valid JSON", "", 0) from exc


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
