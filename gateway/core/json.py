"""Frozen dataclasses as JSON, and back, without loss.

Every field is written, also one that has its default, so that a later version with other defaults
reads the request that was asked. A number is read as it is written, whole or not, so that what was
read gives the same text again; texts may hold lone surrogates, which pydantic does not take.
"""

import json
import math
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from enum import StrEnum
from functools import cache, partial
from itertools import repeat
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from gateway.core.columned import Columned
from gateway.core.digests import canonical_json
from gateway.core.errors import DataError
from gateway.core.types import Completion, GenerationRequest

Shape = TypeVar("Shape")
_Reader = Callable[[Any], Any]
"""From what JSON says to the value."""
_Maker = Callable[[dict[str, Any]], Any]
"""From the values of an object, by name, to the object."""

_SHOWN = 60
"""Characters of a wrong value that an error quotes."""
_AS_THEY_ARE = frozenset({str, int, float, bool, types.NoneType})
_MOST_KNOWN = 64
"""Kinds of objects, by keys and types, of which a reader knows what to do."""
_SCALARS = {str: "a text", int: "a whole number", bool: "true or false"}


@dataclass(frozen=True, slots=True)
class Strictness:
    """How strictly values are read."""

    finite: bool = False
    """Numbers have to be finite, as JSON's standard has them."""
    strangers: bool = False
    """Keys that a class does not have are passed over: another version may have written them."""


EXACT = Strictness()


def read_json(
    shape: type[Shape], text: str, name: str, *, hint: str = "", reading: Strictness = EXACT
) -> Shape:
    """The value of a frozen dataclass that a text tells.

    Args:
        name: what the text is, for an error: "report.json".

    Raises:
        DataError: it is no JSON, or has not this shape; the message names the place.
    """
    raw = plain(text, name, hint=hint, reading=reading)
    return from_plain(shape, raw, name, hint=hint, reading=reading)


def plain(text: str, name: str, *, hint: str = "", reading: Strictness = EXACT) -> Any:
    """What a text of JSON says; raises DataError where it is none."""
    try:
        return json.loads(text, parse_constant=_refuse if reading.finite else None)
    except (ValueError, RecursionError) as exc:
        raise DataError(f"{name}: no JSON: {exc}", hint=hint) from exc


def from_plain(
    shape: type[Shape], raw: object, name: str, *, hint: str = "", reading: Strictness = EXACT
) -> Shape:
    """The same of what `json.loads` gives: the inverse of `dataclasses.asdict`."""
    try:
        return reader_of(shape, reading)(raw)
    except DataError as wrong:
        raise DataError(f"{name}: {wrong.message}", hint=hint) from None


def reader_of(shape: type[Shape], reading: Strictness = EXACT) -> Callable[[object], Shape]:
    """What reads very many plain values; it raises a DataError that names the place within one."""
    of_shape = _reader(cast(Any, shape), reading)

    def read(raw: object) -> Shape:
        try:
            return cast(Shape, of_shape(raw))
        except _Wrong as wrong:
            place = f"{getattr(shape, '__name__', 'value').lower()}{wrong.place}"
            raise DataError(f"{place} {wrong.what}") from None

    return read


def plain_values(value: object) -> Any:
    """A value of dataclasses as JSON has it; as `asdict`, which copies every text and number."""
    kind: Any = type(value)
    if kind in _AS_THEY_ARE:
        return value
    if names := field_names(kind):
        found = {name: getattr(value, name) for name in names}
        if not _AS_THEY_ARE.issuperset(map(type, found.values())):
            return {name: plain_values(each) for name, each in found.items()}
        return found
    if isinstance(value, Mapping):
        return {key: plain_values(each) for key, each in value.items()}
    if isinstance(value, list | tuple | Columned):
        if _AS_THEY_ARE.issuperset(map(type, value)):
            return list(value)
        return [plain_values(each) for each in value]
    return value


@cache
def field_names(kind: type[Any]) -> tuple[str, ...]:
    """Of a dataclass; none of another class."""
    return tuple(each.name for each in fields(kind)) if is_dataclass(kind) else ()


def request_to_json(request: GenerationRequest) -> str:
    """Canonical JSON: equal requests give equal texts."""
    raw = asdict(request)
    # Requests were written before there were groups, and have the same text since.
    if not request.group:
        del raw["group"]
    return canonical_json(raw)


def request_from_json(text: str) -> GenerationRequest:
    """The request that `request_to_json` wrote.

    Raises:
        DataError: it is no request, or has a field that this version does not know.
        InvalidRequest: a field is outside its range.
    """
    return read_json(GenerationRequest, text, "no request of this version of the gateway")


def completion_to_json(completion: Completion) -> str:
    """Canonical JSON of everything but the measured times, which differ from run to run, and of
    what follows from the rest."""
    raw = asdict(completion)
    del raw["timings"]
    del raw["usage"]["reasoning_tokens"]
    return canonical_json(raw)


def completion_from_json(text: str) -> Completion:
    """The completion that `completion_to_json` wrote, with no times.

    Raises:
        DataError: it is no completion, or has a field that this version does not know.
    """
    return read_json(Completion, text, "no completion of this version of the gateway")


class _Wrong(Exception):
    """A value that does not fit; `place` grows on the way out."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what
        self.place = ""

    def inside(self, step: str) -> "_Wrong":
        self.place = step + self.place
        return self


def _expected(raw: object, what: str) -> _Wrong:
    shown = ascii(raw)
    shown = shown if len(shown) <= _SHOWN else f"{shown[: _SHOWN - 3]}..."
    return _Wrong(f"is {shown}; expected {what}")


@cache
def _reader(kind: Any, reading: Strictness) -> _Reader:
    """What reads an annotated type; made once for each."""
    origin, arguments = get_origin(kind), get_args(kind)
    if is_dataclass(kind):
        return _of_class(cast(type[Any], kind), reading)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return partial(_one_of, {str(each): each for each in kind})
    if origin is Literal:
        return partial(_one_of, {each: each for each in arguments})
    if origin in (types.UnionType, Union):
        options = tuple(_reader(each, reading) for each in arguments if each is not types.NoneType)
        return partial(_any_of, options, types.NoneType in arguments)
    if origin is tuple and arguments[-1] is not ...:
        return partial(_tuple, tuple(_reader(each, reading) for each in arguments))
    if origin in (tuple, Sequence):
        plain_types = as_they_are(arguments[0], reading)
        return partial(_list, _reader(arguments[0], reading), plain_types)
    if origin is Mapping:
        plain_types = as_they_are(arguments[1], reading)
        return partial(_mapping, _reader(arguments[1], reading), plain_types)
    return partial(_number, reading.finite) if kind is float else partial(_exactly, kind)


def _of_class(kind: type[Any], reading: Strictness) -> _Reader:
    hints = get_type_hints(kind)
    readers = {field.name: _reader(hints[field.name], reading) for field in fields(kind)}
    plain_types = {field.name: as_they_are(hints[field.name], reading) for field in fields(kind)}
    needed = {
        field.name
        for field in fields(kind)
        if field.default is MISSING and field.default_factory is MISSING
    }
    # Of thousands of objects most have the same keys and types of values: what is to be done is
    # found once for these.
    known: dict[tuple[object, ...], tuple[dict[str, _Reader | None], _Maker]] = {}

    def to_do(raw: dict[str, Any]) -> tuple[dict[str, _Reader | None], _Maker]:
        """How to read the values that are not as they should be yet, None for a key of another
        version; and how to make the object of them all."""
        if not needed <= raw.keys():
            raise _Wrong(f"lacks {', '.join(sorted(needed - raw.keys()))}")
        if not reading.strangers and not raw.keys() <= readers.keys():
            raise _Wrong(f"has unknown keys: {sorted(raw.keys() - readers.keys())}")
        unread = {
            key: readers.get(key)
            for key, each in raw.items()
            if type(each) not in plain_types.get(key, ())
        }
        return unread, _maker(kind, tuple(raw))

    def read(raw: object) -> Any:
        if not isinstance(raw, dict):
            raise _expected(raw, "an object")
        of_what = (*raw, *map(type, raw.values()))
        if of_what not in known:
            if len(known) >= _MOST_KNOWN:
                known.clear()
            known[of_what] = to_do(raw)
        unread, make = known[of_what]
        return make(_items(unread, raw))

    return read


def _maker(kind: type[Any], keys: tuple[str, ...]) -> _Maker:
    """What makes an object of its values by name.

    Where the values are all that there is to an object, they are put into its slots in the order
    of the keys. A frozen class's own `__init__` looks every slot up by its name, each time.
    """
    names = {field.name for field in fields(kind)}
    slots = [getattr(kind, key, None) for key in keys]
    in_slots = all(isinstance(slot, types.MemberDescriptorType) for slot in slots)
    if names != set(keys) or not in_slots or hasattr(kind, "__post_init__"):
        return lambda values: kind(**values)
    puts = [cast(types.MemberDescriptorType, slot).__set__ for slot in slots]

    def make(values: dict[str, Any]) -> Any:
        made = object.__new__(kind)
        for put, value in zip(puts, values.values(), strict=True):
            put(made, value)
        return made

    return make


def as_they_are(kind: Any, reading: Strictness = EXACT) -> frozenset[type[Any]]:
    """Types of plain values that are read as they are."""
    if get_origin(kind) in (types.UnionType, Union):
        parts = [as_they_are(each, reading) for each in get_args(kind)]
        return frozenset[type[Any]]().union(*parts)
    if kind is float:
        return frozenset() if reading.finite else frozenset({float, int})
    return frozenset({kind} if kind in (str, int, bool, types.NoneType) else ())


def _items(readers: Mapping[str, _Reader | None], raw: dict[str, Any]) -> dict[str, Any]:
    """The object with some values read; those without a reader are left out."""
    done = raw.copy()
    key = ""
    try:
        for key, read in readers.items():
            if read is None:
                del done[key]
            else:
                done[key] = read(raw[key])
    except _Wrong as wrong:
        raise wrong.inside(f".{key}") from None
    return done


def _one_of(values: Mapping[str, Any], raw: object) -> Any:
    if not isinstance(raw, str) or raw not in values:
        raise _expected(raw, " or ".join(values))
    return values[raw]


def _any_of(options: tuple[_Reader, ...], optional: bool, raw: object) -> Any:
    if raw is None and optional:
        return None
    *others, last = options
    for option in others:
        try:
            return option(raw)
        except _Wrong:
            continue
    return last(raw)


def _list(read: _Reader, plain_types: frozenset[type[Any]], raw: object) -> tuple[Any, ...]:
    if not isinstance(raw, list):
        raise _expected(raw, "a list")
    if plain_types.issuperset(map(type, raw)):
        return tuple(raw)
    return _each(repeat(read), raw)


def _tuple(readers: tuple[_Reader, ...], raw: object) -> tuple[Any, ...]:
    if not isinstance(raw, list) or len(raw) != len(readers):
        raise _expected(raw, f"a list of {len(readers)}")
    return _each(readers, raw)


def _each(readers: Iterable[_Reader], raw: list[Any]) -> tuple[Any, ...]:
    done: list[Any] = []
    try:
        for read, each in zip(readers, raw, strict=False):
            done.append(read(each))
    except _Wrong as wrong:
        raise wrong.inside(f"[{len(done)}]") from None
    return tuple(done)


def _mapping(read: _Reader, plain_types: frozenset[type[Any]], raw: object) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise _expected(raw, "an object")
    if plain_types.issuperset(map(type, raw.values())):
        return raw.copy()
    return _items(dict.fromkeys(raw, read), raw)


def _exactly(kind: type[Any], raw: object) -> object:
    # To Python a bool is an int; to a reader of counts it is a mistake.
    if type(raw) is not kind:
        raise _expected(raw, _SCALARS[kind])
    return raw


def _number(finite: bool, raw: object) -> object:
    if type(raw) not in (float, int):
        raise _expected(raw, "a number")
    if finite and not _is_finite(cast(float, raw)):
        raise _expected(raw, "a finite number")
    return raw


def _is_finite(raw: float) -> bool:
    try:
        return math.isfinite(raw)
    except OverflowError:
        return False


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")
