"""What the bodies of all wire formats share. Strict: no text becomes a number; nothing unknown."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict

MOST_STOPS = 16
MOST_DEPTH = 64
"""Levels of a JSON schema; llguidance reads no more than 128."""

LEAST_LOGPROB = -9999.0
"""Stands for -inf, which JSON lacks; the number that OpenAI uses."""


class Wire(BaseModel):
    """Base of all bodies: a field that is not known is refused by its name."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, hide_input_in_errors=True
    )


class Answered(BaseModel):
    """Base of all answers. What was not set is not sent."""

    model_config = ConfigDict(frozen=True)


def _readable(text: str) -> str:
    if "\0" in text:
        raise ValueError("the text holds a NUL, which tokenizers lose or end at")
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise ValueError("the text holds a lone surrogate, so it has no UTF-8 form") from exc
    return text


Text = Annotated[str, AfterValidator(_readable)]


def _bounded(value: dict[str, Any]) -> dict[str, Any]:
    """Refuse what later steps, which recurse or are not Python, could not read."""
    level: list[Any] = [value]
    for _ in range(MOST_DEPTH):
        inner: list[Any] = []
        for entry in level:
            if isinstance(entry, str):
                _readable(entry)
            elif isinstance(entry, dict):
                inner += [*entry, *entry.values()]
            elif isinstance(entry, list):
                inner += entry
        if not inner:
            return value
        level = inner
    raise ValueError(f"nested deeper than {MOST_DEPTH} levels")


JsonObject = Annotated[dict[str, Any], AfterValidator(_bounded)]
"""A JSON object of bounded depth, such as a schema."""


class FunctionDefinition(Wire):
    """A function that may be called."""

    name: Text
    description: Text | None = None
    parameters: JsonObject | None = None


def finite(logprob: float) -> float:
    """A log-probability as a number that JSON has."""
    return max(logprob, LEAST_LOGPROB)
