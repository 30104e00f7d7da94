"""Anthropic's error object, for every failure under its routes."""

import json

from pydantic import BaseModel
from starlette.responses import Response

from gateway.server.http_errors import Failure, failed_response

_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    507: "overloaded_error",
}
"""By status; https://docs.anthropic.com/en/api/errors."""
_DETAILS = {"thread": {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}}
"""By the field that is to blame. Anthropic's runner of tools asks for a thread, and sends all turns
where it is told this."""


class ErrorDetail(BaseModel):
    """What was wrong."""

    type: str
    message: str
    details: dict[str, str | list[str]] | None = None
    """For programs: what of the request is not done here."""


class ErrorAnswer(BaseModel):
    """The body of every answer that is no success."""

    type: str
    error: ErrorDetail


def error_json(failure: Failure) -> str:
    """The error object; ASCII only, because a message may quote text that has no UTF-8 form."""
    kind = _KINDS.get(failure.status, "invalid_request_error" if failure.status < 500 else "")
    detail: dict[str, object] = {"type": kind or "api_error", "message": _message(failure)}
    if failure.parameter in _DETAILS:
        detail["details"] = _DETAILS[failure.parameter]
    return json.dumps({"type": "error", "error": detail})


def _message(failure: Failure) -> str:
    """With the words by which clients know that the context is full, and begin to shorten."""
    if failure.overflow is None:
        return failure.message
    needed, available = failure.overflow
    return f"prompt is too long: {needed} tokens > {available} maximum: {failure.message}"


def error_response(failure: Failure) -> Response:
    """The whole answer."""
    return failed_response(failure, error_json(failure))
