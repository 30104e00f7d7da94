"""Streams of lines, each a JSON object."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gateway.server import streaming
from gateway.server.ollama.errors import error_json
from gateway.server.streaming import Produce

_MEDIA_TYPE = "application/x-ndjson"

DOCUMENTED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The answer, or, unless `stream` is false, lines of which each is a part",
        "content": {_MEDIA_TYPE: {}},
    }
}
"""What a route that can stream says of it in the OpenAPI document."""


async def streamed(request: Request, produce: Produce) -> Response:
    """The answer that streams the lines which `produce` emits, begun once the first is there.

    Args:
        produce: emits JSON objects without line ends.

    Raises:
        Exception: whatever `produce` raises before its first line.
    """
    return await streaming.streamed(
        request,
        lambda emit: produce(lambda line: emit(f"{line}\n")),
        media_type=_MEDIA_TYPE,
        tell=lambda failure: f"{error_json(failure)}\n",
    )
