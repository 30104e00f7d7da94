"""Objects that are kept as columns are those objects."""

import json
from dataclasses import asdict, dataclass

import pytest

from gateway.core.columned import Columned
from gateway.core.indenting import indented
from gateway.core.json import plain_values


@dataclass(frozen=True)
class Point:
    """What is kept."""

    x: float
    name: str | None


def kept(count: int) -> tuple[list[Point], Columned[Point]]:
    points = [Point(at / 3, f'"{at}' if at % 2 else None) for at in range(count)]
    return points, Columned.of(Point, points, lambda values: Point(**values))


@pytest.mark.parametrize("count", [0, 1, 3, 40])
def test_they_are_the_objects(count: int) -> None:
    points, columned = kept(count)
    assert columned == points
    assert list(columned) == points
    assert repr(columned) == repr(tuple(points))
    assert columned[1:3] == tuple(points[1:3])
    assert columned.taken(range(count)[::-1]) == points[::-1]


@pytest.mark.parametrize("count", [0, 1, 3, 40])
def test_they_are_written_as_the_objects(count: int) -> None:
    points, columned = kept(count)
    plain = [asdict(point) for point in points]
    assert plain_values(columned) == plain
    held = {"points": columned, "of": Columned(dict, {"a b": columned, "c": points})}
    same = {"points": plain, "of": [{"a b": each, "c": each} for each in plain]}
    assert indented(held) == json.dumps(same, indent=2, sort_keys=True)


def test_what_is_not_there_is_no_object() -> None:
    points, columned = kept(3)
    assert columned[-1] == points[-1]
    with pytest.raises(IndexError):
        columned[3]
    assert columned != points[:2]
