"""How long a model stays loaded once a request is over: `keep_alive`, as numbers and durations.

Reference: Go's `time.ParseDuration`, which reads Ollama's: "300ms", "1.5h", "2h45m", "-1m".
"""

import re
from typing import Annotated

from pydantic import AfterValidator

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PIECE = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|ms|s|m|h)")
_WHOLE = re.compile(rf"[-+]?({_PIECE.pattern})+")
_MOST_CHARACTERS = 64

FOREVER_S = 1e9
"""From here on, 31 years, a model simply stays; so it does for a negative number."""


def seconds_of(value: float | str) -> float | None:
    """Seconds that a model stays; None: until its memory is needed.

    Raises:
        ValueError: the text is no duration.
    """
    seconds = _parsed(value) if isinstance(value, str) else value
    return None if seconds < 0 or seconds >= FOREVER_S else seconds


def _parsed(text: str) -> float:
    if text == "0":
        return 0.0
    if len(text) > _MOST_CHARACTERS or not _WHOLE.fullmatch(text):
        raise ValueError('no duration: send seconds, or a text like "5m" or "1h30m"')
    size = sum(float(number) * _UNITS[unit] for number, unit in _PIECE.findall(text))
    return -size if text.startswith("-") else size


def _checked(value: float | str | None) -> float | str | None:
    if value is not None:
        seconds_of(value)
    return value


KeepAlive = Annotated[float | str | None, AfterValidator(_checked)]
"""Absent: the model stays until its memory is needed."""
