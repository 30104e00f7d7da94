"""API keys: hashed at rest, compared in constant time, each with its models and its rate.

A key is 32 random bytes, so that one SHA-256 protects it: there is nothing to guess by dictionary,
and a slow hash would only slow down every request.
"""

import hashlib
import hmac
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.core.errors import ConfigError
from gateway.core.files import write_atomically

_PREFIX = "gw-"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is kept of a key: everything but the key."""

    name: str
    sha256: str
    """Of the key's text, as 64 hexadecimal digits."""
    created: str
    models: tuple[str, ...] = ()
    """Models that it may ask; empty: all."""
    requests_per_minute: int = 0
    """0: as many as it likes."""

    def allows(self, model: str) -> bool:
        """Whether it may ask this model."""
        return not self.models or model in self.models


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    created: str
    models: tuple[str, ...] = ()
    requests_per_minute: int = Field(default=0, ge=0)


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")
    keys: list[_Record] = []


class KeyFile:
    """The keys of a file. A change of the file counts from the next request on.

    Raises:
        ConfigError: the file is absent or no file of keys.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._keys: tuple[ApiKey, ...] = ()
        self._read_at = (0, 0)
        self.keys()

    def keys(self) -> tuple[ApiKey, ...]:
        """All keys, in the file's order."""
        try:
            stat = self._path.stat()
        except OSError as exc:
            raise ConfigError(
                f"{self._path}: cannot be read: {exc.strerror}", hint="gateway keys create NAME"
            ) from exc
        if (stat.st_mtime_ns, stat.st_ino) != self._read_at:
            self._keys = read_keys(self._path)
            self._read_at = (stat.st_mtime_ns, stat.st_ino)
        return self._keys

    def find(self, shown: str) -> ApiKey | None:
        """The key that was shown, or None. Every key is compared, whichever it is."""
        digest = _digest(shown)
        found = None
        for key in self.keys():
            if hmac.compare_digest(key.sha256, digest):
                found = key
        return found


def read_keys(path: Path) -> tuple[ApiKey, ...]:
    """The keys of a file; none where there is no file.

    Raises:
        ConfigError: it is no file of keys.
    """
    if not path.exists():
        return ()
    try:
        parsed = _File.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as exc:
        raise ConfigError(f"{path}: no file of API keys: {exc}") from exc
    return tuple(ApiKey(**record.model_dump()) for record in parsed.keys)


def create_key(
    path: Path, name: str, *, models: Sequence[str] = (), requests_per_minute: int = 0
) -> str:
    """Add a key to the file and return its text, which is kept nowhere.

    Raises:
        ConfigError: the name is taken or no name.
    """
    keys = read_keys(path)
    if any(key.name == name for key in keys):
        raise ConfigError(f"{path}: a key is called {name!r} already")
    text = _PREFIX + secrets.token_urlsafe(32)
    try:
        record = _Record(
            name=name,
            sha256=_digest(text),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            models=tuple(models),
            requests_per_minute=requests_per_minute,
        )
    except ValidationError as exc:
        raise ConfigError(f"{name!r} is no name of a key", hint="letters, digits, . _ -") from exc
    _write(path, (*keys, ApiKey(**record.model_dump())))
    return text


def revoke_key(path: Path, name: str) -> None:
    """Take a key out of the file.

    Raises:
        ConfigError: no key has this name.
    """
    keys = read_keys(path)
    kept = tuple(key for key in keys if key.name != name)
    if len(kept) == len(keys):
        known = ", ".join(key.name for key in keys) or "none"
        raise ConfigError(f"{path}: no key is called {name!r}", hint=f"known: {known}")
    _write(path, kept)


def _write(path: Path, keys: Sequence[ApiKey]) -> None:
    records = [
        {
            "name": key.name,
            "sha256": key.sha256,
            "created": key.created,
            "models": list(key.models),
            "requests_per_minute": key.requests_per_minute,
        }
        for key in keys
    ]
    write_atomically(path, json.dumps({"keys": records}, indent=1) + "\n")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
