"""Very many objects of one shape, kept as columns: one of them is made when it is asked for.

An object for each of some hundreds of thousands of things takes longer to make than all that is
then asked of them, and what is asked of them all is asked of a column.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from operator import attrgetter, eq
from typing import Any, TypeVar, overload

Row = TypeVar("Row", covariant=True)


class Columned(Sequence[Row]):
    """Objects of one class, or mappings of the same keys, as one column a field or key."""

    def __init__(
        self, make: Callable[[dict[str, Any]], Row], columns: Mapping[str, Sequence[Any]]
    ) -> None:
        """
        Args:
            make: an object of its values by name.
            columns: shape (objects,) each; at least one.
        """
        self.make = make
        self.columns = columns

    @classmethod
    def of(
        cls, kind: type[Any], objects: Sequence[Row], make: Callable[[dict[str, Any]], Row]
    ) -> "Columned[Row]":
        """Objects of a dataclass that are there already."""
        names = [each.name for each in fields(kind)]
        return cls(make, {name: list(map(attrgetter(name), objects)) for name in names})

    def taken(self, positions: Iterable[int]) -> "Columned[Row]":
        """Some of them, in the order of the positions."""
        return Columned(self.make, _Taken(self.columns, list(positions)))

    def __len__(self) -> int:
        return len(self.columns[next(iter(self.columns))])

    @overload
    def __getitem__(self, at: int) -> Row: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[Row, ...]: ...
    def __getitem__(self, at: int | slice) -> Row | tuple[Row, ...]:
        if isinstance(at, slice):
            return tuple(self[place] for place in range(len(self))[at])
        return self.make({name: own[at] for name, own in self.columns.items()})

    def __iter__(self) -> Iterator[Row]:
        names = list(self.columns)
        for values in zip(*self.columns.values(), strict=True):
            yield self.make(dict(zip(names, values, strict=True)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(map(eq, self, other))

    def __repr__(self) -> str:
        return repr(tuple(self))

    __hash__ = None  # type: ignore[assignment]


class _Taken(Mapping[str, Sequence[Any]]):
    """Columns of some of the objects, each made when it is first asked for."""

    def __init__(self, columns: Mapping[str, Sequence[Any]], places: Sequence[int]) -> None:
        self._columns, self._places = columns, places
        self._made: dict[str, list[Any]] = {}

    def __getitem__(self, name: str) -> list[Any]:
        if name not in self._made:
            self._made[name] = list(map(self._columns[name].__getitem__, self._places))
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)


def column_of(objects: Sequence[object], name: str) -> Sequence[Any]:
    """A field of each of some objects."""
    if isinstance(objects, Columned):
        return objects.columns[name]
    return list(map(attrgetter(name), objects))


def some_of(objects: Sequence[Row], positions: Sequence[int]) -> Sequence[Row]:
    """Some objects, in the order of the positions."""
    if isinstance(objects, Columned):
        return objects.taken(positions)
    return list(map(objects.__getitem__, positions))
