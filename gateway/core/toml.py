"""A TOML file -> the pydantic model that says what may stand in it."""

import tomllib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from gateway.core.errors import ConfigError

Shape = TypeVar("Shape", bound=BaseModel)


def read_toml(path: Path, shape: type[Shape]) -> Shape:
    """The file's contents, checked.

    Raises:
        ConfigError: it can not be read, is no TOML, or does not have this shape; says where.
    """
    try:
        return shape.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as exc:
        raise ConfigError(f"{path}: can not be read: {exc.strerror}") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path}: no valid TOML: {exc}") from exc
    except ValidationError as exc:
        first: Any = exc.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "file"
        raise ConfigError(f"{path}: {where}: {first['msg']}") from exc
