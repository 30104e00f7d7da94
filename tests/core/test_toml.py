from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict

from gateway.core.errors import ConfigError
from gateway.core.toml import parse_toml, read_toml


class Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    inner: dict[str, int] = {}


@dataclass(frozen=True)
class Plain:
    any: dict[str, str | int | float | bool] = field(default_factory=dict)
    sure: bool | Literal["auto"] = "auto"
    count: int = 1
    scale: float = 1.0
    sizes: tuple[int, ...] = ()
    places: tuple[Path, ...] = ()
    reach: tuple[int, int] = (0, 1)


def test_a_file_becomes_its_shape(tmp_path: Path) -> None:
    file = tmp_path / "some.toml"
    file.write_text('name = "x"\n[inner]\na = 1\n')
    assert read_toml(file, Shape) == Shape(name="x", inner={"a": 1})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"name = ", "no valid TOML"),
        (b"name = '\xff'", "no valid TOML"),
        (b"name = 1", "name: "),
        (b"name = 'x'\n[inner]\na = 'b'", r"inner\.a: "),
        (b"naem = 'x'", r"unknown key 'naem' \(did you mean name\?\)"),
        (b"name = 'x'\nmore = 1", r"unknown key 'more' \(known: name, inner\)"),
    ],
)
def test_what_is_wrong_is_one_error_that_says_where(tmp_path: Path, text: bytes, said: str) -> None:
    file = tmp_path / "some.toml"
    file.write_bytes(text)
    with pytest.raises(ConfigError, match=rf"some\.toml: {said}"):
        read_toml(file, Shape)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"some\.toml: cannot be read"):
        read_toml(tmp_path / "some.toml", Shape)


def test_a_whole_number_is_a_number_and_arrays_and_texts_are_what_toml_lacks() -> None:
    made = parse_toml('scale = 2\nsure = true\nsizes = [1, 2]\nplaces = ["a"]', Plain)
    assert made == Plain(sure=True, scale=2.0, sizes=(1, 2), places=(Path("a"),))
    assert isinstance(made.scale, float)


def test_a_whole_float_is_the_integer_where_one_stands() -> None:
    made = parse_toml("count = 4096.0\nsizes = [1.0, 2]\nreach = [0.0, -3.0]", Plain)
    assert made == Plain(count=4096, sizes=(1, 2), reach=(0, -3))
    assert all(type(each) is int for each in (made.count, *made.sizes, *made.reach))


def test_a_whole_float_stays_one_where_a_float_may_stand() -> None:
    made = parse_toml("any = {a = 2.0, b = 2, c = true}\nscale = 2.0", Plain)
    assert [type(each) for each in (*made.any.values(), made.scale)] == [float, int, bool, float]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("count = '1'", "count: Input should be a valid integer, not '1'$"),
        ("count = true", "count: .* a valid integer, not True"),
        ("count = 1.5", r"count: .* a valid integer, not 1\.5"),
        ("count = inf", "count: .* a valid integer, not inf"),
        ("count = nan", "count: .* a valid integer, not nan"),
        ("sure = 'yes'", "sure: .* true or false, not 'yes'; or Input should be 'auto'$"),
        ("sure = 1", "sure: .* true or false, not 1; or"),
        ("scale = '2'", "scale: .* a valid number, not '2'"),
        ("sizes = [1, '2']", r"sizes\.1: .* a valid integer, not '2'"),
        ("reach = [1]", r"reach\.1: Field required"),
        ("reach = [1, 2, 3]", "reach: Tuple should have at most 2 items"),
        ("sizes = '2'", "sizes: Input should be a valid tuple"),
    ],
)
def test_nothing_is_taken_for_a_value_of_another_kind(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_toml(text, Plain)
