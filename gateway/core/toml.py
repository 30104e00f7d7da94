"""TOML -> the class that says what may stand in it: a pydantic model or a dataclass."""

import tomllib
from collections.abc import Collection
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import BaseModel, TypeAdapter, ValidationError

from gateway.core.errors import ConfigError, located

Shape = TypeVar("Shape")
_UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")


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
        reader: TypeAdapter[Shape] = _reader(cast(Any, shape))
        return reader.validate_python(raw)
    except ValidationError as exc:
        raise _first_problem(exc, shape) from exc


def unknown_key(key: str, known: Collection[str]) -> ConfigError:
    """The error for a key that is none, with the one that was perhaps meant."""
    near = get_close_matches(key, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
    return ConfigError(f"unknown key {key!r}", hint=hint if known else "")


@cache
def _reader(shape: type[Any]) -> TypeAdapter[Any]:
    return TypeAdapter(shape)


def _first_problem(error: ValidationError, shape: type[Any]) -> ConfigError:
    # A misspelt key first: the one that is lacking for it says less.
    first: Any = min(error.errors(), key=lambda each: each["type"] not in _UNKNOWN)
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] in _UNKNOWN:
        return unknown_key(where, _keys(shape) if len(first["loc"]) == 1 else ())
    return ConfigError(f"{where or 'file'}: {first['msg']}")


def _keys(shape: type[Any]) -> Collection[str]:
    if issubclass(shape, BaseModel):
        return shape.model_fields
    return [field.name for field in fields(shape)] if is_dataclass(shape) else ()
