"""OpenAI's error object, for every failure."""

import json
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from starlette.responses import Response

from gateway.server.http_errors import Failure, failed_response

_UNION_TAGS = frozenset({"str", "int", "float", "bool", "none", "list", "dict", "ids"})
_SHOWN = 200
"""Characters of a field's path in an error: clients choose the names of fields."""
_VALIDATOR_SAYS = "Value error, "
"""What pydantic puts before the words of a validator of ours."""


class ErrorBody(BaseModel):
    """What was wrong."""

    message: str
    type: str
    param: str | None
    """The field of the request that is to blame."""
    code: str | None


class ErrorResponse(BaseModel):
    """The body of every answer that is no success."""

    error: ErrorBody


def error_json(failure: Failure) -> str:
    """The error object; ASCII only, because a message may quote text that has no UTF-8 form."""
    body = {
        "message": _message(failure),
        "type": failure.kind,
        "param": failure.parameter,
        "code": failure.code,
    }
    return json.dumps({"error": body})


def _message(failure: Failure) -> str:
    """With the words by which clients know that the context is full, and begin to shorten."""
    if failure.overflow is None:
        return failure.message
    return f"this model's maximum context length is {failure.overflow[1]} tokens: {failure.message}"


def error_response(failure: Failure) -> Response:
    """The whole answer."""
    return failed_response(failure, error_json(failure))


def validation_failure(errors: Sequence[Any]) -> Failure:
    """The first thing that pydantic found wrong, named as OpenAI names fields: messages[0].role."""
    first = errors[0]
    if first["type"] == "json_invalid":
        return Failure(400, "the body is no valid JSON", "invalid_request_error", "invalid_json")
    where = _path(first["loc"])[:_SHOWN]
    if first["type"] == "extra_forbidden":
        message = f"unknown or unsupported field: {where}"
        return Failure(400, message, "invalid_request_error", "unknown_parameter", where)
    code = "missing_required_parameter" if first["type"] == "missing" else "invalid_value"
    message = f"{where or 'body'}: {first['msg'].removeprefix(_VALIDATOR_SAYS)}"
    return Failure(400, message, "invalid_request_error", code, where or None)


def _path(loc: Sequence[str | int]) -> str:
    """`messages[0].content`: without the names that pydantic gives the members of a union."""
    path = ""
    for part in loc[1:]:
        if isinstance(part, int):
            path += f"[{part}]"
        elif not path:
            path = part
        elif part.isidentifier() and part[0].islower() and part not in _UNION_TAGS:
            path += f".{part}"
    return path
