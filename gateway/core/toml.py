"""TOML -> the class that says what may stand in it: a pydantic model or a dataclass.

TOML has kinds of its own, so that nothing is guessed: "yes" is no boolean, and "4" is no number.
Where an integer stands, 4.0 is 4.
"""

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import SchemaValidator
from pydantic_core.core_schema import CoreSchema, no_info_before_validator_function

from gateway.core.errors import ConfigError, located
from gateway.core.whole import whole

Shape = TypeVar("Shape")
_UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")
_OF_TOML = {"bool", "int", "float", "str"}
"""Kinds of values that TOML tells apart; an integer is a float too."""
_KINDS = {
    "bool_type": "Input should be true or false",
    "int_type": "Input should be a valid integer",
    "float_type": "Input should be a valid number",
}
_SHOWN = 60
"""Characters of a value that an error quotes."""


def read_toml(path: Path, shape: type[Shape]) -> Shape:
    """The file's contents, checked.

    Raises:
        ConfigError: it cannot be read, is no TOML, or does not have this shape; says where.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{path}: no valid TOML: {exc}") from exc
    with located(str(path)):
        return parse_toml(text, shape)


def parse_toml(text: str, shape: type[Shape]) -> Shape:
    """The same of a text."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(f"no valid TOML: {exc}") from exc
    return checked(raw, shape)


def checked(raw: object, shape: type[Shape]) -> Shape:
    """The same of what a TOML file says, tables as mappings."""
    try:
        return cast(Shape, _reader(cast(Any, shape)).validate_python(raw))
    except ValidationError as exc:
        raise _first_problem(exc, shape, raw) from exc


def unknown_key(key: str, known: Collection[str]) -> ConfigError:
    """The error for a key that is none, with the one that was perhaps meant."""
    near = get_close_matches(key, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
    return ConfigError(f"unknown key {key!r}", hint=hint if known else "")


@cache
def _reader(shape: type[Any]) -> SchemaValidator:
    return SchemaValidator(_strict(TypeAdapter(shape).core_schema))


def _strict(schema: Any, whole_floats: bool = True) -> Any:
    """The schema with values of TOML's own kinds taken as they are; paths and tuples, which TOML
    does not have, are still made of texts and arrays. A pydantic model is strict by itself, or not:
    the library takes its own validator for it.

    Args:
        whole_floats: whether 4.0 is read as 4; not where a float may stand too.
    """
    if isinstance(schema, list):
        return [_strict(each, whole_floats) for each in schema]
    if not isinstance(schema, dict):
        return schema
    whole_floats = whole_floats and not _may_be_float(schema)
    read = {key: _strict(value, whole_floats) for key, value in schema.items()}
    if schema.get("type") in _OF_TOML:
        read["strict"] = True
    if schema.get("type") == "int" and whole_floats:
        return no_info_before_validator_function(whole, cast(CoreSchema, read))
    return read


def _may_be_float(schema: Mapping[str, Any]) -> bool:
    """Whether it is a union of which one is a float."""
    return any(
        isinstance(each, dict) and each.get("type") == "float" for each in schema.get("choices", ())
    )


def _first_problem(error: ValidationError, shape: type[Any], raw: object) -> ConfigError:
    problems = error.errors()
    # A misspelt key first: the one that is lacking for it says less.
    first: Any = min(problems, key=lambda each: each["type"] not in _UNKNOWN)
    place = _place(first["loc"], raw)
    where = ".".join(str(part) for part in place)
    if first["type"] in _UNKNOWN:
        return unknown_key(where, _keys(shape) if len(place) == 1 else ())
    # One each of what a value may be.
    ways = [_said(each) for each in problems if _place(each["loc"], raw) == place]
    return ConfigError(f"{where or 'file'}: {'; or '.join(dict.fromkeys(ways))}")


def _place(where: tuple[int | str, ...], raw: Any) -> tuple[int | str, ...]:
    """The keys of a problem's location; behind them it names one of the kinds that were tried."""
    for number, part in enumerate(where):
        if isinstance(raw, Mapping):
            if part not in raw:
                return where  # a key that is lacking
            raw = raw[part]
        elif isinstance(raw, list) and isinstance(part, int):
            if part >= len(raw):
                return where  # a value that is lacking
            raw = raw[part]
        else:
            return where[:number]
    return where


def _said(problem: Any) -> str:
    if expected := _KINDS.get(problem["type"]):
        return f"{expected}, not {repr(problem['input'])[:_SHOWN]}"
    return str(problem["msg"])


def _keys(shape: type[Any]) -> Collection[str]:
    if issubclass(shape, BaseModel):
        return shape.model_fields
    return [field.name for field in fields(shape)] if is_dataclass(shape) else ()
