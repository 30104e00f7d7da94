"""The functions that templates may call.

Reference: the documentation of Go's package text/template, and its funcs.go.
"""

from collections.abc import Callable, Mapping, Sequence

from gateway.backends.ollama.templates.go.tree import ExecutionFails, Struct, Value
from gateway.core.errors import GoTemplateError


def is_true(value: Value) -> bool:
    """What a condition makes of a value: false, 0, nothing and what is empty are false."""
    return True if isinstance(value, Struct) else bool(value)


def described(value: Value) -> str:
    """What sort of value it is, for an error."""
    if isinstance(value, bool):
        return "a truth value"
    if isinstance(value, str | int):
        return "a string" if isinstance(value, str) else "a number"
    if value is None:
        return "nothing"
    return "a list" if isinstance(value, Sequence) else "a structure"


def _count(function: str, arguments: Sequence[Value], least: int, most: int | None) -> None:
    if len(arguments) < least or (most is not None and len(arguments) > most):
        raise ExecutionFails(f"Go template: {function} cannot take {len(arguments)} arguments")


def _not(function: str, arguments: Sequence[Value]) -> Value:
    _count(function, arguments, 1, 1)
    return not is_true(arguments[0])


def _equal(function: str, arguments: Sequence[Value]) -> Value:
    """Whether the first is equal to one of the others; ne takes one other."""
    _count(function, arguments, 2, 2 if function == "ne" else None)
    first, *others = arguments
    for other in others:
        _check_comparable(function, first, other)
        if first == other:
            return function == "eq"
    return function == "ne"


def _order(function: str, arguments: Sequence[Value]) -> Value:
    _count(function, arguments, 2, 2)
    first, second = arguments
    _check_comparable(function, first, second)
    if isinstance(first, str) and isinstance(second, str):
        one, other = first.encode(), second.encode()
        return _ordered(function, less=one < other, same=one == other)
    if isinstance(first, bool) or not isinstance(first, int) or not isinstance(second, int):
        raise ExecutionFails(f"Go template: {function} cannot order {described(first)}")
    return _ordered(function, less=first < second, same=first == second)


def _ordered(function: str, *, less: bool, same: bool) -> bool:
    return {"lt": less, "le": less or same, "gt": not less and not same, "ge": not less}[function]


def _check_comparable(function: str, first: Value, second: Value) -> None:
    if first is None or second is None:
        # What Go says to that has changed between its versions.
        raise GoTemplateError(f"Go template: {function} of nothing is not done here")
    basic = isinstance(first, str | int) and isinstance(second, str | int)
    if not basic or described(first) != described(second):
        raise ExecutionFails(
            f"Go template: {function} cannot compare {described(first)} and {described(second)}"
        )


def _length(function: str, arguments: Sequence[Value]) -> Value:
    _count(function, arguments, 1, 1)
    (value,) = arguments
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, Sequence | Mapping):
        return len(value)
    raise ExecutionFails(f"Go template: {described(value)} has no length")


def _index(function: str, arguments: Sequence[Value]) -> Value:
    """An element; a byte of a string is a number."""
    _count(function, arguments, 1, None)
    value, *places = arguments
    if value is None:
        raise ExecutionFails("Go template: nothing has no elements")
    for place in places:
        if isinstance(value, Mapping) and isinstance(place, str):
            value = value.get(place)
            continue
        if not isinstance(value, Sequence):
            raise ExecutionFails(f"Go template: {described(value)} has no elements")
        elements = value.encode() if isinstance(value, str) else value
        value = elements[_place_in(place, len(elements) - 1)]
    return value


def _slice(function: str, arguments: Sequence[Value]) -> Value:
    _count(function, arguments, 1, 3)
    value, *limits = arguments
    if isinstance(value, str):
        data = value.encode()
        start, end = _limits(limits, len(data))
        try:
            return data[start:end].decode()
        except UnicodeDecodeError as exc:
            raise GoTemplateError("Go template: slice cuts a character in two") from exc
    if not isinstance(value, Sequence):
        raise ExecutionFails(f"Go template: {described(value)} cannot be sliced")
    start, end = _limits(limits, len(value))
    return value[start:end]


def _limits(limits: Sequence[Value], length: int) -> tuple[int, int]:
    places = [_place_in(limit, length) for limit in limits]
    start, end = [*places, *(0, length)[len(places) :]]
    if start > end:
        raise ExecutionFails(f"Go template: slice from {start} to {end}")
    return start, end


def _place_in(place: Value, last: int) -> int:
    if isinstance(place, bool) or not isinstance(place, int):
        raise ExecutionFails(f"Go template: {described(place)} is no index")
    if not 0 <= place <= last:
        raise ExecutionFails(f"Go template: index {place} is out of range")
    return place


FUNCTIONS: Mapping[str, Callable[[str, Sequence[Value]], Value]] = {
    "not": _not,
    "eq": _equal,
    "ne": _equal,
    "lt": _order,
    "le": _order,
    "gt": _order,
    "ge": _order,
    "len": _length,
    "index": _index,
    "slice": _slice,
}
"""By name; and and or, which do not compute all of their arguments, are not among them."""
