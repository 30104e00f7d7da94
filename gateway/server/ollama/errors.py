"""Ollama's error object: one text, for every failure."""

import json

from pydantic import BaseModel
from starlette.responses import Response

from gateway.server.http_errors import Failure, failed_response


class ErrorAnswer(BaseModel):
    """The body of every answer that is no success, and the last line of a stream that fails."""

    error: str


def error_json(failure: Failure) -> str:
    """The error object; ASCII only, because a message may quote text that has no UTF-8 form."""
    return json.dumps({"error": error_text(failure)})


def error_text(failure: Failure) -> str:
    """What was wrong, with the name of the field that is to blame."""
    if failure.code == "missing_required_parameter":
        return f"{failure.parameter} is required" if failure.parameter else "missing request body"
    text = failure.message
    if failure.code == "context_length_exceeded":
        # Ollama's clients look for these words.
        text = f"the input is too long, it exceeds the context length: {text}"
    blamed = failure.parameter if failure.code == "invalid_value" else None
    return f"{blamed}: {text}" if blamed and blamed not in text else text


def error_response(failure: Failure) -> Response:
    """The whole answer."""
    return failed_response(failure, error_json(failure))
