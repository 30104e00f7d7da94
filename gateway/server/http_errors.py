"""What went wrong -> an HTTP status and words for the client, whatever the wire format.

GatewayError
└── Refused             the server itself says no
    ├── Unauthorized    401, no key or a wrong one
    ├── Forbidden       403, a key, host or origin that may not do this
    ├── TooSlow         408, the body did not arrive in its time
    ├── TooLarge        413, more bytes than the limit
    ├── TooMany         429, the queue is full or the key's rate is used up
    ├── Draining        503, the server is ending
    └── DeadlinePassed  504, the request took too long
"""

from dataclasses import dataclass, replace

from starlette.responses import Response

from gateway.core.errors import (
    BackendUnavailable,
    ContextOverflow,
    GatewayError,
    InvalidRequest,
    ModelNotPulled,
    ModelTooLarge,
    NoChatTemplate,
    OtherKind,
    RequestError,
    StoreError,
    UnknownModel,
    Unsupported,
)
from gateway.server.exchange import current


class Refused(GatewayError):
    """Base of what the server says of itself. `retry_after`: seconds, where trying again helps."""

    status = 403
    kind = "invalid_request_error"
    code = "forbidden"

    def __init__(self, message: str, *, hint: str = "", retry_after: int | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class Unauthorized(Refused):
    """No API key, or one that is not known."""

    status, kind, code = 401, "authentication_error", "invalid_api_key"


class Forbidden(Refused):
    """The caller is known, or needs not be, and may not do this."""

    status, kind, code = 403, "permission_error", "forbidden"


class TooSlow(Refused):
    """The body did not arrive in its time."""

    status, code = 408, "request_timeout"


class TooLarge(Refused):
    """The body has more bytes than the limit."""

    status, code = 413, "request_too_large"


class TooMany(Refused):
    """The queue is full, or the key's rate is used up."""

    status, kind, code = 429, "rate_limit_error", "rate_limit_exceeded"


class Draining(Refused):
    """The server finishes what it accepted and takes nothing new."""

    status, kind, code = 503, "server_error", "server_draining"


class DeadlinePassed(Refused):
    """The request was not done in its time."""

    status, kind, code = 504, "server_error", "deadline_exceeded"


@dataclass(frozen=True, slots=True)
class Failure:
    """What the client is told."""

    status: int
    message: str
    kind: str
    """OpenAI's `type`: invalid_request_error, server_error, ..."""
    code: str | None = None
    parameter: str | None = None
    """The field that is to blame."""
    retry_after: int | None = None
    """Seconds."""
    overflow: tuple[int, int] | None = None
    """Of a prompt that is too long: tokens that it needs, and those that the context has."""


def failed_response(failure: Failure, body: str) -> Response:
    """The whole answer, with the headers that go with the failure.

    Args:
        body: the failure as JSON, in the wire format that was asked.
    """
    headers = {}
    if failure.retry_after is not None:
        headers["retry-after"] = str(failure.retry_after)
    if failure.status == 401:
        headers["www-authenticate"] = "Bearer"
    return Response(body, failure.status, headers, "application/json")


_RETRY_SOON_S = 1

_REQUEST_CODES: tuple[tuple[type[GatewayError], int, str | None], ...] = (
    (UnknownModel, 404, "model_not_found"),
    (ModelNotPulled, 404, "model_not_pulled"),
    (ContextOverflow, 400, "context_length_exceeded"),
    (NoChatTemplate, 400, "no_chat_template"),
    (Unsupported, 400, "unsupported"),
    (OtherKind, 400, "unsupported"),
    (InvalidRequest, 400, "invalid_value"),
    (RequestError, 400, None),
)
"""Errors of the request itself, the first that fits: status and code."""

_PARAMETERS: tuple[tuple[type[GatewayError], str], ...] = (
    (UnknownModel, "model"),
    (ModelNotPulled, "model"),
    (ContextOverflow, "messages"),
    (NoChatTemplate, "messages"),
    (OtherKind, "model"),
)


def failure_of(error: Exception) -> Failure:
    """How an error is told to a client. One that nobody foresaw says nothing of its insides."""
    if isinstance(error, Refused):
        return Failure(
            error.status, str(error), error.kind, error.code, retry_after=error.retry_after
        )
    for known, status, code in _REQUEST_CODES:
        if isinstance(error, known):
            return Failure(
                status,
                str(error),
                "invalid_request_error",
                code,
                parameter=_parameter(error),
                overflow=_overflow(error),
            )
    if isinstance(error, BackendUnavailable):
        return Failure(
            503, str(error), "server_error", "model_unavailable", retry_after=_RETRY_SOON_S
        )
    if isinstance(error, ModelTooLarge):
        return Failure(507, str(error), "server_error", "model_too_large", parameter="model")
    # What is wrong with a file of the server's own is for its log.
    if isinstance(error, GatewayError) and not isinstance(error, StoreError):
        return Failure(500, str(error), "server_error", "model_failed")
    return Failure(500, "the server failed; its log says why", "server_error", "internal_error")


def noted(error: Exception) -> Failure:
    """The same, as the client of the current exchange may read it; the exchange keeps its code."""
    exchange = current()
    failure = failure_of(error)
    exchange.error = failure.code or ""
    return replace(failure, message=exchange.hidden(failure.message))


def _parameter(error: GatewayError) -> str | None:
    if isinstance(error, InvalidRequest):
        return error.parameter or None
    return next((name for known, name in _PARAMETERS if isinstance(error, known)), None)


def _overflow(error: GatewayError) -> tuple[int, int] | None:
    if isinstance(error, ContextOverflow) and error.needed:
        return error.needed, error.available
    return None
