"""`format`: "json", or the JSON schema that an answer has to match."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from gateway.core.types import Constraint
from gateway.server.schemas import closed_text
from gateway.server.wire import JsonObject

_ANY_OBJECT = '{"type": "object"}'


def _known(value: Any) -> Any:
    if value in (None, "", "json") or isinstance(value, dict):
        return value
    raise ValueError(f'invalid format: {value!r:.80}; expected "json" or a JSON schema object')


Format = Annotated[Literal["", "json"] | JsonObject | None, BeforeValidator(_known)]
"""Empty or absent: every text may come out."""


def constraint_of(wanted: str | JsonObject | None) -> Constraint | None:
    """What an answer may be; None: anything."""
    if isinstance(wanted, dict):
        return Constraint("json_schema", closed_text(wanted))
    return Constraint("json_schema", _ANY_OBJECT) if wanted else None
