"""Very many JSON texts of one dataclass, read into columns without an object for any of them.

What is written at once has the same keys in every text, and a column holds values of few types:
that is looked at column by column. Texts that are otherwise in any way are left to the reader of
single ones, which also says what is wrong.
"""

from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields
from itertools import chain
from operator import itemgetter
from typing import Any, cast, get_args, get_origin, get_type_hints

from pydantic_core import from_json

from gateway.core.errors import DataError
from gateway.core.json import EXACT, Strictness, as_they_are, reader_of

AtOnce = Callable[[Sequence[str]], dict[str, list[Any]] | None]
"""From texts to columns by the name of the field, or None: they are to be read one by one."""
_Read = Callable[[Sequence[Any]], list[Any]]


def column_reader(shape: type[Any], reading: Strictness = EXACT) -> AtOnce:
    """What reads some texts at once, as `reader_of` reads each.

    Args:
        shape: a dataclass that makes none of its defaults by a function.
    """
    hints = get_type_hints(shape)
    readers = {field.name: _of_column(hints[field.name], reading) for field in fields(shape)}
    defaults = {f.name: f.default for f in fields(shape) if f.default is not MISSING}

    def read(texts: Sequence[str]) -> dict[str, list[Any]] | None:
        try:
            found = _columns(list(map(from_json, texts)))
            if not reading.strangers and not found.keys() <= readers.keys():
                return None
            return {
                name: of_column(found[name]) if name in found else [defaults[name]] * len(texts)
                for name, of_column in readers.items()
            }
        except (ValueError, KeyError, TypeError, DataError):
            return None

    return read


def _columns(raw: Sequence[Any]) -> dict[str, Sequence[Any]]:
    """By key, of objects that have the same keys; raises one of `read`'s errors of others."""
    keys = list(raw[0])
    if set(map(type, raw)) != {dict} or set(map(len, raw)) != {len(keys)} or len(keys) < 2:
        raise ValueError("other keys")
    return dict(zip(keys, zip(*map(itemgetter(*keys), raw), strict=True), strict=True))


def _of_column(kind: Any, reading: Strictness) -> _Read:
    """What reads the values of one field; they raise a DataError where one is wrong."""
    plain, one = as_they_are(kind, reading), reader_of(kind, reading)
    of_lists = _of_lists(kind, reading)

    def read(values: Sequence[Any]) -> list[Any]:
        kinds = set(map(type, values))
        if plain.issuperset(kinds):
            return list(values)
        if kinds == {list} and (found := of_lists(values)) is not None:
            return found
        if kinds == {str}:
            known = {text: one(text) for text in set(values)}
            return list(map(known.__getitem__, values))
        return list(map(one, values))

    return read


def _of_lists(kind: Any, reading: Strictness) -> Callable[[Sequence[Any]], list[Any] | None]:
    """What reads lists of plain values as tuples; None of others."""
    arguments = get_args(kind)
    if get_origin(kind) is not tuple or arguments[-1] is not ...:
        return lambda _: None
    plain = as_they_are(cast(Any, arguments[0]), reading)

    def read(values: Sequence[Any]) -> list[Any] | None:
        kinds = set(map(type, chain.from_iterable(values)))
        if not plain.issuperset(kinds):
            return None
        # Most lists of labels and their lengths are one: an object for each would be a lot.
        # Of floats 0.0 equals -0.0.
        if len(kinds) <= 1 and float not in kinds and values.count(values[0]) == len(values):
            return [tuple(values[0])] * len(values)
        return list(map(tuple, values))

    return read
