"""How much a chat template may do: a template comes with a model's file, and nobody has read it.

Steps are counted and sizes are looked at before a text or a list is made. Equal templates and
conversations so end alike on every machine; only the clock, the last resort, depends on it.
"""

import re
import time
from collections.abc import Iterator, Mapping, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from jinja2.exceptions import TemplateRuntimeError
from jinja2.utils import Namespace

MOST_STEPS = 500_000
"""Rounds of loops, calls, filters, and elements of lists that are made."""
MOST_CHARACTERS = 1 << 22
"""Of one text, beside what the conversation has."""
MOST_SECONDS = 5.0
"""Of processor time."""
MOST_WIDTH = 10_000
"""To which a text is padded or by which it is indented."""
MOST_BITS = 10_000
"""Of a whole number."""

_EACH_CHARACTERS = 64
"""As many characters made are one step."""
_LOOK_AT_CLOCK = 64
_WIDE = re.compile(r"\d{5}|\*")
"""In what a format says of its width."""
_NESTED = re.compile(r":[^}]*\{")


class TooMuch(TemplateRuntimeError):
    """A template goes beyond the bounds."""


class _Budget:
    def __init__(self, given: int) -> None:
        self.steps = MOST_STEPS + given
        self.characters = MOST_CHARACTERS + 16 * given
        self.calls = 0
        self.end = time.thread_time() + MOST_SECONDS


_BUDGET: ContextVar[_Budget | None] = ContextVar("budget", default=None)


@contextmanager
def bounded(given: int) -> Iterator[None]:
    """What is rendered in the block has one budget.

    Args:
        given: characters of the conversation.
    """
    token = _BUDGET.set(_Budget(given))
    try:
        yield
    finally:
        _BUDGET.reset(token)


def spend(steps: int = 1) -> None:
    """Count steps.

    Raises:
        TooMuch: there are no more.
    """
    budget = _BUDGET.get()
    if budget is None:
        return
    budget.steps -= steps
    budget.calls += 1
    if budget.steps < 0:
        raise TooMuch(f"it takes more than {MOST_STEPS} steps")
    if budget.calls % _LOOK_AT_CLOCK == 0 and time.thread_time() > budget.end:
        raise TooMuch(f"it takes more than {MOST_SECONDS:g} seconds")


def check_length(characters: int) -> None:
    """Count a text that is made, before it is.

    Raises:
        TooMuch: it is too long.
    """
    budget = _BUDGET.get()
    limit = budget.characters if budget else MOST_CHARACTERS
    if characters > limit:
        raise TooMuch(f"it makes a text of more than {limit} characters")
    spend(characters // _EACH_CHARACTERS)


def measure(value: Any) -> None:
    """Count the elements of a list or an object, and of those in it as often as they are met."""
    if isinstance(value, str):
        return check_length(len(value))
    if isinstance(value, range):
        return spend(len(value))
    if isinstance(value, Mapping):
        spend(len(value))
        for each in value.values():
            measure(each)
    elif isinstance(value, Namespace):
        measure(getattr(value, "_Namespace__attrs", {}))
    elif isinstance(value, list | tuple | set | frozenset):
        spend(len(value))
        for each in value:
            if not isinstance(each, int | float | None):
                measure(each)
    return None


def check_operation(operator: str, left: Any, right: Any) -> None:
    """Refuse what an operator would make too large."""
    spend()
    if operator == "+" and isinstance(left, str | list | tuple):
        size = len(left) + (len(right) if isinstance(right, str | list | tuple) else 0)
        check_length(size) if isinstance(left, str) else spend(size)
    elif operator == "*":
        _check_product(left, right)
    elif operator == "**" and isinstance(left, int) and isinstance(right, int):
        _check_bits(left.bit_length() * max(right, 0))
    elif operator == "%" and isinstance(left, str):
        check_format(left)
        measure(right)


def _check_product(left: Any, right: Any) -> None:
    if isinstance(left, int) and isinstance(right, int):
        return _check_bits(left.bit_length() + right.bit_length())
    made, times = (right, left) if isinstance(left, int) else (left, right)
    if isinstance(made, str | list | tuple) and isinstance(times, int):
        size = len(made) * max(times, 0)
        check_length(size) if isinstance(made, str) else spend(size)
    return None


def _check_bits(bits: int) -> None:
    if bits > MOST_BITS:
        raise TooMuch(f"it makes a number of more than {MOST_BITS} bits")


def check_format(form: str) -> None:
    """Refuse a format that pads by a number of five digits, or by one that is given."""
    if _WIDE.search(form) and any(map(_WIDE.search, re.findall(r"%[^a-zA-Z%]*|:[^}]*", form))):
        raise TooMuch("it formats a text with a width of five digits or a *")


def check_function(name: str, arguments: tuple[Any, ...], named: Mapping[str, Any]) -> None:
    """Refuse a filter or a method of a text that would make too much.

    Args:
        name: of the function.
        arguments: with the text or list that it works on as the first.
    """
    spend()
    for each in (*arguments, *named.values()):
        if name not in _LOOKS or isinstance(each, str):
            measure(each)
        elif isinstance(each, Sized):
            spend(len(each) // _EACH_CHARACTERS)
    if name in _SLOW:
        spend(sum(len(each) for each in arguments if isinstance(each, str)))
    numbers = [n for n in (*arguments[1:], *named.values()) if isinstance(n, int)]
    if name in _PADDING and any(abs(n) > MOST_WIDTH for n in numbers):
        raise TooMuch(f"{name} is given a width of more than {MOST_WIDTH}")
    if name in _PADDING and arguments and isinstance(arguments[0], str):
        check_length((arguments[0].count("\n") + 1) * max(map(abs, numbers), default=0))
    if name in ("format", "format_map") and arguments and isinstance(arguments[0], str):
        check_format(arguments[0])
        if _NESTED.search(arguments[0]):
            _check_widths(numbers)
    if (
        name == "replace"
        and len(arguments) > 2
        and all(isinstance(each, str) for each in arguments[:3])
    ):
        text, old, new = arguments[:3]
        check_length(len(text) + text.count(old) * len(new))
    if name == "join" and len(arguments) > 1:
        _check_join(*arguments[:2])


_LOOKS = {
    *("default", "d", "first", "last", "length", "count", "reverse", "batch", "slice", "groupby"),
    *("map", "select", "reject", "selectattr", "rejectattr", "attr", "items", "min", "max"),
    *("get", "keys", "values", "startswith", "endswith"),
}
"""Functions that look at a list and do not go into what is in it."""
_SLOW = {"urlize", "wordwrap"}
_PADDING = {
    *("center", "ljust", "rjust", "zfill", "expandtabs", "indent"),
    *("batch", "slice", "tojson", "truncate", "wordwrap", "filesizeformat", "round"),
}


def _check_widths(numbers: list[int]) -> None:
    if any(abs(n) > MOST_WIDTH for n in numbers):
        raise TooMuch(f"it formats a text with a width of more than {MOST_WIDTH}")


def _check_join(one: Any, other: Any) -> None:
    """Of a filter the list comes first, of a method the text between."""
    parts, between = (other, one) if isinstance(one, str) else (one, other)
    if isinstance(parts, list | tuple | range | str) and isinstance(between, str):
        check_length(len(parts) * len(between))
