from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from gateway.core.errors import ConfigError
from gateway.core.toml import read_toml


class Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    inner: dict[str, int] = {}


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
