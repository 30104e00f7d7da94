"""Whole numbers, which writers of some languages and tools write as 8.0."""

from typing import Annotated, Any

from pydantic import BeforeValidator


def whole(value: Any) -> Any:
    """The integer that a float is; what is no whole float stays what it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int, BeforeValidator(whole)]
"""An integer, which may be written as 8.0."""
